"""log p(x|z) in numpy, from the likelihood's parameters that an exported decoder returns.

These are the densities of `kvae.model.likelihoods`, for programs without TensorFlow; tests hold the two together. They
are written for one image under many codes, which is what importance sampling asks for.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from kvae.errors import BundleError

Floats = NDArray[np.float32]
LEVELS = 255
"""The highest level of an 8-bit image, which has the intensity 1."""
LOG_ROOT_2_PI = 0.5 * np.log(2.0 * np.pi)


def log_density(likelihood: str, parameters: Floats, image: Floats) -> NDArray[np.float64]:
    """log p(x|z) of one image under each of n codes, in nats.

    Args:
        likelihood: a bundle's likelihood, a key of `DENSITIES`.
        parameters: the decoder's `likelihood_parameters`, `(n, height, width, channels * k)` float32. The call may
            overwrite them.
        image: `(height, width, channels)` float32 in [0, 1].

    Returns:
        `(n,)` float64. It is a log-probability for "bernoulli" (on bits) and "discretized_logistic", a log-density for
        "continuous_bernoulli" and "normal".

    Raises:
        BundleError: no density is known for this likelihood.
    """
    check(likelihood)
    num, channels = len(parameters), image.shape[-1]
    by_name = parameters.reshape(num, -1, parameters.shape[-1] // channels, channels)
    parts = [by_name[:, :, index].reshape(num, -1) for index in range(by_name.shape[2])]
    return DENSITIES[likelihood](image.ravel(), *parts)


def check(likelihood: str) -> None:
    """Raise BundleError where `likelihood` has no density here."""
    if likelihood not in DENSITIES:
        raise BundleError(f"no density is known for the likelihood '{likelihood}'. Known: {', '.join(DENSITIES)}.")


def _bernoulli(x: Floats, logits: Floats) -> NDArray[np.float64]:
    # x l - softplus(l)
    return logits @ x - _sum_softplus(logits)


def _continuous_bernoulli(x: Floats, logits: Floats) -> NDArray[np.float64]:
    # The density is exp(l x) l / (exp(l) - 1) (Loaiza-Ganem & Cunningham, arXiv 1907.06845); with a = |l| / 2 the log
    # of its normaliser is l / 2 + log(sinh(a) / a), and log(sinh(a) / a) is a^2 / 6 - a^4 / 180 + ... near 0.
    half = np.abs(logits) / 2
    small = half < 0.05
    safe = np.where(small, np.float32(1), half)
    normaliser = np.where(small, half**2 / 6 - half**4 / 180, safe + np.log(-np.expm1(-2 * safe)) - np.log(2 * safe))
    return logits @ (x - np.float32(0.5)) - normaliser.sum(axis=1, dtype=np.float64)


def _discretized_logistic(x: Floats, loc: Floats, scale: Floats) -> NDArray[np.float64]:
    # See kvae.model.likelihoods.DiscretizedLogistic. Which of the three terms a pixel has depends on the image alone.
    level = np.rint(x * LEVELS)
    inner, not_first, not_last = (level > 0) & (level < LEVELS), level > 0, level < LEVELS
    below = ((level - 0.5) / LEVELS).astype(np.float32)
    above = ((level + 0.5) / LEVELS).astype(np.float32)
    width = np.float32(1 / LEVELS) / scale[:, inner]
    return (
        np.log(-np.expm1(-width)).sum(axis=1, dtype=np.float64)
        - _sum_softplus((below[not_first] - loc[:, not_first]) / scale[:, not_first])
        - _sum_softplus((loc[:, not_last] - above[not_last]) / scale[:, not_last])
    )


def _normal(x: Floats, loc: Floats, scale: Floats) -> NDArray[np.float64]:
    terms = 0.5 * ((x - loc) / scale) ** 2 + np.log(scale)
    return -terms.sum(axis=1, dtype=np.float64) - x.size * LOG_ROOT_2_PI


DENSITIES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "bernoulli": _bernoulli,
    "continuous_bernoulli": _continuous_bernoulli,
    "discretized_logistic": _discretized_logistic,
    "normal": _normal,
}


def _sum_softplus(values: Floats) -> NDArray[np.float64]:
    """The sum over the last axis of log(1 + exp(values)), `(n,)`; `values` is overwritten.

    Logarithms of single pixels would cost more than the decoder itself. The factors 1 + exp(-|v|) lie in [1, 2], so
    that 64 of them can be multiplied before a logarithm is taken, without overflow.
    """
    magnitude = np.abs(values)
    total = np.add(values, magnitude, out=values).sum(axis=1, dtype=np.float32).astype(np.float64) / 2  # max(v, 0)
    factors = np.exp(np.negative(magnitude, out=magnitude), out=magnitude)
    factors += 1
    for _ in range(6):
        columns = factors.shape[1]
        if columns < 2:
            break
        half = columns // 2
        folded = factors[:, : columns - half]
        folded[:, :half] *= factors[:, columns - half :]
        factors = folded
    return total + np.log(factors).sum(axis=1, dtype=np.float64)
