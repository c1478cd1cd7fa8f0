"""Evaluates a bundle: ELBO, NLL and what its codes hold, each with its standard error.

One estimator, in numpy and onnxruntime, serves both runs and bundles, whether or not TensorFlow is installed.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization, comparable, densities
from kvae.bundle.manifest import Manifest
from kvae.errors import KvaeError
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.result import Evaluation
from kvae.files import pictures
from kvae.machine import cores
from kvae.machine.pool import Pool
from kvae.runtime import importance, information, latents
from kvae.runtime.bundle import Bundle
from kvae.runtime.latents import Floats

ENCODE_BATCH = 1024
"""Images encoded at a time."""
PROPOSALS = ("adaptive", "posterior")


def check_settings(importance_samples: int, proposal: str) -> None:
    """Raise KvaeError for settings that `evaluate` rejects; call it before reading data and opening models."""
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

    Memory grows with the number of images, not with the number of samples. Images are processed in parallel; the
    numbers depend only on the seed.

    Args:
        bundle: the model, with its encoder; evaluation is faster if it was opened with `threads=1`.
        images: uint8 `(n, height, width, channels)`, n at least 2; bytes 0 and 255 for a model of binarised images.
        importance_samples: draws from each posterior, at least 1. If the proposal is widened, they are drawn from it,
            and the distortion is the mean of `importance.PILOT_SAMPLES` further draws from the posterior itself.
        seed: seed of the draws.
        proposal: what to draw the importance samples from: "posterior" for the encoder's posterior, as in published
            figures; "adaptive", the default, for the same, widened if it is far too narrow (see
            `kvae.runtime.importance.widening`).
        progress: called with the number of images done since the last call.

    Raises:
        KvaeError: images of the wrong type or shape, fewer than 2 images, or a number of samples out of range.
    """
    if images.dtype != np.uint8 or len(images) < 2:
        raise KvaeError(f"evaluation takes at least 2 images of uint8; got {len(images)} of {images.dtype}.")
    if bundle.manifest.is_of_bits and np.any((images != 0) & (images != 255)):
        raise KvaeError(
            "this is a model of binarised images: evaluate it on bytes 0 and 255 (see kvae.bundle.binarization)."
        )
    check_settings(importance_samples, proposal)
    densities.check(bundle.manifest.likelihood)
    loc, scale = _encoded(bundle, images)
    group = max(1, importance.GROUP // importance_samples)

    def of_group(first: int) -> list[tuple[float, ...]]:
        part = slice(first, first + group)
        indices = range(len(images))[part]
        pixels = pictures.to_float32(images[part])
        return _estimates(
            bundle, pixels, loc[part], scale[part], indices, importance_samples, seed, proposal == "adaptive"
        )

    estimates: list[tuple[float, ...]] = []
    with Pool(cores.threads()) as pool:
        try:
            for found in pool.map(of_group, range(0, len(images), group)):
                estimates += found
                if progress:
                    progress(len(found))
        except BaseException:  # on Ctrl-C, do not start what is waiting in the pool
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    distortion, nll, effective, factors = np.array(estimates).T
    means, deviations = loc.astype(np.float64), scale.astype(np.float64)
    rate = latents.rates(means, deviations).sum(axis=1)
    first_draws = importance.draws(seed, range(len(means)), 0, 1, means.shape[1])[:, 0]
    info = information.measure(means, deviations, latents.posterior_draws(means, deviations, first_draws))
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
        loc=means,
        scale=deviations,
    )


def _encoded(bundle: Bundle, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """The means and standard deviations of the images' posteriors, `(n, latent_dim)` each."""
    posteriors = [
        bundle.encode(pictures.to_float32(images[first : first + ENCODE_BATCH]))
        for first in range(0, len(images), ENCODE_BATCH)
    ]
    loc, scale = (np.concatenate(parts) for parts in zip(*posteriors, strict=True))
    return loc, scale


def _estimates(
    bundle: Bundle,
    pixels: Floats,
    loc: Floats,
    scale: Floats,
    indices: Sequence[int],
    importance_samples: int,
    seed: int,
    adaptive: bool,
) -> list[tuple[float, ...]]:
    """For each image of a group its distortion, its NLL, the effective sample size and the proposal's widening."""
    factors = [
        importance.widening(bundle, *image, index, seed) if adaptive else 1.0
        for index, image in zip(indices, zip(pixels, loc, scale, strict=True), strict=True)
    ]
    wide = np.stack(list(map(importance.widened, scale, factors)))
    found = importance.estimates(bundle, pixels, loc, wide, indices, importance_samples, seed)
    if any(factor != 1.0 for factor in factors):
        own = importance.estimates(bundle, pixels, loc, scale, indices, importance.PILOT_SAMPLES, seed)
        found = [
            estimate if factor == 1.0 else estimate._replace(distortion=posterior.distortion)
            for estimate, posterior, factor in zip(found, own, factors, strict=True)
        ]
    return [(*estimate, factor) for estimate, factor in zip(found, factors, strict=True)]


def check_comparable(one: Manifest, other: Manifest) -> None:
    """Raise KvaeError if the numbers of two models are of different kinds, or from different test images."""
    reason = comparable.why_not(comparable.of_manifest(one), comparable.of_manifest(other))
    if reason:
        raise KvaeError(f"the models cannot be compared: {reason}.")


def paired(one: Evaluation, other: Evaluation) -> dict[str, Estimate]:
    """The mean of each number's difference, `one` minus `other`, image by image.

    Two models find the same images easy, so the standard error of the difference is far below that of either mean.
    Numbers that contain an NLL are left out if `kvae.bundle.comparable.why_no_nll` says that their difference means
    nothing.

    Raises:
        KvaeError: the numbers are of different kinds, or from different images.
    """
    reason = comparable.why_not(one.measured, other.measured)
    if reason:
        raise KvaeError(f"the models cannot be compared: {reason}.")
    left_out = comparable.BY_SAMPLING if comparable.why_no_nll(one.sampled, other.sampled) else ()
    return {
        name: Estimate.of(values - other.per_image[name])
        for name, values in one.per_image.items()
        if name not in left_out
    }
