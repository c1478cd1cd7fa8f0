"""The formulas of the code z: the prior N(0, I), and the posteriors q(z|x), diagonal Gaussians.

Sampling, importance sampling, rates, mutual information, paths and figures all use the formulas of this module; a model
may have another prior, which is in `kvae.runtime.priors`. Codes are float32; densities are float64, in nats, summed
over the latent dimensions.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import noise
from kvae.machine import cores

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
PRIOR_SCALE = 1.0
"""The prior's standard deviation, the same in each dimension."""
_LOG_ROOT_2_PI = 0.5 * np.log(2 * np.pi)
_BLOCK = 64
"""Codes at a time, on each core, so that memory grows with the number of images, not with its square."""


class Posterior(NamedTuple):
    """q(z|x) of a batch of images, a diagonal Gaussian."""

    loc: Floats
    """Means, `(batch, latent_dim)`."""
    scale: Floats
    """Standard deviations, `(batch, latent_dim)`."""


def prior_draws(seed: int, start: int, count: int, latent_dim: int, temperature: float | Floats = 1.0) -> Floats:
    """Draws from N(0, I), `(count, latent_dim)`: number i depends only on (seed, i).

    Args:
        seed: seed of the noise; see `kvae.bundle.noise`.
        start: number of the first draw.
        count: how many.
        latent_dim: number of latent dimensions.
        temperature: factor on the standard deviation, or one for each latent dimension.
    """
    z = noise.standard_normal(seed, start, count, latent_dim)
    z *= np.asarray(temperature, np.float32)
    return z


def prior_mean(latent_dim: int) -> Floats:
    """The mean of N(0, I), `(latent_dim,)`."""
    return np.zeros(latent_dim, np.float32)


def posterior_draws(loc: NDArray[Any], scale: NDArray[Any], epsilon: NDArray[Any]) -> NDArray[Any]:
    """Draws z = loc + scale * epsilon from a posterior, given standard-normal noise; the arguments broadcast."""
    return loc + scale * epsilon


def log_prior(z: NDArray[Any]) -> Doubles:
    """log N(z; 0, I), `(n,)`, of codes `(n, latent_dim)`."""
    found: Doubles = np.sum(-0.5 * z.astype(np.float64) ** 2 - _LOG_ROOT_2_PI, axis=-1)
    return found


def log_posterior(z: Doubles, loc: Doubles, scale: Doubles) -> Doubles:
    """log q(z|x), `(n,)`, of each code under its own posterior; all are `(n, latent_dim)`."""
    found: Doubles = np.sum(-0.5 * ((z - loc) / scale) ** 2 - np.log(scale) - _LOG_ROOT_2_PI, axis=-1)
    return found


def log_ratio(z: Floats, epsilon: Floats, scale: Floats) -> Doubles:
    """log p(z) - log q(z|x) of `posterior_draws`, for the prior N(0, I); the constants cancel.

    Args:
        z: the draws, `(n, draws, latent_dim)`.
        epsilon: the noise that they were made from, in the same shape.
        scale: standard deviations of the posteriors, `(n, latent_dim)`, or of each draw, in the shape of z.

    Returns:
        `(n, draws)`.
    """
    squares: Any = np.sum(epsilon**2, axis=2, dtype=np.float64) - np.sum(z**2, axis=2, dtype=np.float64)
    found: Doubles = 0.5 * squares + _log_scale(scale)
    return found


def log_posterior_of_noise(epsilon: Floats, scale: Floats) -> Doubles:
    """log q(z|x) of `posterior_draws`, `(n, draws)`; arguments as for `log_ratio`."""
    squares: Doubles = np.sum(epsilon.astype(np.float64) ** 2, axis=2)
    return -0.5 * squares - epsilon.shape[2] * _LOG_ROOT_2_PI - _log_scale(scale)


def _log_scale(scale: Floats) -> Doubles:
    """The logarithm of the product of standard deviations, `(n, 1)`, or `(n, draws)` if each draw has its own."""
    found: Doubles = np.sum(np.log(scale.astype(np.float64)), axis=-1)
    return found if found.ndim == 2 else found[:, None]


def log_aggregated_posterior(z: Doubles, loc: Doubles, scale: Doubles) -> Doubles:
    """log q(z) with q(z) = 1/N sum_j q(z|x_j), `(n,)`.

    Args:
        z: codes, `(n, latent_dim)`.
        loc: means of the N posteriors, `(N, latent_dim)`.
        scale: their standard deviations, `(N, latent_dim)`.
    """
    from kvae.machine.pool import Pool  # not needed for sampling

    # log q(z_i|x_j) for all pairs by a matrix product: ((z - m) / s)^2 = z^2 / s^2 - 2 z m / s^2 + m^2 / s^2. In
    # float64, because the terms are large and nearly cancel if scales are small.
    precision = scale**-2
    offset = np.sum(-0.5 * loc**2 * precision - np.log(scale) - _LOG_ROOT_2_PI, axis=1)
    slopes = np.concatenate([-0.5 * precision, loc * precision], axis=1).T

    def log_mean(first: int) -> Doubles:
        block = z[first : first + _BLOCK]
        pairs = np.concatenate([block**2, block], axis=1) @ slopes
        pairs += offset
        top = pairs.max(axis=1, keepdims=True)
        pairs -= top
        return top[:, 0] + np.log(np.exp(pairs, out=pairs).mean(axis=1))

    with Pool(cores.threads()) as pool:
        return np.concatenate(list(pool.map(log_mean, range(0, len(z), _BLOCK))))


def rates(loc: NDArray[Any], scale: NDArray[Any]) -> Doubles:
    """KL(q(z|x) || N(0, I)) of each image and latent dimension in nats, in closed form; all have one shape."""
    loc, scale = loc.astype(np.float64), scale.astype(np.float64)
    return 0.5 * (loc**2 + scale**2 - 1.0) - np.log(scale)
