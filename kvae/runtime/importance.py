"""log p(x), or log p(x|y), of a model by importance sampling, with the encoder's posterior, or a wider one, as the
proposal.

For z_1 ... z_S drawn from q(z|x), with weights w_s = p(x|z_s) p(z_s) / q(z_s|x), the mean of the weights is unbiased
for p(x). Its logarithm is below log p(x) in expectation, and rises with S (Burda, Grosse & Salakhutdinov, Importance
Weighted Autoencoders, arXiv 1509.00519). The effective sample size (sum w)^2 / sum w^2 (Kish, 1965) shows how much the
estimate rests on a few draws: it is S if the proposal is the true posterior, and 1 if one weight has the whole sum.

An encoder can be far narrower than the true posterior p(z|x) of its decoder; one without an entropy term in its loss
is. Then the weights have no finite variance, and the estimate says more about the encoder than about the model: it can
be wrong by a hundred nats. `widening` finds the factor on the proposal's scale that repairs most of this. The mean
weight stays unbiased for p(x) with any proposal, because the factor is chosen on separate draws.

With labels y all of this is given y: the weights are p(x|z, y) p(z|y) / q(z|x, y), and their mean estimates p(x|y).
`marginal` estimates p(x) = sum_y p(y) p(x|y).

Draw s of image i is a function of the seed, i and s alone: a larger sample contains the smaller one, and two models get
the same noise.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import densities, noise
from kvae.runtime import class_labels, latents, proposals
from kvae.runtime.class_labels import Labels
from kvae.runtime.latents import Doubles, Floats, Posterior
from kvae.runtime.model import Model

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
"""The scale of N(0, I), beyond which no proposal is widened; for another prior, see `widest`."""


class ImageEstimate(NamedTuple):
    """Estimates from the draws of one image's posterior, in nats."""

    distortion: float
    """-E_q log p(x|z), the mean over the draws."""
    nll: float
    """-log of the mean weight."""
    effective_sample_size: float
    """Between 1 and the number of draws."""
    rate: float
    """KL(q(z|x) || p(z)): in closed form for N(0, I), a mean over the draws in a ladder; else the mean of
    log q(z|x) - log p(z) over the draws."""


class Estimates(NamedTuple):
    """The same for several images, `(n,)` each."""

    distortion: Doubles
    nll: Doubles
    effective_sample_size: Doubles
    rates: Doubles
    """The rate of each group of latent dimensions, `(n, groups)`: one group if the model has none."""

    @property
    def rate(self) -> Doubles:
        """The rate, `(n,)`: the sum of those of the groups."""
        found: Doubles = self.rates[:, 0] if self.rates.shape[1] == 1 else self.rates.sum(axis=1)
        return found

    def rows(self) -> list[ImageEstimate]:
        """The estimates of each image."""
        columns = (self.distortion, self.nll, self.effective_sample_size, self.rate)
        return [ImageEstimate(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def draws(seed: int, images: Sequence[int], first: int, count: int, latent_dim: int) -> Floats:
    """Standard-normal noise, `(len(images), count, latent_dim)`: for each image the draws from number `first`."""
    return noise.standard_normals(seed, [image * MAX_SAMPLES + first for image in images], count, latent_dim)


def estimate(
    bundle: Model,
    pixels: Floats,
    loc: Floats,
    scale: Floats,
    index: int,
    num_samples: int,
    seed: int,
    start: int = 0,
    label: int | None = None,
    factors: Floats | None = None,
) -> ImageEstimate:
    """The distortion, NLL, effective sample size and rate of one image.

    Args:
        bundle: the model.
        pixels: the image, `(height, width, channels)` in [0, 1].
        loc: mean of the proposal, `(latent_dim,)`. Not read for a ladder, whose encoder gives that of each draw.
        scale: its standard deviation, `(latent_dim,)`; likewise.
        index: the image's number, for its noise.
        num_samples: number of draws.
        seed: seed of the noise.
        start: number of the first draw.
        label: the image's label, if the model has labels.
        factors: for a ladder, by how much each dimension of its posterior is widened, `(latent_dim,)`.
    """
    labels, wide = None if label is None else np.array([label]), None if factors is None else factors[None]
    found = estimates(bundle, pixels[None], loc[None], scale[None], [index], num_samples, seed, start, labels, wide)
    return found.rows()[0]


def estimates(
    bundle: Model,
    pixels: Floats,
    loc: Floats,
    scale: Floats,
    indices: Sequence[int],
    num_samples: int,
    seed: int,
    start: int = 0,
    label: Labels | None = None,
    factors: Floats | None = None,
) -> Estimates:
    """`estimate` for several images at once, which is faster if each has few draws, because one call decodes for all.

    Arguments as for `estimate`, with a leading axis for the images. It is meant for `GROUP // num_samples` images, but
    at least one: memory grows with their number.
    """
    num_images, prior, likelihood = len(indices), bundle.prior, bundle.manifest.likelihood
    log_likelihood, total, total_of_squares = np.zeros((3, num_images))
    top = np.full(num_images, -np.inf)
    groups = bundle.manifest.groups
    rates = np.zeros((num_images, len(groups or [0])))
    for first in range(0, num_samples, CHUNK):
        count = min(CHUNK, num_samples - first)
        epsilon = draws(seed, indices, start + first, count, loc.shape[1])
        drawn = proposals.draw(bundle, pixels, Posterior(loc, scale), epsilon, label, factors)
        inputs: dict[str, NDArray[Any]] = {"z": drawn.z.reshape(-1, drawn.z.shape[-1])}
        if label is not None:
            inputs["label"] = np.repeat(label, count)
        parameters = bundle.run("decoder", inputs, ["likelihood_parameters"])["likelihood_parameters"]
        of_images = parameters.reshape(num_images, count, *parameters.shape[1:])
        log_p = np.stack([densities.log_density(likelihood, *pair) for pair in zip(of_images, pixels, strict=True)])
        log_ratio = prior.log_ratio(drawn.z, epsilon, drawn.scale, label)
        log_weight = log_p + log_ratio
        # A running sum of the weights, in units of the largest so far.
        largest = np.maximum(top, log_weight.max(axis=1))
        weights = np.exp(log_weight - largest[:, None])
        total = total * np.exp(top - largest) + weights.sum(axis=1)
        total_of_squares = total_of_squares * np.exp(2 * (top - largest)) + np.sum(weights**2, axis=1)
        log_likelihood, top = log_likelihood + log_p.sum(axis=1), largest
        if not prior.has_closed_rate:
            rates = rates[:, :1] - log_ratio.sum(axis=1)[:, None]
        elif groups is not None:
            rates = rates + count * proposals.group_rates(drawn, groups)
    is_same = prior.has_closed_rate and groups is None  # for all draws
    return Estimates(
        -log_likelihood / num_samples,
        -(top + np.log(total / num_samples)),
        total**2 / total_of_squares,
        latents.rates(loc, scale).sum(axis=1)[:, None] if is_same else rates / num_samples,
    )


def widening(
    bundle: Model, pixels: Floats, loc: Floats, scale: Floats, index: int, seed: int, label: int | None = None
) -> float:
    """The factor, a power of 2, by which to widen the proposal for an image; 1 for a healthy posterior.

    The factor is doubled until the bound of `PILOT_SAMPLES` draws clearly falls; the best one is chosen if it gains
    more than `PILOT_GAIN`. All dimensions are widened alike: if only some are too narrow, some of the problem remains,
    and shows in the effective sample size. Arguments as for `estimate`; `proposal` applies the factor.
    """
    limit = widest(bundle)

    def bound(factor: float) -> float:
        wide, factors = proposal(bundle, scale, factor)
        return -estimate(bundle, pixels, loc, wide, index, PILOT_SAMPLES, seed, PILOT_FIRST, label, factors).nll

    posterior_bound = bound(1.0)
    factor, best, highest = 1.0, 1.0, posterior_bound
    while np.any(widened(scale, 2 * factor, limit) > widened(scale, factor, limit)):
        factor *= 2
        found = bound(factor)
        if found > highest:
            best, highest = factor, found
        elif found < highest - PILOT_GAIN:
            break
    return best if highest > posterior_bound + PILOT_GAIN else 1.0


def widest(bundle: Model) -> Floats:
    """The scales beyond which no proposal is widened: the prior's, but at least `MAX_SCALE`."""
    return np.maximum(bundle.prior.scale(), np.float32(MAX_SCALE))


def widened(scale: Floats, factor: float | Doubles, limit: Floats | None = None) -> Floats:
    """`scale` times `factor`, but at most `limit`, which is `MAX_SCALE` by default; scales above that are kept."""
    most = np.float32(MAX_SCALE) if limit is None else limit
    return np.maximum(scale, np.minimum(scale * np.asarray(factor, np.float32), most))


def proposal(bundle: Model, scale: Floats, factor: float | Doubles) -> tuple[Floats, Floats | None]:
    """The arguments `scale` and `factors` of `estimate` for a widened posterior; shapes as there.

    Args:
        bundle: the model.
        scale: the posterior's standard deviations; for a ladder those of noise 0, which decide how far each dimension
            can be widened.
        factor: the factor, or one for each image.
    """
    wide = widened(scale, factor if np.ndim(factor) == 0 else np.asarray(factor)[:, None], widest(bundle))
    return (wide, None) if bundle.manifest.groups is None else (scale, wide / scale)


def marginal(
    bundle: Model,
    pixels: Floats,
    index: int,
    num_samples: int,
    seed: int,
    known: dict[int, ImageEstimate],
    factor: float = 1.0,
) -> tuple[float, float]:
    """-log p(x) = -log sum_y p(y) p(x|y) of one image, and the effective sample size of the whole sum.

    p(x|y) of each label is the mean weight of its own draws, so the sum is unbiased for p(x). The draws are spread
    evenly over the labels that are not known yet, at least one for each; they are those with the numbers from 0, as for
    the known labels, which is allowed in a sum of means.

    Args:
        bundle: the model, which has labels.
        pixels: the image, `(height, width, channels)` in [0, 1].
        index: the image's number, for its noise.
        num_samples: draws for all labels together.
        seed: seed of the noise.
        known: estimates that were made already, with any number of draws, by label.
        factor: the factor by which every posterior is widened; see `widening`.
    """
    probs = class_labels.probs(bundle.manifest)
    others = [label for label in np.flatnonzero(probs).tolist() if label not in known]
    each = -(-num_samples // max(1, len(others)))
    size = max(1, GROUP // each)
    found = [(probs[label], estimate.nll, estimate.effective_sample_size) for label, estimate in known.items()]
    for first in range(0, len(others), size):
        label = np.array(others[first : first + size])
        images = np.repeat(pixels[None], len(label), axis=0)
        loc, scale = bundle.encode(images, label)
        wide, factors = proposal(bundle, scale, factor)
        made = estimates(bundle, images, loc, wide, [index] * len(label), each, seed, 0, label, factors)
        found += zip(probs[label], made.nll, made.effective_sample_size, strict=True)
    prob, nll, effective = np.array([row for row in found if row[0] > 0]).T
    log_terms = np.log(prob) - nll
    top = log_terms.max()
    terms = np.exp(log_terms - top)
    return -float(top + np.log(terms.sum())), float(terms.sum() ** 2 / np.sum(terms**2 / effective))
