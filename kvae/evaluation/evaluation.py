"""Evaluates a bundle: ELBO, NLL and what its codes hold, each with its standard error.

One estimator, in numpy and onnxruntime, serves both runs and bundles, whether or not TensorFlow is installed.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

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
from kvae.runtime import class_labels, importance, information, labelling, latents
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Label, Labels
from kvae.runtime.latents import Doubles, Floats

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
    labels: Label | None = None,
    grey: NDArray[np.uint8] | None = None,
) -> Evaluation:
    """Evaluate a model on images.

    A model with labels is evaluated given the label of each image: its ELBO is a bound on log p(x|y), and its NLL is
    -log p(x|y). Beside it is `nll_marginal`, -log p(x) = -log sum_y p(y) p(x|y) with the labels as frequent as among
    the training images: the sum of the estimates for the image's own label and for all others, which share as many
    further draws. That is what a model without labels can be compared by.

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
        labels: the images' labels, `(n,)`, by number or name, if the model has labels; or "best", for the label with
            the highest ELBO, which makes the numbers too good.
        grey: the images that binarised `images` were drawn from, of the same shape. With them there is
            `pixel_entropy`, below which no NLL can be in expectation.

    Raises:
        KvaeError: images of the wrong type or shape, fewer than 2 images, grey images of another shape, a number of
            samples out of range, or labels that are missing or not the model's.
    """
    if images.dtype != np.uint8 or len(images) < 2:
        raise KvaeError(f"evaluation takes at least 2 images of uint8; got {len(images)} of {images.dtype}.")
    if bundle.manifest.is_of_bits and np.any((images != 0) & (images != 255)):
        raise KvaeError(
            "this is a model of binarised images: evaluate it on bytes 0 and 255 (see kvae.bundle.binarization)."
        )
    if grey is not None and (grey.dtype, grey.shape) != (images.dtype, images.shape):
        raise KvaeError(
            f"grey must be the images that the bits were drawn from, uint8 {images.shape}; got {grey.dtype} "
            f"{grey.shape}."
        )
    check_settings(importance_samples, proposal)
    densities.check(bundle.manifest.likelihood)
    known = _known_labels(bundle, images, labels)
    loc, scale = _encoded(bundle, images, known)
    group = max(1, importance.GROUP // importance_samples)

    def of_group(first: int) -> _OfGroup:
        part = slice(first, first + group)
        indices = range(len(images))[part]
        pixels = pictures.to_float32(images[part])
        label = None if known is None else known[part]
        return _estimates(
            bundle, pixels, loc[part], scale[part], indices, importance_samples, seed, proposal == "adaptive", label
        )

    found: list[_OfGroup] = []
    with Pool(cores.threads()) as pool:
        try:
            for made in pool.map(of_group, range(0, len(images), group)):
                found.append(made)
                if progress:
                    progress(len(made.widening))
        except BaseException:  # on Ctrl-C, do not start what is waiting in the pool
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    distortion, nll, effective, factors, rates, marginal = (np.concatenate(parts) for parts in zip(*found, strict=True))
    means, deviations = loc.astype(np.float64), scale.astype(np.float64)
    rate = rates[:, 0] if rates.shape[1] == 1 else rates.sum(axis=1)
    per_image = {
        "elbo": -distortion - rate,
        "distortion": distortion,
        "rate": rate,
        "nll": nll,
        "gap": distortion + rate - nll,
        "bits_per_dim": nll / (np.prod(images.shape[1:]) * np.log(2)),
        "effective_sample_size": effective,
        "widening": factors,
    }
    if grey is not None:
        per_image["pixel_entropy"] = binarization.entropy(grey)
    if known is not None:
        per_image |= {"nll_marginal": marginal[:, 0], "effective_sample_size_marginal": marginal[:, 1]}
    if bundle.manifest.groups is None:
        per_image |= _information(bundle, means, deviations, seed, known)._asdict()
    return Evaluation(
        manifest=bundle.manifest,
        images_sha256=binarization.sha256(images),
        importance_samples=importance_samples,
        proposal=proposal,
        seed=seed,
        per_image=per_image,
        loc=means,
        scale=deviations,
        labels=known,
        labels_are_best=class_labels.is_best(bundle.manifest, labels),
        group_rates=rates if bundle.manifest.groups is not None and bundle.prior.has_closed_rate else None,
    )


def _known_labels(bundle: Bundle, images: NDArray[np.uint8], labels: Label | None) -> Labels | None:
    """The images' labels, if the model has labels."""
    if not class_labels.is_best(bundle.manifest, labels):
        return class_labels.resolve(bundle.manifest, labels, len(images))
    firsts = range(0, len(images), ENCODE_BATCH)
    batches = (pictures.to_float32(images[first : first + ENCODE_BATCH]) for first in firsts)
    found = [labelling.of_images(bundle, batch, labels) for batch in batches]
    return np.concatenate([part for part in found if part is not None])


def _encoded(bundle: Bundle, images: NDArray[np.uint8], labels: Labels | None) -> tuple[Floats, Floats]:
    """The means and standard deviations of the posteriors, `(n, latent_dim)` each; those of a ladder are of noise 0."""
    posteriors = [
        bundle.encode(pictures.to_float32(images[part]), None if labels is None else labels[part])
        for part in (slice(first, first + ENCODE_BATCH) for first in range(0, len(images), ENCODE_BATCH))
    ]
    loc, scale = (np.concatenate(parts) for parts in zip(*posteriors, strict=True))
    return loc, scale


def _information(
    bundle: Bundle, loc: Doubles, scale: Doubles, seed: int, labels: Labels | None
) -> information.Information:
    """The information in the first draw of each image."""
    first_draws = importance.draws(seed, range(len(loc)), 0, 1, loc.shape[1])[:, 0]
    z = latents.posterior_draws(loc, scale, first_draws)
    if bundle.prior.has_closed_rate:
        return information.measure(loc, scale, z, label=labels)
    return information.measure(loc, scale, z, bundle.prior.log_prob(z.astype(np.float32), labels), labels)


class _OfGroup(NamedTuple):
    """The estimates of a group of images: `(n,)` each, but `rates` `(n, groups)`."""

    distortion: Doubles
    nll: Doubles
    effective_sample_size: Doubles
    widening: Doubles
    rates: Doubles
    marginal: Doubles
    """-log p(x) and the effective sample size of its estimate, `(n, 2)`; `(n, 0)` for a model without labels."""


def _estimates(
    bundle: Bundle,
    pixels: Floats,
    loc: Floats,
    scale: Floats,
    indices: Sequence[int],
    importance_samples: int,
    seed: int,
    adaptive: bool,
    labels: Labels | None,
) -> _OfGroup:
    """The estimates of a group of images; arguments as for `kvae.runtime.importance.estimates`."""
    of_each: Sequence[int | None] = [None] * len(pixels) if labels is None else labels.tolist()
    widening = np.array(
        [
            importance.widening(bundle, *image, index, seed, label) if adaptive else 1.0
            for index, label, image in zip(indices, of_each, zip(pixels, loc, scale, strict=True), strict=True)
        ]
    )
    wide, factors = importance.proposal(bundle, scale, widening)
    samples = importance_samples
    found = importance.estimates(bundle, pixels, loc, wide, indices, samples, seed, 0, labels, factors)
    distortion, rates = found.distortion, found.rates
    if np.any(widening != 1.0):
        own = importance.estimates(bundle, pixels, loc, scale, indices, importance.PILOT_SAMPLES, seed, 0, labels)
        distortion = np.where(widening == 1.0, distortion, own.distortion)
        rates = np.where(widening[:, None] == 1.0, rates, own.rates)
    marginal = np.empty((len(pixels), 0))
    if labels is not None:
        rows = zip(pixels, indices, labels.tolist(), found.rows(), widening.tolist(), strict=True)
        marginal = np.array(
            [
                importance.marginal(bundle, image, index, samples, seed, {label: known}, factor)
                for image, index, label, known, factor in rows
            ]
        )
    return _OfGroup(distortion, found.nll, found.effective_sample_size, widening, rates, marginal)


def check_comparable(one: Manifest, other: Manifest) -> None:
    """Raise KvaeError if the numbers of two models are of different kinds, or from different test images."""
    reason = _why_not(comparable.of_manifest(one), comparable.of_manifest(other))
    if reason:
        raise KvaeError(f"the models cannot be compared: {reason}.")


def paired(one: Evaluation, other: Evaluation) -> dict[str, Estimate]:
    """The mean of each number's difference, `one` minus `other`, image by image.

    Two models find the same images easy, so the standard error of the difference is far below that of either mean.
    Numbers that contain an NLL are left out if `kvae.bundle.comparable.why_no_nll` says that their difference means
    nothing. Of two models of which only one has labels, -log p(x) alone is compared, as `nll_marginal`: that of the
    model with labels, and the NLL of the other.

    Raises:
        KvaeError: the numbers are of different kinds, or from different images.
    """
    reason = _why_not(one.measured, other.measured)
    if reason:
        raise KvaeError(f"the models cannot be compared: {reason}.")
    left_out = comparable.BY_SAMPLING if comparable.why_no_nll(one.sampled, other.sampled) else ()
    if why_only_marginal(one, other):
        values, others = (each.per_image.get("nll_marginal", each.per_image["nll"]) for each in (one, other))
        return {} if left_out else {"nll_marginal": Estimate.of(values - others)}
    return {
        name: Estimate.of(values - other.per_image[name])
        for name, values in one.per_image.items()
        if name not in left_out and name in other.per_image and name != "pixel_entropy"  # which is no model's
    }


def why_only_marginal(one: Evaluation, other: Evaluation) -> str | None:
    """Why `paired` compares two models only by log p(x); None if it compares all they have."""
    return comparable.why_not(one.measured, other.measured) if _why_not(one.measured, other.measured) is None else None


def _why_not(one: comparable.Measured, other: comparable.Measured) -> str | None:
    """Why no number of two models may be compared, be they given labels or not: both have log p(x)."""
    return comparable.why_not(one._replace(given_label=False), other._replace(given_label=False))
