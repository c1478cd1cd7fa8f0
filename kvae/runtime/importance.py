"""log p(x) of a decoder by importance sampling, with the encoder's posterior, or a wider one, as the proposal.

For z_1 ... z_S drawn from q(z|x), with weights w_s = p(x|z_s) p(z_s) / q(z_s|x), the mean of the weights is unbiased
for p(x). Its logarithm is below log p(x) in expectation, and rises with S (Burda, Grosse & Salakhutdinov, Importance
Weighted Autoencoders, arXiv 1509.00519). The effective sample size (sum w)^2 / sum w^2 (Kish, 1965) shows how much the
estimate rests on a few draws: it is S if the proposal is the true posterior, and 1 if one weight has the whole sum.

An encoder can be far narrower than the true posterior p(z|x) of its decoder; one without an entropy term in its loss
is. Then the weights have no finite variance, and the estimate says more about the encoder than about the model: it can
be wrong by a hundred nats. `widening` finds the factor on the proposal's scale that repairs most of this. The mean
weight stays unbiased for p(x) with any proposal, because the factor is chosen on separate draws.

Draw s of image i is a function of the seed, i and s alone: a larger sample contains the smaller one, and two models get
the same noise.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kvae.bundle import densities, noise
from kvae.runtime import latents
from kvae.runtime.bundle import Bundle
from kvae.runtime.latents import Floats

CHUNK = 512
"""Maximum number of draws of one image at a time, so that memory does not grow with their number."""
GROUP = 256
"""Draws of several images at a time, if each image has fewer."""
MAX_SAMPLES = 2**32
"""Maximum number of draws of one image; image i starts at draw i * MAX_SAMPLES of the noise."""


PILOT_SAMPLES = 32
PILOT_FIRST = 2**31
"""The pilot draws of `widening`: how many there are, and the first of them, far from the draws of an estimate."""
PILOT_GAIN = 2.0
"""Nats by which a wider proposal must improve the pilot's bound to be chosen, and by which the bound must fall for the
search to end: more than the bound's noise in a healthy model."""
MAX_SCALE = latents.PRIOR_SCALE
"""The prior's scale, beyond which no proposal is widened."""


class ImageEstimate(NamedTuple):
    """Estimates from the draws of one image's posterior, in nats."""

    distortion: float
    """-E_q log p(x|z), the mean over the draws."""
    nll: float
    """-log of the mean weight."""
    effective_sample_size: float
    """Between 1 and the number of draws."""


def draws(seed: int, images: Sequence[int], first: int, count: int, latent_dim: int) -> Floats:
    """Standard-normal noise, `(len(images), count, latent_dim)`: for each image the draws from number `first`."""
    return noise.standard_normals(seed, [image * MAX_SAMPLES + first for image in images], count, latent_dim)


def estimate(
    bundle: Bundle,
    pixels: Floats,
    loc: Floats,
    scale: Floats,
    index: int,
    num_samples: int,
    seed: int,
    start: int = 0,
) -> ImageEstimate:
    """The distortion, NLL and effective sample size of one image.

    Args:
        bundle: the model.
        pixels: the image, `(height, width, channels)` in [0, 1].
        loc: mean of the proposal, `(latent_dim,)`.
        scale: its standard deviation, `(latent_dim,)`.
        index: the image's number, for its noise.
        num_samples: number of draws.
        seed: seed of the noise.
        start: number of the first draw.
    """
    return estimates(bundle, pixels[None], loc[None], scale[None], [index], num_samples, seed, start)[0]


def estimates(
    bundle: Bundle,
    pixels: Floats,
    loc: Floats,
    scale: Floats,
    indices: Sequence[int],
    num_samples: int,
    seed: int,
    start: int = 0,
) -> list[ImageEstimate]:
    """`estimate` for several images at once, which is faster if each has few draws, because one call decodes for all.

    Arguments as for `estimate`, with a leading axis for the images. It is meant for `GROUP // num_samples` images, but
    at least one: memory grows with their number.
    """
    num_images = len(indices)
    log_likelihood, total, total_of_squares = np.zeros((3, num_images))
    top = np.full(num_images, -np.inf)
    for first in range(0, num_samples, CHUNK):
        count = min(CHUNK, num_samples - first)
        epsilon = draws(seed, indices, start + first, count, loc.shape[1])
        z = latents.posterior_draws(loc[:, None], scale[:, None], epsilon)  # (images, draws, latent_dim)
        found = bundle.run("decoder", {"z": z.reshape(-1, z.shape[-1])}, ["likelihood_parameters"])
        parameters = found["likelihood_parameters"]
        of_images = parameters.reshape(num_images, count, *parameters.shape[1:])
        likelihood = bundle.manifest.likelihood
        log_p = np.stack([densities.log_density(likelihood, *pair) for pair in zip(of_images, pixels, strict=True)])
        log_weight = log_p + latents.log_ratio(z, epsilon, scale)
        # A running sum of the weights, in units of the largest so far.
        largest = np.maximum(top, log_weight.max(axis=1))
        weights = np.exp(log_weight - largest[:, None])
        total = total * np.exp(top - largest) + weights.sum(axis=1)
        total_of_squares = total_of_squares * np.exp(2 * (top - largest)) + np.sum(weights**2, axis=1)
        log_likelihood, top = log_likelihood + log_p.sum(axis=1), largest
    distortion = -log_likelihood / num_samples
    nll = -(top + np.log(total / num_samples))
    return list(map(ImageEstimate, *(column.tolist() for column in (distortion, nll, total**2 / total_of_squares))))


def widening(bundle: Bundle, pixels: Floats, loc: Floats, scale: Floats, index: int, seed: int) -> float:
    """The factor, a power of 2, by which to widen the proposal for an image; 1 for a healthy posterior.

    The factor is doubled until the bound of `PILOT_SAMPLES` draws clearly falls; the best one is chosen if it gains
    more than `PILOT_GAIN`. All dimensions are widened alike: if only some are too narrow, some of the problem remains,
    and shows in the effective sample size. Arguments as for `estimate`; `widened` applies the factor.
    """

    def bound(factor: float) -> float:
        proposal = widened(scale, factor)
        return -estimate(bundle, pixels, loc, proposal, index, PILOT_SAMPLES, seed, PILOT_FIRST).nll

    posterior_bound = bound(1.0)
    factor, best, highest = 1.0, 1.0, posterior_bound
    while np.any(widened(scale, 2 * factor) > widened(scale, factor)):
        factor *= 2
        found = bound(factor)
        if found > highest:
            best, highest = factor, found
        elif found < highest - PILOT_GAIN:
            break
    return best if highest > posterior_bound + PILOT_GAIN else 1.0


def widened(scale: Floats, factor: float) -> Floats:
    """`scale` times `factor`, but limited to `MAX_SCALE`; scales above that are kept."""
    return np.maximum(scale, np.minimum(scale * np.float32(factor), np.float32(MAX_SCALE)))
