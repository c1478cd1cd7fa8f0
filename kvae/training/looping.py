"""The rest of a training run, from the first step or from a checkpoint: the steps, and the callbacks that watch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from kvae.bundle import binarization
from kvae.config import TrainConfig
from kvae.data import datasets
from kvae.files import pictures
from kvae.runs import layout
from kvae.training import averaging, checkpoints, fitting, interrupts, skipped
from kvae.training import callbacks as training_callbacks
from kvae.training.finishing import NUM_PICTURED, Run, finish


def go_on(
    out: Path,
    config: TrainConfig,
    data: datasets.Dataset,
    vae: Any,
    state: checkpoints.State,
    callbacks: Sequence[keras.callbacks.Callback],
    name: Path | None = None,
) -> Run:
    """Make the remaining steps, then everything that is made from the model; the caller has locked the folder.

    `name` is the run's folder as the user names it, if it is not `out`.
    """
    state = fit_rest(out, config, data, vae, state, [*_lookers(out, config, data), *callbacks])
    return finish(out, config, data, state.history, name)


def fit_rest(
    out: Path,
    config: TrainConfig,
    data: datasets.Dataset,
    vae: Any,
    state: checkpoints.State,
    callbacks: Sequence[keras.callbacks.Callback],
    writes: bool = True,
) -> checkpoints.State:
    """Make the remaining steps; all processes stop at the same step, and one writes."""
    with interrupts.deferred() as interrupt:
        keeper = checkpoints.Checkpoints(out, state, config.patience, interrupt, writes)
        if state.epoch:  # the process may have been killed between the checkpoint and these
            if state.best_epoch == state.epoch - 1 and not state.step:
                keeper.keep_best()
            keeper.write_history()
        if state.epoch < config.epochs and not state.has_stalled(config.patience):
            skips = skipped.SkippedSteps(
                out, config.max_skipped_steps, lambda step: fitting.batch_of(config, data, step), writes
            )
            # Pictures and logs of an epoch come before its checkpoint, because a resumed run would not make them.
            watchers = [averaging.Averaging(), skips, *callbacks, keeper]
            fitting.fit(vae, config, data, watchers, state.epoch, state.step)
    return keeper.state


def _lookers(out: Path, config: TrainConfig, data: datasets.Dataset) -> list[keras.callbacks.Callback]:
    """The callbacks that show how training goes."""
    board = [training_callbacks.TensorBoard(out / layout.TENSORBOARD)] if config.tensorboard else []
    if not config.pictures_every or pictures.is_table(data.image_shape):
        return board
    images = data.validation.images[:NUM_PICTURED]
    if config.is_of_bits:  # the first bits of `held_out`, without drawing the others
        images = binarization.binarize(images, binarization.KEYS["validation"])
    labels = data.validation.labels if config.model.conditional else None
    own = None if labels is None else labels[:NUM_PICTURED]
    events = board[0] if board else None
    shown = training_callbacks.Pictures(out / layout.PICTURES, images, config.pictures_every, events, own)
    return [*board, shown]
