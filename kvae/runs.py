"""A run: one folder with everything that a training left behind, and how it is made.

config.json        the settings            model.keras         the model, best on the validation loss
environment.json   versions                checkpoints/        the last model, with its optimiser
dataset.json       name, sha256, number    samples.png  reconstructions.png  curves.png
history.csv        a line per epoch        bundle/             the exported model
metrics.json       test metrics
"""

import contextlib
import datetime
import json
import logging
import math
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvae import __version__, binarization, curves, datasets, evaluation, export, pictures, training
from kvae.atomic import atomic_file, check_replaceable
from kvae.config import TrainConfig
from kvae.errors import DataError, KvaeError
from kvae.locate import BUNDLE_FOLDER, RUNS_FOLDER
from kvae.runtime import Bundle

logger = logging.getLogger(__name__)

MODEL = "model.keras"
LAST_CHECKPOINT = "checkpoints/last.keras"
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
    exported: export.Exported


def default_folder(config: TrainConfig) -> Path:
    """A new folder in `runs`, named after the data set, the architecture and the time."""
    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path(RUNS_FOLDER) / f"{config.dataset}-{config.model.architecture}-{now}"


def train(
    config: TrainConfig,
    out: Path,
    data_dir: Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Run:
    """Train a model, evaluate it on the test split, export it, and write it all into the new folder `out`.

    Args:
        config: the settings.
        out: the run's folder; it must not exist, or be empty.
        data_dir: where the data set's files are; see `kvae.datasets.load`.
        callbacks: further Keras callbacks, such as a progress bar.

    Raises:
        KvaeError: bad settings, missing data, or a folder that holds something already.
    """
    check_replaceable(out, lambda folder: False, "an empty folder")
    data = datasets.load(config.dataset, data_dir)
    vae = training.build(config, data.image_shape, len(data.train.images))
    try:
        (out / LAST_CHECKPOINT).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KvaeError(f"cannot write {out}: {error.strerror}.") from None
    write_json(out / "config.json", config.to_dict())
    write_json(out / "environment.json", _environment())
    history = training.fit(
        vae,
        config,
        data,
        [
            Checkpoints(out),
            keras.callbacks.CSVLogger(out / "history.csv"),
            *callbacks,
        ],
    )
    if not all(map(math.isfinite, history["val_loss"])):
        raise KvaeError(f"training diverged: the loss is {history['val_loss'][-1]}. Lower --learning-rate; see {out}.")
    best = load_model(out)
    test = binarization.held_out(data, "test", config.binarize == "dynamic")
    metrics: dict[str, evaluation.Estimate] = {}

    def measure(bundle: Bundle) -> dict[str, Any]:
        measured = evaluation.evaluate(bundle, test, TEST_DRAWS, config.seed, proposal="posterior").metrics
        metrics.update({name: measured[name] for name in ("elbo", "distortion", "rate", "active_units")})
        return {name: asdict(metric) for name, metric in metrics.items()}

    exported = export.export(
        best,
        out / BUNDLE_FOLDER,
        dataset=data.provenance(),
        metrics=measure,
        training=config.to_dict(),
        binarize=str(config.binarize),
        train_images=data.train.images,
        test_images=test,
    )
    write_json(out / "dataset.json", data.provenance())
    _draw_pictures(out, test)
    curves.save(history, out / "curves.png")
    write_json(out / "metrics.json", exported.manifest.metrics)  # last: it says that the run is whole
    return Run(out, metrics, training.effective_beta(best, test[:EFFECTIVE_BETA_IMAGES]), exported)


class Checkpoints(keras.callbacks.Callback):
    """Saves the model after each epoch, once, and keeps a copy of the one with the lowest validation loss.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        super().__init__()
        self._run = run
        self._lowest = math.inf

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.save(self._run / LAST_CHECKPOINT)
        loss = (logs or {})["val_loss"]
        if loss < self._lowest:
            self._lowest = loss
            with atomic_file(self._run / MODEL) as path:
                shutil.copyfile(self._run / LAST_CHECKPOINT, path)


def export_run(run: Path, out: Path, data_dir: Path | None = None) -> export.Exported:
    """Write the bundle of a run's best model into the folder `out`.

    Where the run's data are not to be had, it goes without their statistics, and a warning is logged.

    Args:
        run: the run's folder.
        out: the bundle's.
        data_dir: where the data set's files are; see `kvae.datasets.load`.

    Raises:
        KvaeError: `run` is no finished run, or the export fails its proofs.
    """
    parts = {}
    for name in ("config.json", "metrics.json", "dataset.json"):
        try:
            parts[name] = json.loads((run / name).read_text(encoding="utf-8"))
        except OSError:
            raise KvaeError(f"{run} is not a finished run: it holds no readable {name}.") from None
        except ValueError as error:
            raise KvaeError(f"{run / name} is not valid JSON: {error}.") from None
    config = TrainConfig.from_dict(parts["config.json"])
    train_images = test_images = None
    try:
        data = datasets.load(config.dataset, data_dir)
        train_images = data.train.images
        test_images = binarization.held_out(data, "test", config.binarize == "dynamic")
    except DataError as error:
        logger.warning("the bundle will know no percentiles, and picture no reconstructions: %s", error)
    return export.export(
        load_model(run),
        out,
        dataset=parts["dataset.json"],
        metrics=parts["metrics.json"],
        training=config.to_dict(),
        binarize=str(config.binarize),
        train_images=train_images,
        test_images=test_images,
    )


def load_model(run: Path) -> Any:
    """The best model of a run, or that of a .keras file, computing in float32, whatever it was trained in.

    Raises:
        KvaeError: the run holds none, or it cannot be read.
    """
    path = run if run.is_file() else run / MODEL
    if not path.is_file():
        raise KvaeError(f"{run} holds no {MODEL}.")
    try:
        model = keras.models.load_model(path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise KvaeError(f"cannot load {path}: {' '.join(str(error).split())[:200]}") from None
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
    """Write JSON, indented."""
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
