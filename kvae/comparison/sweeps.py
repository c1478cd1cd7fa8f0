"""The same model from the same seed under several settings: trained or taken from an earlier sweep, then measured.

Each setting has a run of its own in the sweep's folder, named after what was varied and a hash of all its settings; a
run that is there is taken as it is, one that was cut off goes on from its last checkpoint.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization, caveats, noise
from kvae.bundle.manifest import Manifest
from kvae.config import ModelConfig, TrainConfig, from_settings, kind_of
from kvae.data import datasets
from kvae.data.held_out import held_out
from kvae.errors import ConfigError, DataError, KvaeError
from kvae.evaluation import energy, evaluation
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.result import Evaluation
from kvae.files import pictures
from kvae.runs import files as run_files
from kvae.runtime.bundle import Bundle
from kvae.training import building, runs

NUM_CODES = 10_000
"""Training images whose codes the density is fitted to, at most."""
NUM_QUALITY = 2_000
"""Samples and test images in an energy distance, at most."""
NUM_PICTURED = 32

PRESETS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "why-kl": (
        {"dataset": "fashion_mnist_mini", "architecture": "mlp", "epochs": 60},
        {
            "λ = 2": {"entropy_weight": 2.0},
            "λ = 1: KL": {"regularizer": "kl"},
            "λ = 0.5": {"entropy_weight": 0.5},
            "λ = 0.1": {"entropy_weight": 0.1},
            "λ = 0: cross-entropy": {"regularizer": "cross-entropy"},
            "no regulariser": {"regularizer": "none"},
        },
    ),
}
"""Experiments by name: settings that all runs share, and for each run, under its label, what it varies."""


@dataclass(frozen=True)
class Setting:
    """One point of a sweep."""

    varied: dict[str, Any]
    """The settings that make it different, as they were given."""
    config: TrainConfig
    label: str | None = None

    @property
    def name(self) -> str:
        """Its label, or what was varied: "entropy_weight=0.1, beta=4"."""
        return self.label or ", ".join(f"{key}={_text(value)}" for key, value in self.varied.items())

    @property
    def folder(self) -> str:
        """The name of its run: what was varied, and a hash of all settings."""
        digest = hashlib.sha256(json.dumps(self.config.to_dict(), sort_keys=True).encode()).hexdigest()
        varied = ",".join(f"{key}={_text(value)}" for key, value in self.varied.items())
        return f"{varied[:80]}-{digest[:8]}"


@dataclass(frozen=True)
class Result:
    """One setting, measured on the test images."""

    setting: Setting
    run: Path
    evaluation: Evaluation
    loss: Estimate
    """What the optimiser minimised, on the test images, in nats per image."""
    history: dict[str, list[float]]
    """One number per epoch, as `history.csv` has them."""
    sample_distance: Estimate
    """Energy distance of mean images E[x|z] of draws of the prior from the grey test images; see
    `kvae.evaluation.energy`. The pixels' own noise is not in it."""
    fitted_distance: Estimate
    """The same for draws of a Gaussian fitted to the codes of training images afterwards."""
    against_reference: dict[str, Estimate] = field(default_factory=dict)
    """Paired differences from the sweep's reference; empty for the reference, and where kinds differ."""
    pictures: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """`originals`, `reconstructions`, `samples` and `fitted`, images in [0, 1]."""

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON values, without pictures."""
        return {
            "name": self.setting.name,
            "varied": self.setting.varied,
            "config": self.setting.config.to_dict(),
            "run": str(self.run),
            "loss": asdict(self.loss),
            "sample_distance": asdict(self.sample_distance),
            "fitted_distance": asdict(self.fitted_distance),
            "against_reference": {name: asdict(value) for name, value in self.against_reference.items()},
            "evaluation": self.evaluation.to_dict(),
            "history": self.history,
        }


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """A field and its values out of "beta=0.25,1,4".

    Raises:
        ConfigError: no such field, or a value of the wrong kind.
    """
    name, equals, rest = text.partition("=")
    name = name.strip().replace("-", "_")
    known = {
        item.name: item
        for config in (TrainConfig, ModelConfig)
        for item in fields(config)
        if item.metadata and kind_of(item) is not bool
    }
    if name not in known and name != "regularizer":
        raise ConfigError(f"cannot vary '{name}'. Settings: {', '.join([*known, 'regularizer'])}.")
    texts = [value.strip() for value in rest.split(",")]
    if not equals or not all(texts):
        raise ConfigError(f"--vary takes SETTING=VALUE,VALUE,...; got '{text}'.")
    if name == "regularizer" or known[name].metadata["choices"] or kind_of(known[name]) is str:
        return name, texts
    kind = kind_of(known[name])
    try:
        values = [kind(value) for value in texts]
    except ValueError:
        raise ConfigError(f"the values of {name} must be numbers ({kind.__name__}); got '{rest}'.") from None
    return name, values


def grid(base: Mapping[str, Any], vary: Sequence[tuple[str, list[Any]]]) -> list[Setting]:
    """All combinations of the varied values, the first field slowest.

    Raises:
        ConfigError: a field that is set and varied, one that is varied twice, or bad settings.
    """
    names = [name for name, _ in vary]
    for name in names:
        if names.count(name) > 1 or name in base:
            raise ConfigError(f"{name} is given more than once: vary it, or set it.")
    found: dict[TrainConfig, Setting] = {}
    for values in itertools.product(*(values for _, values in vary)):
        point = dict(zip(names, values, strict=True))
        setting = Setting(point, from_settings({**base, **point}))
        found.setdefault(setting.config, setting)  # a value given twice is taken once
    return list(found.values())


def preset(name: str, base: Mapping[str, Any]) -> list[Setting]:
    """The settings of a preset, with some of what all share changed by `base`.

    Raises:
        ConfigError: an unknown preset, or one of whose varied fields `base` sets.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset '{name}' is unknown. Known: {', '.join(PRESETS)}.")
    shared, points = PRESETS[name]
    own = {key for point in points.values() for key in point} | {"beta"}  # which the regulariser "none" sets
    for key in base:
        if key in own:
            raise ConfigError(f"the preset {name} varies {key} itself: it cannot be set beside it.")
    return [Setting(point, from_settings({**shared, **base, **point}), label) for label, point in points.items()]


def compare(
    settings: Sequence[Setting],
    out: Path,
    data_dir: Path | None = None,
    importance_samples: int = 500,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    announce: Callable[[str], None] = lambda line: None,
) -> list[Result]:
    """Train what is missing, measure all, and write `results.json` into the folder `out`.

    Args:
        settings: the points of the sweep. The reference of paired differences is the first whose loss is the negative
            ELBO, or simply the first.
        out: the sweep's folder, made if it is missing.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        importance_samples: draws per test image.
        callbacks: Keras callbacks of each training.
        announce: called with a line for each run as it begins.

    Raises:
        KvaeError: bad data, a run that diverges, or a folder that cannot be written.
    """
    evaluation.check_settings(importance_samples, "adaptive")  # what is wrong is said before hours of training
    for setting in settings:
        data = datasets.of(setting.config, data_dir)
        building.check_size(setting.config, len(data.train.images))
        _check_same_images(out / setting.folder, data)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KvaeError(f"cannot write {out}: {error.strerror}.") from None
    results = []
    for number, setting in enumerate(settings, 1):
        run, line = out / setting.folder, f"{number}/{len(settings)} {setting.name}"
        if run_files.is_finished(run):
            announce(f"{line}: {run} is there")
        else:
            keras.utils.clear_session()
            if (run / run_files.CONFIG).exists():  # cut off: the name has a hash of all settings
                announce(f"{line}: goes on")
                runs.resume(run, data_dir, callbacks)
            else:
                announce(line)
                runs.train(setting.config, run, data_dir, callbacks)
        results.append(_measure(setting, run, data_dir, importance_samples))
    results = _against_reference(results)
    runs.write_json(out / "results.json", {"results": [result.to_dict() for result in results]})
    return results


def _check_same_images(run: Path, data: datasets.Dataset) -> None:
    """Raise DataError where a finished run was trained on other images than the same path holds now."""
    if run_files.is_finished(run) and Manifest.read(run / "bundle").dataset["sha256"] != data.sha256:
        raise DataError(f"{run} was trained when {data.name} was other images. Name another --out, or remove this run.")


def reference(settings: Sequence[Setting]) -> int:
    """The index of the setting that the others are compared with."""
    plain = (index for index, setting in enumerate(settings) if caveats.about_loss(*_weights(setting)) is None)
    return next(plain, 0)


def _weights(setting: Setting) -> tuple[float, float]:
    return setting.config.beta, setting.config.entropy_weight


def _against_reference(results: list[Result]) -> list[Result]:
    base = results[reference([result.setting for result in results])].evaluation
    compared = []
    for result in results:
        ours = result.evaluation
        alike = ours is not base and ours.kind == base.kind and ours.images_sha256 == base.images_sha256
        difference = evaluation.paired(ours, base) if alike else {}
        compared.append(replace(result, against_reference=difference))
    return compared


def _measure(setting: Setting, run: Path, data_dir: Path | None, importance_samples: int) -> Result:
    config = setting.config
    data = datasets.of(config, data_dir)
    bits = config.is_of_bits
    test = held_out(data, "test", bits)
    bundle = Bundle.open(run / "bundle", device="cpu", threads=1)
    measured = evaluation.evaluate(bundle, test, importance_samples, config.seed)
    entropy = np.sum(np.log(measured.scale) + 0.5 * np.log(2 * np.pi * np.e), axis=1)
    regularizer = measured.per_image["rate"] + (1 - config.entropy_weight) * entropy
    fitted = fitted_samples(bundle, data.train.images[:NUM_CODES], bits, NUM_QUALITY, config.seed)
    samples = bundle.sample(NUM_QUALITY, config.seed)
    real = pictures.to_float32(data.test.images[:NUM_QUALITY])
    originals = pictures.to_float32(test[:NUM_PICTURED])
    return Result(
        setting=setting,
        run=run,
        evaluation=measured,
        loss=Estimate.of(measured.per_image["distortion"] + config.beta * regularizer),
        history=_history(run),
        sample_distance=Estimate(*energy.distance(samples, real)),
        fitted_distance=Estimate(*energy.distance(fitted, real)),
        pictures={
            "originals": originals,
            "reconstructions": bundle.reconstruct(originals),
            "samples": samples[:NUM_PICTURED],
            "fitted": fitted[:NUM_PICTURED],
        },
    )


def _history(run: Path) -> dict[str, list[float]]:
    history = run_files.read_history(run / run_files.HISTORY)
    if not history:
        raise KvaeError(f"{run / run_files.HISTORY} holds no epochs: remove {run}, and give the command again.")
    return history


def fitted_samples(
    bundle: Bundle, images: NDArray[np.uint8], binarize: bool, n: int, seed: int = 0
) -> NDArray[np.float32]:
    """Samples whose codes come from a Gaussian fitted to the aggregated posterior, in place of the prior.

    Args:
        bundle: the model.
        images: uint8 training images `(m, height, width, channels)`, as they are.
        binarize: whether the model is one of bits.
        n: number of samples.
        seed: seed of the draws.

    Reference: Ghosh et al., From Variational to Deterministic Autoencoders, arXiv 1903.12436 (ex-post density
        estimation).
    """
    seen = binarization.binarize(images, key=0) if binarize else images
    posterior = bundle.encode(seen / np.float32(255))
    loc = posterior.loc.astype(np.float64)
    covariance = np.cov(loc, rowvar=False).reshape(loc.shape[1], -1)
    covariance += np.diag(np.mean(posterior.scale.astype(np.float64) ** 2, axis=0))
    values, vectors = np.linalg.eigh(covariance)  # a covariance of tiny scales may not be positive to the last bit
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    z = loc.mean(axis=0) + noise.standard_normal(seed, 0, n, loc.shape[1]) @ root.T
    return bundle.decode(z)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
