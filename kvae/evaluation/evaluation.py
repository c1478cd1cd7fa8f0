"""How good a model is: ELBO, NLL and what its codes hold, from its bundle alone, each with its standard error.

One estimator in numpy over onnxruntime serves runs and bundles, with TensorFlow installed or not.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization, caveats, densities
from kvae.bundle.manifest import Manifest
from kvae.config import TrainConfig
from kvae.data import datasets
from kvae.errors import DataError, KvaeError
from kvae.files import pictures
from kvae.runtime import importance, information
from kvae.runtime.bundle import Bundle

ENCODE_BATCH = 1024
"""Images encoded at a time."""
MIN_EFFECTIVE = 3.0
"""An image whose effective sample size is below this has an NLL that rests on one or two draws."""
MAX_SHARE_BELOW = 0.1
"""Share of such images from which on the mean NLL is not to be believed."""
MAX_BIAS = 0.02
"""Nats of estimated bias from which on it is said."""
MAX_SHARE_WIDENED = 0.25
"""Share of images with a widened proposal from which on the encoder is called too narrow."""
COLLAPSED_RATE = 0.1
"""Nats per latent dimension below which a code with (nearly) no active unit is called collapsed."""
PROPOSALS = ("adaptive", "posterior")
CONFIG = "config.json"
"""The settings of a run, in the folder that its bundle's folder stands in."""
OWN_SETTINGS = ("image_size", "grayscale", "split_seed", "max_bad")
"""The settings that make a data set of a user's images."""
DETERMINISTIC = 0.01
"""A latent dimension whose posterior scale is below this share of the spread of its means acts without noise."""


@dataclass(frozen=True)
class Estimate:
    """A mean over images and its standard error over images."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> "Estimate":
        """From one number per image; the standard error holds the noise of the estimator too."""
        doubles = np.asarray(values, np.float64)
        return cls(float(doubles.mean()), float(doubles.std(ddof=1) / np.sqrt(len(doubles))))


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` finds."""

    manifest: Manifest
    images_sha256: str
    """Hash of the images as the model met them: two evaluations are of the same images where it is the same."""
    importance_samples: int
    proposal: str
    seed: int
    per_image: dict[str, NDArray[np.float64]]
    """One number per image, nats if not said otherwise: `elbo`, `distortion`, `rate`, `nll`, `gap` (the sharpness of
    the bound: nll below -elbo), `bits_per_dim` (nll in bits per pixel and channel; of a density it is differential,
    without the 8 bits of a level, and can be negative), `effective_sample_size` (draws),
    `widening` (factor on the proposal's scale; 1 is the posterior itself), and, for one draw each,
    `mutual_information` and `marginal_kl`, of which only the means mean something."""
    loc: NDArray[np.float64]
    """Posterior means, `(n, latent_dim)`."""
    scale: NDArray[np.float64]
    """Posterior standard deviations, `(n, latent_dim)`."""

    @cached_property
    def metrics(self) -> dict[str, Estimate]:
        """The means over images by name, and `active_units`, whose standard error is the bootstrap's."""
        active = Estimate(float(self.active.sum()), information.active_units_error(self.loc))
        return {name: Estimate.of(values) for name, values in self.per_image.items()} | {"active_units": active}

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Which latent dimensions are in use; see `kvae.runtime.information.active_units`."""
        return information.active_units(self.loc)

    @cached_property
    def posterior_scale(self) -> list[Estimate]:
        """The mean posterior standard deviation of each latent dimension."""
        return [Estimate.of(column) for column in self.scale.T]

    @property
    def kind(self) -> str:
        """What the NLL is of; see `kvae.bundle.caveats.kind`."""
        return caveats.kind(self.manifest.likelihood, self.manifest.binarize)

    @property
    def about(self) -> str:
        """The same in words."""
        return caveats.about_numbers(self.manifest.likelihood, self.manifest.binarize)

    @property
    def loss_caveat(self) -> str | None:
        """What to say of the loss the model was trained on, where it is not the negative ELBO."""
        return caveats.about_training(self.manifest.training)

    @property
    def nll_is_believable(self) -> bool:
        """Whether (nearly) all images have more than a draw or two behind their NLL."""
        return float(np.mean(self.per_image["effective_sample_size"] < MIN_EFFECTIVE)) <= MAX_SHARE_BELOW

    @property
    def nll_bias(self) -> float:
        """How much too high the NLL is in expectation, in nats: the mean of 1/(2 ESS) - 1/(2 S).

        It is the first term of the delta method for the logarithm of a mean, and too small where weights have heavy
        tails.
        """
        effective = self.per_image["effective_sample_size"]
        return float(np.mean(0.5 / effective)) - 0.5 / self.importance_samples

    @property
    def warnings(self) -> list[str]:
        """What the numbers say is wrong, in words."""
        found = []
        rate, latent_dim = self.per_image["rate"].mean(), self.manifest.latent_dim
        num_active = int(self.active.sum())
        if num_active <= latent_dim // 10 and rate < COLLAPSED_RATE * latent_dim:
            found.append(
                f"posterior collapse: {num_active} of {latent_dim} latent dimensions are in use, and the code carries "
                f"{rate:.2f} nats; the decoder all but ignores it. Lower beta or warm it up."
            )
        noiseless = int(np.sum(self.scale.mean(axis=0) < DETERMINISTIC * self.loc.std(axis=0)))
        if noiseless:
            found.append(
                f"scales at the floor: in {noiseless} of {latent_dim} latent dimensions the posterior's scale is below "
                f"{DETERMINISTIC:.0%} of the spread of its means; there the model is an autoencoder without noise, and "
                f"draws of the prior need not fall where its codes are."
            )
        wide = float(np.mean(self.per_image["widening"] > 1))
        if wide > MAX_SHARE_WIDENED:
            found.append(
                f"the encoder is too narrow: for {wide:.0%} of the images the NLL was sampled with the posterior's "
                f"scale widened, by up to {self.per_image['widening'].max():g}; with the posterior as the proposal it "
                f"would come out too high. The ELBO and the rate are the encoder's own."
            )
        if not self.nll_is_believable:
            below = float(np.mean(self.per_image["effective_sample_size"] < MIN_EFFECTIVE))
            found.append(
                f"the NLL is not to be believed: for {below:.0%} of the images the effective sample size is below "
                f"{MIN_EFFECTIVE:.0f} of {self.importance_samples}; in expectation it is an upper bound, and may be "
                f"far above the model's own. Take more --importance-samples."
            )
        elif self.nll_bias > MAX_BIAS:
            found.append(
                f"the NLL is too high by about {self.nll_bias:.2f} nats or more, judged by the effective sample size; "
                f"its standard error does not hold that. Take more --importance-samples."
            )
        limit = np.log(len(self.loc))
        if self.per_image["mutual_information"].mean() > 0.9 * limit:
            found.append(
                f"the mutual information is near its limit for {len(self.loc)} images, {limit:.2f} nats: over all "
                f"images I(x;z) is at least the value stated, and the marginal KL at most."
            )
        return found

    def to_dict(self) -> dict[str, Any]:
        """The evaluation as JSON values, without the values per image."""
        return {
            "dataset": self.manifest.dataset["name"],
            "split": "test",
            "num_images": len(self.loc),
            "images_sha256": self.images_sha256,
            "likelihood": self.manifest.likelihood,
            "binarize": self.manifest.binarize,
            "kind": self.kind,
            "about": self.about,
            "loss_caveat": self.loss_caveat,
            "importance_samples": self.importance_samples,
            "proposal": self.proposal,
            "seed": self.seed,
            "metrics": {name: asdict(metric) for name, metric in self.metrics.items()},
            "posterior_scale": [asdict(scale) for scale in self.posterior_scale],
            "active": [bool(active) for active in self.active],
            "nll_is_believable": self.nll_is_believable,
            "nll_bias": self.nll_bias,
            "warnings": self.warnings,
        }


def data_of(manifest: Manifest, data_dir: Path | None = None, own: Path | None = None) -> datasets.Dataset:
    """The data set that a bundle was trained on.

    Args:
        manifest: the bundle's.
        data_dir: where the files of a named data set are; see `kvae.data.datasets.load`.
        own: where the images of a user's own are; see `own_images`.

    Raises:
        DataError: the images are not to be had, or not the same any more.
    """
    name, sha256 = manifest.dataset["name"], manifest.dataset["sha256"]
    source = datasets.SOURCES.get(name)
    if own is not None and source is not None and source.sha256 == sha256:
        raise DataError(
            f"the model was trained on {name}: --data is for models of images of one's own. kvae score takes any."
        )
    if own is not None:
        settings = {key: manifest.training[key] for key in OWN_SETTINGS if key in manifest.training}
        data = datasets.of(TrainConfig(dataset=name, data=str(own), **settings))
        if data.sha256 != sha256:
            raise DataError(
                f"the images in {own} are not those that the model was trained on (sha256 {data.sha256[:12]}..., "
                f"expected {sha256[:12]}...): some were changed, added or taken away."
            )
        return data
    if source is None:
        raise DataError(
            f"the model was trained on '{name}', images of somebody's own, and the run that knows where they are is "
            f"not beside it. Name them by --data."
        )
    if source.sha256 != sha256:  # before anything is downloaded
        raise DataError(
            f"the model was trained on another {name} (sha256 {sha256[:12]}...) than kvae has "
            f"({source.sha256[:12]}...). Name them by --data, if they are images of your own."
        )
    return datasets.load(name, data_dir)


def own_images(bundle: Path) -> Path | None:
    """Where the run that a bundle stands in says its images are; None for a named data set, or without a run.

    Args:
        bundle: a bundle folder, or a graph in one.

    Raises:
        DataError: they are there no more.
    """
    folder = bundle.resolve().parent if bundle.is_file() else bundle.resolve()
    try:
        config = json.loads((folder.parent / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    path = config.get("data") if isinstance(config, dict) else None
    if not isinstance(path, str):
        return None
    if not os.path.lexists(path):
        raise DataError(
            f"the images that {folder.parent} was trained on are not in {path} any more. Name them by --data."
        )
    return Path(path)


def test_images(manifest: Manifest, data_dir: Path | None = None, own: Path | None = None) -> NDArray[np.uint8]:
    """The test images of `data_of` a bundle, binarised if the model is one of bits."""
    return binarization.held_out(data_of(manifest, data_dir, own), "test", manifest.binarize == "dynamic")


def check_settings(importance_samples: int, proposal: str) -> None:
    """Raise KvaeError for settings that `evaluate` does not take; before data are read, and models opened."""
    if not 1 <= importance_samples <= importance.MAX_SAMPLES:
        raise KvaeError(f"importance_samples must be between 1 and {importance.MAX_SAMPLES}; got {importance_samples}.")
    if proposal not in PROPOSALS:
        raise KvaeError(f"proposal must be one of {', '.join(PROPOSALS)}; got '{proposal}'.")


def evaluate(
    bundle: Bundle,
    images: NDArray[np.uint8],
    importance_samples: int = 500,
    seed: int = 0,
    proposal: str = "adaptive",
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Evaluate a model on images.

    Memory grows with the number of images, not with that of the samples. Images are worked on in parallel; the numbers
    depend on the seed alone.

    Args:
        bundle: the model, with its encoder; opened with `threads=1` it is faster.
        images: uint8 `(n, height, width, channels)`, n at least 2; for a model of bits, bytes 0 and 255.
        importance_samples: draws of each posterior, at least 1. Where the proposal is widened they are draws of that,
            and the distortion is the mean of `importance.PILOT_SAMPLES` further ones of the posterior itself.
        seed: seed of the draws.
        proposal: what the importance samples are drawn from: "posterior" for the encoder's, as published figures have
            it; "adaptive", the default, for the same widened where that is far too narrow (see
            `kvae.runtime.importance.widening`).
        progress: called with the number of images done since the last call.

    Raises:
        KvaeError: images of another type or shape, fewer than 2, or a number of samples out of range.
    """
    if images.dtype != np.uint8 or len(images) < 2:
        raise KvaeError(f"evaluation takes at least 2 images of uint8; got {len(images)} of {images.dtype}.")
    if bundle.manifest.binarize == "dynamic" and np.any((images != 0) & (images != 255)):
        raise KvaeError(
            "this is a model of binarised images: evaluate it on bytes 0 and 255 (kvae.bundle.binarization)."
        )
    check_settings(importance_samples, proposal)
    densities.check(bundle.manifest.likelihood)
    posteriors = [
        bundle.encode(images[first : first + ENCODE_BATCH] / np.float32(255))
        for first in range(0, len(images), ENCODE_BATCH)
    ]
    loc, scale = (np.concatenate(parts) for parts in zip(*posteriors, strict=True))

    def of_images(first: int) -> list[tuple[float, ...]]:
        part = slice(first, first + group)
        pixels, own_loc, own_scale = pictures.to_float32(images[part]), loc[part], scale[part]
        indices = range(first, first + len(pixels))
        factors = [
            importance.widening(bundle, *image, index, seed) if proposal == "adaptive" else 1.0
            for index, image in zip(indices, zip(pixels, own_loc, own_scale, strict=True), strict=True)
        ]
        wide = np.stack(list(map(importance.widened, own_scale, factors)))
        found = importance.estimates(bundle, pixels, own_loc, wide, indices, importance_samples, seed)
        if any(factor != 1.0 for factor in factors):
            pilots = importance.PILOT_SAMPLES
            own = importance.estimates(bundle, pixels, own_loc, own_scale, indices, pilots, seed)
            found = [
                estimate if factor == 1.0 else estimate._replace(distortion=posterior.distortion)
                for estimate, posterior, factor in zip(found, own, factors, strict=True)
            ]
        return [(*estimate, factor) for estimate, factor in zip(found, factors, strict=True)]

    group = max(1, importance.GROUP // importance_samples)
    estimates: list[tuple[float, ...]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for found in pool.map(of_images, range(0, len(images), group)):
                estimates += found
                if progress:
                    progress(len(found))
        except BaseException:  # Ctrl-C: what is waiting in the pool is not begun
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    distortion, nll, effective, factors = np.array(estimates).T
    loc, scale = loc.astype(np.float64), scale.astype(np.float64)
    rate = information.rates(loc, scale).sum(axis=1)
    first_draws = importance.draws(seed, range(len(loc)), 0, 1, loc.shape[1])[:, 0]
    info = information.measure(loc, scale, loc + scale * first_draws)
    return Evaluation(
        manifest=bundle.manifest,
        images_sha256=binarization.sha256(images),
        importance_samples=importance_samples,
        proposal=proposal,
        seed=seed,
        per_image={
            "elbo": -distortion - rate,
            "distortion": distortion,
            "rate": rate,
            "nll": nll,
            "gap": distortion + rate - nll,
            "bits_per_dim": nll / (np.prod(images.shape[1:]) * np.log(2)),
            "effective_sample_size": effective,
            "widening": factors,
            "mutual_information": info.mutual_information,
            "marginal_kl": info.marginal_kl,
        },
        loc=loc,
        scale=scale,
    )


def check_comparable(one: Manifest, other: Manifest) -> None:
    """Raise KvaeError where the numbers of two models are not of the same kind, or not of the same test images."""
    if caveats.kind(one.likelihood, one.binarize) != caveats.kind(other.likelihood, other.binarize):
        kinds = [caveats.about_numbers(manifest.likelihood, manifest.binarize) for manifest in (one, other)]
        raise KvaeError(f"the models cannot be compared: one has {kinds[0]}; the other {kinds[1]}.")
    if (one.dataset["sha256"], one.binarize) != (other.dataset["sha256"], other.binarize):
        raise KvaeError(
            f"the models cannot be compared: their test images differ ({one.dataset['name']}, binarize {one.binarize}; "
            f"{other.dataset['name']}, binarize {other.binarize})."
        )


def paired(one: Evaluation, other: Evaluation) -> dict[str, Estimate]:
    """The mean difference of each number, `one` minus `other`, image by image; `check_comparable` says of which models.

    Two models find the same images easy: the standard error of the difference is far below that of either mean.
    """
    return {name: Estimate.of(values - other.per_image[name]) for name, values in one.per_image.items()}
