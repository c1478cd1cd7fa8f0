"""Resumes a run from its last checkpoint, and lets other processes take part in training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from kvae.config import TrainConfig
from kvae.data import choice, datasets, placing
from kvae.errors import KvaeError
from kvae.files import atomic, locks
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.runs.files import read_config
from kvae.training import building, checkpoints, environment, skipped
from kvae.training.finishing import Run
from kvae.training.looping import fit_rest, go_on


def resume(
    out: Path,
    data_dir: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    decoding: Callable[[int, int], None] | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Run:
    """Resume a run from its last checkpoint, as if it had never stopped.

    On one machine, with a `deterministic` config, it ends with the weights of a run that was never interrupted.
    Arguments are those of `train`.

    Raises:
        KvaeError: `out` is not a run, is finished or is being trained; the data differ from those it began with; or as
            for `train`.
        Interrupted: the process was told to end, again.
    """
    config = read_config(out)
    placing.check_outside(out, config.own_paths, "folder")
    with locks.held(out):
        if run_files.is_finished(out):
            raise KvaeError(f"{out} is finished: there is nothing left to do.")
        for folder in (out, (out / layout.CHECKPOINT).parent, out / layout.PICTURES):
            if folder.is_dir():
                atomic.remove_abandoned(folder)
        data = datasets.of(config, data_dir, decoding)
        environment.warn_of_other_versions(out)
        began_with = str(run_files.read_object(out / layout.DATASET).get("sha256"))
        if data.sha256 != began_with:
            raise KvaeError(
                f"the images differ from those that {out} began with: sha256 {data.sha256[:12]}..., "
                f"expected {began_with[:12]}.... Restore them, or start a new run."
            )
        vae = building.build(config, data.image_shape, len(data.train.images), strategy)
        state = checkpoints.restore(vae, out)
        skipped.forget_after(out, int(vae.made_steps.numpy()))
        return go_on(out, config, data, vae, state, callbacks)


def follow(
    config: TrainConfig,
    strategy: tf.distribute.Strategy,
    resumed: Path | None = None,
    data_dir: Path | None = None,
    decoding: Callable[[int, int], None] | None = None,
) -> None:
    """Take part in the chief's training, in a process that is not the chief; writes nothing.

    Args:
        config: the settings, the same as the chief's.
        strategy: from `kvae.steps.strategies.create`.
        resumed: the run's folder, if the chief calls `resume`: all processes read the checkpoint from it.
        data_dir: as for `train`.
        decoding: as for `train`.

    Raises:
        KvaeError: as for `train`; or another process is gone.
        Interrupted: the process was told to end.
    """
    data = datasets.of(config, data_dir, decoding)
    config = choice.settle(config, data)
    vae = building.build(config, data.image_shape, len(data.train.images), strategy)
    state = checkpoints.restore(vae, resumed) if resumed else checkpoints.State()
    fit_rest(resumed or Path(), config, data, vae, state, (), writes=False)
