"""What the codes hold: active units, the mutual information I(x; z), and how far q(z) is from the prior.

With q(z) = 1/N sum_j q(z|x_j), the aggregated posterior of N images, the mean rate splits exactly into
I(x; z) + KL(q(z) || p) (Hoffman & Johnson, ELBO surgery, 2016). I is that between the code and *which of the N images*
it came from: it cannot exceed ln N, and the marginal KL takes what is above.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
ACTIVE_VARIANCE = 0.01
"""A latent dimension is active where the variance of its posterior mean over images is above this: Burda et al.,
arXiv 1509.00519."""
BLOCK = 64
"""Codes at a time, on each core: memory grows with the number of images, not with its square."""


class Information(NamedTuple):
    """One draw of each image's posterior; means over images are unbiased for the sums above, in nats."""

    mutual_information: Doubles
    """log q(z|x) - log q(z), `(n,)`: its mean estimates I(x; z)."""
    marginal_kl: Doubles
    """log q(z) - log p(z), `(n,)`: its mean estimates KL(q(z) || p)."""


def measure(loc: Doubles, scale: Doubles, z: Doubles) -> Information:
    """Split the rate of n images into mutual information and marginal KL.

    Args:
        loc: posterior means `(n, latent_dim)`.
        scale: posterior standard deviations `(n, latent_dim)`.
        z: one draw of each posterior, `(n, latent_dim)`. The prior is N(0, I).
    """
    root_2_pi = 0.5 * np.log(2 * np.pi)
    own = np.sum(-0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - root_2_pi, axis=1)
    prior = np.sum(-0.5 * z**2 - root_2_pi, axis=1)
    # log q(z_i|x_j) for all pairs by a matrix product: ((z - m) / s)^2 = z^2 / s^2 - 2 z m / s^2 + m^2 / s^2. In
    # float64, for the terms are large and nearly cancel where scales are small.
    precision = scale**-2
    offset = np.sum(-0.5 * loc**2 * precision - np.log(scale) - root_2_pi, axis=1)
    slopes = np.concatenate([-0.5 * precision, loc * precision], axis=1).T

    def log_mean(first: int) -> Doubles:
        block = z[first : first + BLOCK]
        pairs = np.concatenate([block**2, block], axis=1) @ slopes
        pairs += offset
        top = pairs.max(axis=1, keepdims=True)
        pairs -= top
        return top[:, 0] + np.log(np.exp(pairs, out=pairs).mean(axis=1))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        aggregated = np.concatenate(list(pool.map(log_mean, range(0, len(z), BLOCK))))
    return Information(own - aggregated, aggregated - prior)


def rates(loc: NDArray[Any], scale: NDArray[Any]) -> Doubles:
    """KL(q(z|x) || N(0, I)) of each image and latent dimension in nats, in closed form; all are `(n, latent_dim)`."""
    loc, scale = loc.astype(np.float64), scale.astype(np.float64)
    return 0.5 * (loc**2 + scale**2 - 1.0) - np.log(scale)


def active_units(loc: Doubles) -> NDArray[np.bool_]:
    """Which latent dimensions are in use, `(latent_dim,)`; `loc` are posterior means `(n, latent_dim)`."""
    return np.var(loc, axis=0) > ACTIVE_VARIANCE


def active_units_error(loc: Doubles, resamples: int = 200) -> float:
    """Standard error over images of the number of active units, by the bootstrap (a count has no other)."""
    rng = np.random.default_rng(0)
    n = len(loc)
    square = loc**2
    counts = []
    for _ in range(resamples):
        weights = np.bincount(rng.integers(0, n, n), minlength=n) / n
        variance = weights @ square - (weights @ loc) ** 2
        counts.append(int(np.sum(variance > ACTIVE_VARIANCE)))
    return float(np.std(counts, ddof=1))
