"""The score of an image: its ELBO in nats, and its percentile among the training images. Low means unusual.

The score depends only on the image, and on its label if the model has labels: the draws from its posterior use the same
noise for every image, namely `noise.standard_normal(seed, j)` for draw j. docs/bundle-format.md specifies it for other
languages.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization, noise
from kvae.bundle.manifest import Manifest
from kvae.errors import BundleError
from kvae.files import pictures
from kvae.machine import cores
from kvae.machine.pool import Pool
from kvae.runtime import class_labels, importance, latents
from kvae.runtime.class_labels import Label, Labels
from kvae.runtime.latents import Doubles, Floats, Posterior
from kvae.runtime.model import Model

DRAWS = 10
"""Draws from an image's posterior. They leave about 1 nat of noise in a score; those of test images differ by 77."""
NLL_DRAWS = 100
"""Draws from which `nll` is estimated."""
SEED = 0
PERCENTS = (0.0, 0.1, 0.2, 0.5, *map(float, range(1, 100)), 99.5, 99.8, 99.9, 100.0)
"""Percentiles of the training images' ELBO that a bundle records: finer at the ends, where anomalies are."""
STATISTICS_IMAGES = 5000
"""Training images used for a bundle's statistics, which takes a few seconds with the convolutional network."""
BATCH = 1024
"""Images encoded at a time by `training_statistics`."""


class Scores(NamedTuple):
    """The scores of images, `(n,)` each, in nats; elbo = -distortion - rate."""

    elbo: Doubles
    distortion: Doubles
    rate: Doubles
    label: Labels | None = None
    """The labels that the images were scored with; None for a model without labels."""


def score(
    bundle: Model,
    images: Floats,
    draws: int = DRAWS,
    seed: int = SEED,
    threads: int | None = None,
    label: Label | None = None,
) -> Scores:
    """Score images in parallel; all of them are held in memory.

    Args:
        bundle: the model, with its encoder; it is faster if opened with `threads=1`.
        images: `(n, height, width, channels)` float32 in [0, 1], binary for a model of bits (see
            `kvae.bundle.binarization.as_encoded`).
        draws: draws from each posterior.
        seed: seed of their noise.
        threads: groups of images to process at a time; None, the default, is one per core.
        label: the images' class, if the model has labels: the score is then a bound on log p(x|y). One label by
            name or number, one for each image, or "best": for each image the label with the highest score, of which the
            first if several have it.

    Raises:
        KvaeError: the images have the wrong shape or range, or a label is missing or not one of the model's.
        BundleError: the model has no encoder, or kvae knows no density for its likelihood.
    """
    if class_labels.is_best(bundle.manifest, label):
        return _best(bundle, images, draws, seed, threads)
    labels = class_labels.resolve(bundle.manifest, label, len(images))
    return _score(bundle, images, bundle.encode(images, labels), draws, seed, labels, threads)


def _best(bundle: Model, images: Floats, draws: int, seed: int, threads: int | None) -> Scores:
    """The scores of images with the label that scores highest."""
    best = score(bundle, images, draws, seed, threads, 0)
    for label in range(1, len(bundle.manifest.labels or [])):
        found = score(bundle, images, draws, seed, threads, label)
        better = found.elbo > best.elbo
        pairs = zip(found, best, strict=True)
        best = Scores(*(np.where(better, new, old) for new, old in pairs if new is not None and old is not None))
    return best


def _score(
    bundle: Model,
    images: Floats,
    posterior: Posterior,
    draws: int,
    seed: int,
    labels: Labels | None = None,
    threads: int | None = None,
) -> Scores:
    distortion, rate, _ = _measured(bundle, images, posterior, draws, seed, labels, threads)
    return Scores(-distortion - rate, distortion, rate, labels)


def nll(
    bundle: Model,
    images: Floats,
    draws: int = NLL_DRAWS,
    seed: int = SEED,
    threads: int | None = None,
    label: Label | None = None,
) -> Doubles:
    """-log p(x) of images in nats, `(n,)`, by importance sampling; see `kvae.runtime.importance`.

    In expectation an upper bound, which falls with the number of draws. Like the score it depends only on the image.
    Arguments and errors are those of `score`, but `label` is not "best".
    """
    labels = class_labels.resolve(bundle.manifest, label, len(images))
    return _measured(bundle, images, bundle.encode(images, labels), draws, seed, labels, threads)[2]


def _measured(
    bundle: Model,
    images: Floats,
    posterior: Posterior,
    draws: int,
    seed: int,
    labels: Labels | None,
    threads: int | None,
) -> tuple[Doubles, Doubles, Doubles]:
    """The distortion, the rate and the NLL of each image, `(n,)`, from the same noise for all."""
    group = max(1, importance.GROUP // draws)

    def measured(first: int) -> tuple[Doubles, Doubles, Doubles]:
        part = slice(first, first + group)
        loc, scale = posterior.loc[part], posterior.scale[part]
        same_noise = [0] * len(loc)  # the index that selects the noise of an image
        label = None if labels is None else labels[part]
        found = importance.estimates(bundle, images[part], loc, scale, same_noise, draws, seed, label=label)
        return found.distortion, found.rate, found.nll

    with Pool(threads or cores.threads()) as pool:
        parts = list(pool.map(measured, range(0, len(images), group)))
    distortion, rate, found = (np.concatenate(column) for column in zip(*parts, strict=True))
    return distortion, rate, found


def recorded_settings(manifest: Manifest) -> tuple[int, int]:
    """The draws and the seed of the bundle's percentiles, or the defaults if it has none."""
    scoring = manifest.scoring or {"draws": DRAWS, "seed": SEED}
    return scoring["draws"], scoring["seed"]


def percentile(manifest: Manifest, elbo: Doubles) -> Doubles:
    """The share of the training images, in percent, with a lower ELBO.

    Args:
        manifest: the manifest of a bundle with statistics of its training images.
        elbo: as `score` returns it with `recorded_settings`.

    Raises:
        BundleError: the bundle has no such statistics.
    """
    if manifest.scoring is None:
        raise BundleError("this bundle has no statistics of its training images; export it again with this kvae.")
    known = np.asarray(manifest.scoring["elbo"])
    percents = np.asarray(manifest.scoring["percents"])
    below = np.searchsorted(known, elbo, side="right") - 1  # of equal entries, the one with the highest percent
    at = np.clip(below, 0, len(known) - 2)
    with np.errstate(divide="ignore", invalid="ignore"):  # if both ends are equal, and elbo is beyond them
        share = (elbo - known[at]) / (known[at + 1] - known[at])
    inside = percents[at] + share * (percents[at + 1] - percents[at])
    found = np.where(below < 0, 0.0, np.where(below > at, 100.0, inside))
    return np.where(np.isnan(elbo), np.nan, found)  # NaN sorts after all numbers, and would rank as the best


def training_statistics(bundle: Model, images: NDArray[np.uint8], labels: Label | None = None) -> dict[str, Any]:
    """The manifest's fields `posterior` and `scoring`, from training images.

    The posteriors of a ladder are those of one draw of the noise for each image, number i of seed `SEED` for image i.
    The rate of a dimension is its KL to N(0, 1). Another prior need not be a product over dimensions; then it is the KL
    to the Gaussian that has the mean and the variance of the dimension's codes, of all images.

    Args:
        bundle: the model.
        images: uint8 `(n, height, width, channels)`, as in the data set; only the first `STATISTICS_IMAGES` are used.
        labels: their labels, if the model has labels.
    """
    known = class_labels.resolve(bundle.manifest, labels, len(images))
    images = images[:STATISTICS_IMAGES]
    posteriors, scores = [], []
    for first in range(0, len(images), BATCH):
        part = slice(first, first + BATCH)
        batch = binarization.as_encoded(bundle.manifest, pictures.to_float32(images[part]))
        label = None if known is None else known[: len(images)][part]
        epsilon = None
        if bundle.manifest.groups is not None:
            epsilon = noise.standard_normal(SEED, first, len(batch), bundle.manifest.latent_dim)
        posteriors.append(bundle.encode(batch, label, epsilon))
        scores.append(_score(bundle, batch, posteriors[-1], DRAWS, SEED, label).elbo)
    loc, scale = (np.concatenate(parts).astype(np.float64) for parts in zip(*posteriors, strict=True))
    columns = {
        "loc_mean": loc.mean(axis=0),
        "loc_std": loc.std(axis=0),
        "scale_mean": scale.mean(axis=0),
        "rate": latents.rates(loc, scale).mean(axis=0) if bundle.prior.has_closed_rate else _rates(loc, scale),
    }
    elbo = np.percentile(np.concatenate(scores), PERCENTS)
    return {
        "posterior": {"num_images": len(images)} | {name: _rounded(values) for name, values in columns.items()},
        "scoring": {
            "num_images": len(images),
            "draws": DRAWS,
            "seed": SEED,
            "percents": list(PERCENTS),
            "elbo": _rounded(elbo),
        },
    }


def _rates(loc: Doubles, scale: Doubles) -> Doubles:
    """The mean KL of each dimension to the Gaussian with the mean and the variance of its codes, `(latent_dim,)`."""
    variance = loc.var(axis=0) + np.mean(scale**2, axis=0)
    return 0.5 * np.log(variance) - np.mean(np.log(scale), axis=0)


def _rounded(values: Doubles) -> list[float]:
    return [float(f"{value:.7g}") for value in values]  # as many digits as float32 has
