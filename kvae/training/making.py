"""How a run is made: one folder with everything that a training leaves behind (`kvae.runs.layout` lists it)."""

import datetime
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kvae.bundle.locate import RUNS_FOLDER
from kvae.config import TrainConfig
from kvae.data import datasets, decoded
from kvae.errors import KvaeError
from kvae.files import atomic, locks
from kvae.files.atomic import check_replaceable
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.training import building, checkpoints, environment
from kvae.training.finishing import Run
from kvae.training.looping import go_on


def default_folder(config: TrainConfig) -> Path:
    """A new folder in `runs`, named after the data set, the architecture and the time."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path(RUNS_FOLDER) / f"{config.dataset}-{config.model.architecture}-{now}"


def train(
    config: TrainConfig,
    out: Path,
    data_dir: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    decoding: Callable[[int, int], None] | None = None,
    strategy: tf.distribute.Strategy | None = None,
) -> Run:
    """Train a model, evaluate it on the test split, export it, and write it all into the new folder `out`.

    Args:
        config: the settings.
        out: the run's folder; it must not exist, or be empty.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        callbacks: further Keras callbacks, such as a progress bar.
        decoding: called while a user's own images are decoded, with how many are done and how many there are.
        strategy: the devices, from `kvae.steps.strategies.create`; by default one. Of several processes the chief
            calls this, and the others call `follow`.

    Raises:
        KvaeError: bad settings, missing data, a folder that holds something already or is being trained, a disk that
            is full, or a loss that is not finite.
        Interrupted: the process was told to end; `resume` goes on.
    """
    if config.data is not None:
        config = replace(config, data=str(Path(config.data).absolute()))  # the run may go on in another folder
    locks.check_free(out)
    _check_new(out)
    data = datasets.of(config, data_dir, decoding)
    vae = building.build(config, data.image_shape, len(data.train.images), strategy)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KvaeError(f"cannot write {out}: {error.strerror}.") from None
    with locks.held(out):
        _check_new(out)  # again: nobody else may begin now
        atomic.remove_stale(out)
        run_files.write_json(out / layout.ENVIRONMENT, environment.versions())
        run_files.write_json(out / layout.DATASET, _about(data))
        datasets.write_record(data, out / layout.IMAGES)
        run_files.write_json(out / layout.CONFIG, config.to_dict())  # from here on it is a run
        return go_on(out, config, data, vae, checkpoints.State(), callbacks)


def _about(data: datasets.Dataset) -> dict[str, Any]:
    """What a run tells of its images."""
    sizes = {name: len(getattr(data, name).images) for name in ("train", "validation", "test")}
    found = data.provenance() | {"splits": sizes, "image_shape": list(data.image_shape)}
    if data.folder is not None:
        summary = decoded.read_summary(data.folder)
        found |= {name: summary[name] for name in ("num_duplicates", "num_conflicts", "num_skipped")}
    return found


def _check_new(out: Path) -> None:
    """Raise KvaeError where a run cannot begin in a folder: it holds one, or something else."""
    if (out / layout.CONFIG).is_file():
        advice = (
            "it is finished"
            if run_files.is_finished(out)
            else f"kvae train --resume {shlex.quote(str(out))} goes on with it"
        )
        raise KvaeError(f"{out} holds a run already: {advice}. Name another folder.")
    check_replaceable(out, _is_only_begun, "an empty folder")


def _is_only_begun(folder: Path) -> bool:
    """Whether a training was killed there before it was a run."""
    names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
    return names <= {layout.ENVIRONMENT, layout.DATASET, layout.IMAGES} and (folder / locks.FILE).exists()
