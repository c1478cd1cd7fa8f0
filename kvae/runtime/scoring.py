"""The score of an image: its ELBO in nats, and its percentile among the training images. Low means unusual.

The score depends only on the image: the draws from its posterior use the same noise for every image, namely
`noise.standard_normal(seed, j)` for draw j. docs/bundle-format.md specifies it for other languages.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization
from kvae.bundle.manifest import Manifest
from kvae.errors import BundleError
from kvae.files import pictures
from kvae.machine import cores
from kvae.machine.pool import Pool
from kvae.runtime import importance, latents
from kvae.runtime.bundle import Bundle
from kvae.runtime.latents import Doubles, Floats, Posterior

DRAWS = 10
"""Draws from an image's posterior. They leave about 1 nat of noise in a score; the shipped model's differ by 77."""
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


def score(bundle: Bundle, images: Floats, draws: int = DRAWS, seed: int = SEED, threads: int | None = None) -> Scores:
    """Score images in parallel; all of them are held in memory.

    Args:
        bundle: the model, with its encoder; it is faster if opened with `threads=1`.
        images: `(n, height, width, channels)` float32 in [0, 1], binary for a model of bits (see
            `kvae.bundle.binarization.as_encoded`).
        draws: draws from each posterior.
        seed: seed of their noise.
        threads: groups of images to process at a time; None, the default, is one per core.

    Raises:
        KvaeError: the images have the wrong shape or range.
        BundleError: the model has no encoder, or kvae knows no density for its likelihood.
    """
    return _score(bundle, images, bundle.encode(images), draws, seed, threads)


def _score(
    bundle: Bundle, images: Floats, posterior: Posterior, draws: int, seed: int, threads: int | None = None
) -> Scores:
    group = max(1, importance.GROUP // draws)

    def distortions(first: int) -> list[float]:
        part = slice(first, first + group)
        loc, scale = posterior.loc[part], posterior.scale[part]
        same_noise = [0] * len(loc)  # the index that selects the noise of an image
        found = importance.estimates(bundle, images[part], loc, scale, same_noise, draws, seed)
        return [estimate.distortion for estimate in found]

    with Pool(threads or cores.threads()) as pool:
        distortion = np.concatenate(list(pool.map(distortions, range(0, len(images), group))))
    rate = latents.rates(posterior.loc, posterior.scale).sum(axis=1)
    return Scores(-distortion - rate, distortion, rate)


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


def training_statistics(bundle: Bundle, images: NDArray[np.uint8], labels: Any = None) -> dict[str, Any]:
    """The manifest's fields `posterior` and `scoring`, from training images.

    Args:
        bundle: the model.
        images: uint8 `(n, height, width, channels)`, as in the data set; only the first `STATISTICS_IMAGES` are used.
    """
    images = images[:STATISTICS_IMAGES]
    posteriors, scores = [], []
    for first in range(0, len(images), BATCH):
        batch = binarization.as_encoded(bundle.manifest, pictures.to_float32(images[first : first + BATCH]))
        posteriors.append(bundle.encode(batch))
        scores.append(_score(bundle, batch, posteriors[-1], DRAWS, SEED).elbo)
    loc, scale = (np.concatenate(parts).astype(np.float64) for parts in zip(*posteriors, strict=True))
    columns = {
        "loc_mean": loc.mean(axis=0),
        "loc_std": loc.std(axis=0),
        "scale_mean": scale.mean(axis=0),
        "rate": latents.rates(loc, scale).mean(axis=0),
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


def _rounded(values: Doubles) -> list[float]:
    return [float(f"{value:.7g}") for value in values]  # as many digits as float32 has
