"""Resumes a run from its last checkpoint, and lets other processes take part in training."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf

from kvae.config import TrainConfig
from kvae.data import choice, classes, datasets
from kvae.errors import KvaeError
from kvae.files import apart, atomic, locks
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.training import building, checkpoints, environment, initial, longer, skipped
from kvae.training.finishing import Run
from kvae.training.looping import fit_rest, go_on


def resume(
    out: Path,
    data_dir: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    decoding: Callable[[int, int], None] | None = None,
    strategy: tf.distribute.Strategy | None = None,
    epochs: int | None = None,
) -> Run:
    """Resume a run from its last checkpoint, as if it had never stopped; with `epochs`, train it longer (or shorter).

    On one machine, with a `deterministic` config, it ends with the weights of a run that was never interrupted.
    With `epochs` the learning rate from now on is that of a run of that many epochs (the same half cosine, stretched),
    and so are cycles of beta; the optimizer's state is kept. So 20 epochs and 20 more are not 40 at once, because the
    first 20 followed a shorter cosine; but going on is as repeatable as any training, and can be killed and resumed.
    The files of a finished run are replaced only when the longer training has finished.

    Args:
        out: the run's folder.
        epochs: how many epochs the run shall have in all; by default, as many as it was made for.
        data_dir: as for `train`.
        callbacks: as for `train`.
        decoding: as for `train`.
        strategy: as for `train`.

    Raises:
        KvaeError: `out` is not a run, is finished or is being trained; it has no checkpoint to be trained longer from;
            the data differ from those it began with; or as for `train`.
        ConfigError: `epochs` is less than the run has already made.
        Interrupted: the process was told to end, again.
    """
    apart.check(out, *run_files.read_config(out).own_paths, name="folder")
    with locks.held(out):
        plan = longer.plan(out, epochs)
        for folder in {out, plan.folder}:
            for part in (folder, (folder / layout.CHECKPOINT).parent, folder / layout.PICTURES):
                if part.is_dir():
                    atomic.remove_abandoned(part)
        data = datasets.of(plan.config, data_dir, decoding)
        environment.warn_of_other_versions(out)
        began_with = str(run_files.read_object(out / layout.DATASET).get("sha256"))
        if data.sha256 != began_with:
            raise KvaeError(
                f"the images differ from those that {out} began with: sha256 {data.sha256[:12]}..., "
                f"expected {began_with[:12]}.... Restore them, or start a new run."
            )
        if plan.config.model.conditional:
            classes.check_same(data, run_files.read_object(out / layout.DATASET), out)
        num_labels = classes.num_labels(data, plan.config.model.conditional)
        vae = building.build(plan.config, data.image_shape, len(data.train.images), strategy, num_labels)
        state = plan.extended(checkpoints.restore(vae, plan.source))
        epochs_before = run_files.read_config(plan.source).epochs
        longer.begin(plan)
        longer.announce(plan, epochs_before, state, float(vae.optimizer.learning_rate))
        skipped.forget_after(plan.folder, int(vae.made_steps.numpy()))
        run = go_on(plan.folder, plan.config, data, vae, state, callbacks, name=out)
        longer.put_in_place(plan)
        return replace(run, path=out, exported=replace(run.exported, path=out / layout.BUNDLE))


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
    num_labels = classes.num_labels(data, config.model.conditional)
    vae = building.build(config, data.image_shape, len(data.train.images), strategy, num_labels)
    state = checkpoints.State()
    if resumed:
        plan = longer.plan(resumed, config.epochs)
        state = plan.extended(checkpoints.restore(vae, plan.source))
    else:
        vae.prior.start_from(data.train.images, data.train.labels)
        initial.load_into(vae, config, data.label_names)
    fit_rest(resumed or Path(), config, data, vae, state, (), writes=False)
