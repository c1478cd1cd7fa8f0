"""How good a model is: ELBO, NLL and what its codes hold, from its bundle alone, each with its standard error.

One estimator in numpy over onnxruntime serves runs and bundles, with TensorFlow installed or not.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization, caveats, densities
from kvae.bundle.manifest import Manifest
from kvae.errors import KvaeError
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.result import Evaluation
from kvae.files import pictures
from kvae.runtime import importance, information
from kvae.runtime.bundle import Bundle

ENCODE_BATCH = 1024
"""Images encoded at a time."""
PROPOSALS = ("adaptive", "posterior")


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
    if bundle.manifest.is_of_bits and np.any((images != 0) & (images != 255)):
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
