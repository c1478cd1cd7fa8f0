"""A run: one folder with everything that a training left behind, how it is made, and how it goes on.

config.json        the settings: the run begins with it, and goes on from it
environment.json   versions                model.keras         the model, best on the validation loss
dataset.json       name, sha256, number    checkpoints/        the last model, with its optimizer
images.csv         of a user's own         samples.png  reconstructions.png  curves.png  pictures/
history.csv        a line per epoch        bundle/             the exported model
skipped.jsonl      steps not applied       report.html         all of it to look at
metrics.json       test metrics: the run is finished
"""

import contextlib
import datetime
import json
import logging
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae import __version__
from kvae.bundle import binarization
from kvae.bundle.locate import BUNDLE_FOLDER, RUNS_FOLDER
from kvae.config import TrainConfig
from kvae.data import datasets, decoded
from kvae.data.held_out import held_out
from kvae.errors import DataError, KvaeError
from kvae.evaluation import evaluation
from kvae.export import bundles
from kvae.files import atomic, locks, pictures
from kvae.files.atomic import atomic_file, check_replaceable
from kvae.runs import curves
from kvae.runs import files as run_files
from kvae.runs import report as run_report
from kvae.runtime.bundle import Bundle
from kvae.training import building, checkpoints, fitting, interrupts, keras_files, skipped
from kvae.training import callbacks as training_callbacks
from kvae.training.effective_beta import effective_beta

logger = logging.getLogger(__name__)

MODEL = checkpoints.BEST
PICTURES = "pictures"
TEST_DRAWS = 10
"""Draws of each test image's posterior for the metrics of a run; `kvae evaluate` takes more, and gives the NLL."""
EFFECTIVE_BETA_IMAGES = 1000
NUM_PICTURED = 64
"""Samples, and images with their reconstructions, in a run's pictures."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    path: Path
    metrics: dict[str, evaluation.Estimate]
    """`elbo`, `distortion`, `rate` (nats per test image) and `active_units`."""
    effective_beta: float
    """What the regulariser weighs in the loss; see `kvae.training.effective_beta`."""
    exported: bundles.Exported


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
        write_json(out / "environment.json", _environment())
        write_json(out / "dataset.json", _about(data))
        datasets.write_record(data, out / "images.csv")
        write_json(out / run_files.CONFIG, config.to_dict())  # from here on it is a run
        return _go_on(out, config, data, vae, checkpoints.State(), callbacks)


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
        for folder in (out, out / "checkpoints", out / PICTURES):
            if folder.is_dir():
                atomic.remove_stale(folder)
        data = datasets.of(config, data_dir, decoding)
        _warn_of_other_versions(out)
        began_with = str(_read_json(out / "dataset.json").get("sha256"))
        if data.sha256 != began_with:
            raise KvaeError(
                f"the images are not those that {out} began with: sha256 {data.sha256[:12]}..., "
                f"expected {began_with[:12]}.... Bring them back, or train anew."
            )
        vae = building.build(config, data.image_shape, len(data.train.images), strategy)
        state = checkpoints.restore(vae, out)
        skipped.forget_after(out, int(vae.made_steps.numpy()))
        return _go_on(out, config, data, vae, state, callbacks)


def _warn_of_other_versions(out: Path) -> None:
    """Say it where a run began with other programs: its weights may be none that either of them would give."""
    before, now = run_files.read_json(out / "environment.json"), _environment()
    if not isinstance(before, dict):
        return
    changed = [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        logger.warning(
            "%s began with %s: its numbers may differ from those of one that had not.", out, "; ".join(changed)
        )


def _about(data: datasets.Dataset) -> dict[str, Any]:
    """What a run tells of its images."""
    sizes = {name: len(getattr(data, name).images) for name in ("train", "validation", "test")}
    found = data.provenance() | {"splits": sizes, "image_shape": list(data.image_shape)}
    if data.folder is not None:
        summary = decoded.read_summary(data.folder)
        found |= {name: summary[name] for name in ("num_duplicates", "num_conflicts", "num_skipped")}
    return found


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
    _fit(resumed or Path(), config, data, vae, state, (), writes=False)


def _check_new(out: Path) -> None:
    """Raise KvaeError where a run cannot begin in a folder: it holds one, or something else."""
    if (out / run_files.CONFIG).is_file():
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
    return names <= {"environment.json", "dataset.json", "images.csv"} and (folder / locks.FILE).exists()


def _go_on(
    out: Path,
    config: TrainConfig,
    data: datasets.Dataset,
    vae: Any,
    state: checkpoints.State,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Run:
    """Make what is left of a training, and then what is made of the model; the folder is locked."""
    state = _fit(out, config, data, vae, state, [*_lookers(out, config, data), *callbacks])
    return _finish(out, config, data, state.history)


def _fit(
    out: Path,
    config: TrainConfig,
    data: datasets.Dataset,
    vae: Any,
    state: checkpoints.State,
    callbacks: Sequence[keras.callbacks.Callback],
    writes: bool = True,
) -> checkpoints.State:
    """Make what is left of a training; all processes end it at the same step, and one writes."""
    with interrupts.deferred() as interrupt:
        keeper = checkpoints.Checkpoints(out, state, config.patience, interrupt, writes)
        if state.epoch:  # it may have been killed between the checkpoint and these
            if state.best_epoch == state.epoch - 1 and not state.step:
                keeper.keep_best()
            keeper.write_history()
        if state.epoch < config.epochs and not state.has_stalled(config.patience):
            skips = skipped.SkippedSteps(
                out, config.max_skipped_steps, lambda step: fitting.batch_of(config, data, step), writes
            )
            # What is seen of an epoch comes before its checkpoint: nothing would make it later.
            fitting.fit(vae, config, data, [skips, *callbacks, keeper], state.epoch, state.step)
    return keeper.state


def _lookers(out: Path, config: TrainConfig, data: datasets.Dataset) -> list[keras.callbacks.Callback]:
    """The callbacks that show a training as it goes."""
    board = [training_callbacks.TensorBoard(out / "tensorboard")] if config.tensorboard else []
    if not config.pictures_every:
        return board
    images = data.validation.images[:NUM_PICTURED]
    if config.is_of_bits:
        images = binarization.binarize(images, binarization.KEYS["validation"])
    shown = training_callbacks.Pictures(out / PICTURES, images, config.pictures_every, *board)
    return [*board, shown]


def _finish(out: Path, config: TrainConfig, data: datasets.Dataset, history: dict[str, list[float]]) -> Run:
    """Evaluate and export the best model, and draw; it can be done again, until the last file is there."""
    best = load_model(out)
    test = held_out(data, "test", config.is_of_bits)
    metrics: dict[str, evaluation.Estimate] = {}

    def measure(bundle: Bundle) -> dict[str, Any]:
        measured = evaluation.evaluate(bundle, test, TEST_DRAWS, config.seed, proposal="posterior").metrics
        metrics.update({name: measured[name] for name in ("elbo", "distortion", "rate", "active_units")})
        return {name: asdict(metric) for name, metric in metrics.items()}

    exported = bundles.export(
        best,
        out / BUNDLE_FOLDER,
        dataset=data.provenance(),
        metrics=measure,
        training=config.to_publish(),
        binarize=str(config.binarize),
        train_images=data.train.images,
        test_images=test,
    )
    _draw_pictures(out, test)
    curves.save(history, out / "curves.png")
    run_report.write(out)
    write_json(out / run_files.METRICS, exported.manifest.metrics)  # last: it says that the run is whole
    return Run(out, metrics, effective_beta(best, test[:EFFECTIVE_BETA_IMAGES]), exported)


def export_run(run: Path, out: Path, data_dir: Path | None = None, own: Path | None = None) -> bundles.Exported:
    """Write the bundle of a run's best model into the folder `out`.

    Where the run's data are not to be had, it goes without their statistics, and a warning is logged.

    Args:
        run: the run's folder.
        out: the bundle's.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        own: where a user's own images are, if not where they were.

    Raises:
        KvaeError: `run` is no finished run, or the export fails its proofs.
    """
    config = read_config(run)
    metrics, dataset = (_read_json(run / name) for name in (run_files.METRICS, "dataset.json"))
    train_images = test_images = None
    try:
        data = datasets.of(config if own is None else replace(config, data=str(own)), data_dir)
        if data.sha256 != dataset.get("sha256"):
            raise DataError(f"the images are not those that {run} was trained on: sha256 {data.sha256[:12]}...")
        train_images = data.train.images
        test_images = held_out(data, "test", config.is_of_bits)
    except DataError as error:
        logger.warning("the bundle will know no percentiles, and picture no reconstructions: %s", error)
    return bundles.export(
        load_model(run),
        out,
        dataset=dataset,
        metrics=metrics,
        training=config.to_publish(),
        binarize=str(config.binarize),
        train_images=train_images,
        test_images=test_images,
    )


def read_config(run: Path) -> TrainConfig:
    """The settings of a run.

    Raises:
        KvaeError: the folder holds none, or they cannot be read.
    """
    if not (run / run_files.CONFIG).is_file():
        raise KvaeError(f"{run} is no run: it holds no {run_files.CONFIG}. kvae runs lists those of a folder.")
    return TrainConfig.from_dict(_read_json(run / run_files.CONFIG))


def _read_json(path: Path) -> dict[str, Any]:
    values = run_files.read_json(path)
    if values is None:
        raise KvaeError(f"{path.parent} is not a finished run: it holds no {path.name}.")
    if not isinstance(values, dict):
        raise KvaeError(f"{path} is not what kvae train writes.")
    return values


def load_model(run: Path) -> Any:
    """The best model of a run, or that of a .keras file, computing in float32, whatever it was trained in.

    Raises:
        KvaeError: the run holds none, or it cannot be read.
    """
    path = run if run.is_file() else run / MODEL
    if not path.is_file():
        raise KvaeError(f"{run} holds no {MODEL}.")
    model = keras_files.load(path)
    for layer in model._flatten_layers():
        layer.dtype_policy = "float32"
    return model


def _draw_pictures(run: Path, images: NDArray[np.uint8]) -> None:
    bundle = Bundle.open(run / BUNDLE_FOLDER, device="cpu")
    pictures.save(pictures.grid(bundle.sample(NUM_PICTURED)), run / "samples.png")
    originals = pictures.to_float32(images[:NUM_PICTURED])
    picture = pictures.reconstructions(originals, bundle.reconstruct(originals), columns=16)
    pictures.save(picture, run / "reconstructions.png")


def _environment() -> dict[str, str]:
    versions = {"kvae": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in (
        "tensorflow", "keras", "tensorflow-probability", "tf2onnx", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy",
    ):  # fmt: skip
        with contextlib.suppress(PackageNotFoundError):  # one of the two onnxruntimes, as a rule
            versions[name] = version(name)
    return versions


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write JSON, indented; the file appears whole."""
    with atomic_file(path, durable=True) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
