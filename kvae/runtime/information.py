"""The information in codes: active units, the mutual information I(x; z), and how far q(z) is from the prior.

With q(z) = 1/N sum_j q(z|x_j), the aggregated posterior of N images, the mean rate splits exactly into
I(x; z) + KL(q(z) || p) (Hoffman & Johnson, ELBO surgery, 2016). Here I is the information between the code and *which
of the N images* it came from: it cannot exceed ln N, and the marginal KL holds the rest.

With labels, all of this is given the label: q(z|y) is that of the images of label y, the rate splits into I(x; z|y) +
KL(q(z|y) || p(z|y)), and the limit is that of the images of each label.

A posterior in groups (a ladder's) is left out: log q(z|x_j) of another image's code would need the encoder once more
for each pair of images.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.runtime import latents
from kvae.runtime.class_labels import Labels
from kvae.runtime.latents import Doubles

ACTIVE_VARIANCE = 0.01
"""A latent dimension is active if the variance of its posterior mean over images is above this: Burda et al.,
arXiv 1509.00519."""


class Information(NamedTuple):
    """From one draw of each image's posterior, in nats; means over images are unbiased estimates of the terms above."""

    mutual_information: Doubles
    """log q(z|x) - log q(z), `(n,)`: its mean estimates I(x; z)."""
    marginal_kl: Doubles
    """log q(z) - log p(z), `(n,)`: its mean estimates KL(q(z) || p)."""


LEFT_OUT = (
    "the mutual information and the marginal KL are left out: in a posterior of groups, each depends on the draws of "
    "those before it, so they would need the encoder for every pair of images"
)
"""What to say where a ladder has no such numbers."""


def measure(
    loc: Doubles,
    scale: Doubles,
    z: Doubles,
    log_prior: Doubles | None = None,
    label: Labels | None = None,
) -> Information:
    """Split the rate of n images into mutual information and marginal KL.

    Args:
        loc: posterior means `(n, latent_dim)`.
        scale: posterior standard deviations `(n, latent_dim)`.
        z: one draw of each posterior, `(n, latent_dim)`.
        log_prior: log p(z), or log p(z|y), of the draws, `(n,)`; by default that of N(0, I).
        label: the images' labels, `(n,)`, if the model has labels.
    """
    if label is None:
        aggregated = latents.log_aggregated_posterior(z, loc, scale)
    else:
        aggregated = np.empty(len(z))
        for value in np.unique(label):
            same = label == value
            aggregated[same] = latents.log_aggregated_posterior(z[same], loc[same], scale[same])
    of_prior = latents.log_prior(z) if log_prior is None else log_prior
    return Information(latents.log_posterior(z, loc, scale) - aggregated, aggregated - of_prior)


def limit(n: int, label: Labels | None = None) -> float:
    """The largest possible mutual information of n images, in nats: ln n, or given the label the mean over images of
    the logarithm of how many have the same one."""
    if label is None:
        return float(np.log(n))
    counts = np.bincount(label)
    return float(np.mean(np.log(counts[label])))


def active_units(loc: Doubles) -> NDArray[np.bool_]:
    """Which latent dimensions are in use, `(latent_dim,)`; `loc` are posterior means `(n, latent_dim)`."""
    return np.var(loc, axis=0) > ACTIVE_VARIANCE


def active_units_error(loc: Doubles, resamples: int = 200) -> float:
    """The standard error, over images, of the number of active units, by the bootstrap (a count has no other)."""
    rng = np.random.default_rng(0)
    n = len(loc)
    square = loc**2
    counts = []
    for _ in range(resamples):
        weights = np.bincount(rng.integers(0, n, n), minlength=n) / n
        variance = weights @ square - (weights @ loc) ** 2
        counts.append(int(np.sum(variance > ACTIVE_VARIANCE)))
    return float(np.std(counts, ddof=1))
