"""How a run goes on from its last checkpoint, and how other processes take part in a training."""

from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import tensorflow as tf

from kvae.config import TrainConfig
from kvae.data import datasets
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
    """Go on with a run from its last checkpoint, as if it had never stopped.

    On one machine, with a `deterministic` config, it ends with the weights of a run that was never interrupted.
    Arguments are those of `train`.

    Raises:
        KvaeError: no run, one that is finished or being trained, other data than it began with; and what `train` says.
        Interrupted: the process was told to end, again.
    """
    config = read_config(out)
    with locks.held(out):
        if run_files.is_finished(out):
            raise KvaeError(f"{out} is finished: nothing is left to do.")
        for folder in (out, (out / layout.CHECKPOINT).parent, out / layout.PICTURES):
            if folder.is_dir():
                atomic.remove_stale(folder)
        data = datasets.of(config, data_dir, decoding)
        environment.warn_of_other_versions(out)
        began_with = str(run_files.read_object(out / layout.DATASET).get("sha256"))
        if data.sha256 != began_with:
            raise KvaeError(
                f"the images are not those that {out} began with: sha256 {data.sha256[:12]}..., "
                f"expected {began_with[:12]}.... Bring them back, or train anew."
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
    """Take part, in a process that is not the chief, in the training that the chief makes; nothing is written.

    Args:
        config: the settings, the same as the chief's.
        strategy: from `kvae.steps.strategies.create`.
        resumed: the run's folder, where the chief calls `resume`: the checkpoint is read from it by all of them.
        data_dir: as for `train`.
        decoding: as for `train`.

    Raises:
        KvaeError: as `train`; and where another process is gone.
        Interrupted: the process was told to end.
    """
    data = datasets.of(config, data_dir, decoding)
    vae = building.build(config, data.image_shape, len(data.train.images), strategy)
    state = checkpoints.restore(vae, resumed) if resumed else checkpoints.State()
    fit_rest(resumed or Path(), config, data, vae, state, (), writes=False)
