"""Measures a run of a sweep: the evaluation of its bundle, its loss, and its samples."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization, noise
from kvae.comparison.settings import Setting
from kvae.data import Dataset, datasets
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.errors import KvaeError
from kvae.evaluation import evaluation, extractors, prior_samples
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.result import Evaluation
from kvae.files import pictures
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.runtime.bundle import Bundle

NUM_CODES = 10_000
"""The most training images whose codes the density is fitted to."""
NUM_SAMPLES = 10_000
"""How many samples are compared with the test images."""
NUM_PICTURED = 32


@dataclass(frozen=True)
class Result:
    """One setting, measured on the test images."""

    setting: Setting
    run: Path
    evaluation: Evaluation
    loss: Estimate
    """The loss that training minimised, on the test images, in nats per image."""
    history: dict[str, list[float]]
    """One number per epoch, as in `history.csv`."""
    sample_quality: dict[str, Estimate]
    """Of the mean images E[x|z] of draws from the prior against the grey test images: `frechet_distance`,
    `kernel_distance`, `density` and `coverage`, on the features of the shipped classifier. Empty if kvae ships none for
    such images, because each model's own encoder is another one."""
    fitted_quality: dict[str, Estimate]
    """The same of draws from a Gaussian fitted to the codes of training images after training."""
    against_reference: dict[str, Estimate] = field(default_factory=dict)
    """Paired differences from the sweep's reference, of the numbers whose difference means something; empty for the
    reference."""
    not_compared: str | None = None
    """Why the difference of the NLLs, or every difference, is missing above; see `kvae.bundle.comparable`."""
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
            "sample_quality": {name: asdict(value) for name, value in self.sample_quality.items()},
            "fitted_quality": {name: asdict(value) for name, value in self.fitted_quality.items()},
            "against_reference": {name: asdict(value) for name, value in self.against_reference.items()},
            "not_compared": self.not_compared,
            "evaluation": self.evaluation.to_dict(),
            "history": self.history,
        }


def measure(setting: Setting, run: Path, data_dir: Path | None, importance_samples: int) -> Result:
    config = setting.config
    data = datasets.of(config, data_dir)
    bits = config.is_of_bits
    test = held_out(data, "test", bits)
    bundle = Bundle.open(run / layout.BUNDLE, device="cpu", threads=1)
    labels = held_out_labels(data, "test") if config.model.conditional else None
    grey = held_out(data, "test", False) if bits else None
    measured = evaluation.evaluate(bundle, test, importance_samples, config.seed, labels=labels, grey=grey)
    entropy = np.sum(np.log(measured.scale) + 0.5 * np.log(2 * np.pi * np.e), axis=1)
    regularizer = measured.per_image["rate"] + (1 - config.entropy_weight) * entropy
    loss = measured.per_image["distortion"] + config.beta * regularizer
    if config.objective == "iwae":  # whose loss is the NLL as so few draws estimate it
        draws = config.num_draws or 1
        loss = evaluation.evaluate(bundle, test, draws, config.seed, "posterior", labels=labels).per_image["nll"]
    seen = data.train.images[:NUM_CODES]
    known = data.train.labels[:NUM_CODES] if config.model.conditional and data.train.labels is not None else None
    fitted = fitted_samples(bundle, seen, bits, NUM_SAMPLES, config.seed, known)
    samples = bundle.sample(NUM_SAMPLES, config.seed)
    qualities = _qualities(data, samples, fitted)
    originals = pictures.to_float32(test[:NUM_PICTURED])
    return Result(
        setting=setting,
        run=run,
        evaluation=measured,
        loss=Estimate.of(loss),
        history=_history(run),
        sample_quality=qualities[0],
        fitted_quality=qualities[1],
        pictures={
            "originals": originals,
            "reconstructions": bundle.reconstruct(originals, None if labels is None else labels[:NUM_PICTURED]),
            "samples": samples[:NUM_PICTURED],
            "fitted": fitted[:NUM_PICTURED],
        },
    )


def _qualities(data: Dataset, *sets: NDArray[np.float32]) -> list[dict[str, Estimate]]:
    """How alike each set of samples is to the grey test images."""
    extractor = extractors.shipped_for(data)
    if extractor is None:
        return [{} for _ in sets]
    images = pictures.to_float32(held_out(data, "test", False))
    real, *found = (extractor.compute(each, None).features.astype(np.float64) for each in (images, *sets))
    return [
        {name: number.estimate() for name, number in prior_samples.between(features, real).items()}
        for features in found
    ]


def _history(run: Path) -> dict[str, list[float]]:
    history = run_files.read_history(run / layout.HISTORY)
    if not all(history.get(name) for name in ("val_loss", "val_elbo")):
        raise KvaeError(f"{run / layout.HISTORY} holds no epochs: remove {run}, and run the command again.")
    return history


def fitted_samples(
    bundle: Bundle,
    images: NDArray[np.uint8],
    binarize: bool,
    n: int,
    seed: int = 0,
    labels: NDArray[np.int64] | None = None,
) -> NDArray[np.float32]:
    """Samples whose codes come from a Gaussian fitted to the aggregated posterior instead of the prior.

    Args:
        bundle: the model.
        images: uint8 training images `(m, height, width, channels)`, not binarised.
        binarize: whether the model is one of binarised images.
        n: number of samples.
        seed: seed of the draws.
        labels: the images' labels, if the model has labels; those of the samples are drawn as often as in training.

    Reference: Ghosh et al., From Variational to Deterministic Autoencoders, arXiv 1903.12436 (ex-post density
        estimation).
    """
    seen = binarization.binarize(images, key=0) if binarize else images
    posterior = bundle.encode(pictures.to_float32(seen), labels)
    loc = posterior.loc.astype(np.float64)
    covariance = np.cov(loc, rowvar=False).reshape(loc.shape[1], -1)
    covariance += np.diag(np.mean(posterior.scale.astype(np.float64) ** 2, axis=0))
    values, vectors = np.linalg.eigh(covariance)  # with tiny scales, rounding may make an eigenvalue negative
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    z = loc.mean(axis=0) + noise.standard_normal(seed, 0, n, loc.shape[1]) @ root.T
    weights = bundle.manifest.label_weights
    return bundle.decode(z, None if weights is None else noise.choices(seed, 0, n, weights, noise.LABELS))
