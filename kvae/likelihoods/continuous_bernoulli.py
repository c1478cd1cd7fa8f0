"""The continuous Bernoulli likelihood, a density on [0, 1].

Reference: Loaiza-Ganem & Cunningham, The continuous Bernoulli: fixing a pervasive error in variational autoencoders,
arXiv 1907.06845.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.likelihoods.likelihood import DENSITY, Doubles, Floats, Likelihood, Noise


class ContinuousBernoulli(Likelihood):
    """p(x|z) = exp(l x) l / (exp(l) - 1) with logits l, for pixels that are real numbers in [0, 1]."""

    parameters = ("logits",)
    kind = DENSITY
    images = "pixels in [0, 1]"

    def log_densities(self, x: Floats, *parameters: Floats) -> Doubles:
        logits = parameters[0].astype(np.float64)
        return logits * (x - 0.5) - _centred_normaliser(logits)

    def log_density(self, x: Floats, *parameters: Floats) -> Doubles:
        (logits,) = parameters
        centred: Doubles = logits @ (x - np.float32(0.5))
        return centred - _centred_normaliser(logits).sum(axis=1, dtype=np.float64)

    def draw(self, noise: Noise, *parameters: Floats) -> Floats:
        """By the inverse of the distribution function, x = log(1 + u (exp(l) - 1)) / l; for l > 0 that of 1 - x."""
        (logits,) = parameters
        uniform = noise.uniforms(*logits.shape)
        rate = np.abs(logits.astype(np.float64))
        small = rate < 1e-6
        from_end = np.where(logits > 0, 1 - uniform, uniform)
        inverse = -np.log1p(from_end * np.expm1(-rate)) / np.where(small, 1.0, rate)
        x = np.where(small, from_end, inverse)
        return np.clip(np.where(logits > 0, 1 - x, x), 0, 1).astype(np.float32)

    def family(self) -> type:
        import tensorflow_probability as tfp

        family: type = tfp.distributions.ContinuousBernoulli
        return family

    def distribution(self, outputs: Any) -> Any:
        return self.family()(logits=outputs)

    def mean(self, pixels: Any) -> Any:
        """1 / (1 - exp(-l)) - 1 / l, and its series near 0; TFP's uses Expm1, which ONNX does not have."""
        import tensorflow as tf

        logits = pixels.logits
        small = tf.abs(logits) < 0.3
        safe = tf.where(small, tf.ones_like(logits), logits)
        series = 0.5 + logits / 12 - logits**3 / 720 + logits**5 / 30240
        return tf.where(small, series, 0.5 + 0.5 / tf.tanh(safe / 2) - 1 / safe)


def _centred_normaliser(logits: NDArray[Any]) -> NDArray[Any]:
    """log((exp(l) - 1) / l) - l / 2, for p(x) = exp(l (x - 1/2) - this).

    With a = |l| / 2 it is log(sinh(a) / a), which is a^2 / 6 - a^4 / 180 + ... near 0.
    """
    half = np.abs(logits) / 2
    small = half < 0.05
    safe = np.where(small, logits.dtype.type(1), half)
    series = half**2 / 6 - half**4 / 180
    return np.where(small, series, safe + np.log(-np.expm1(-2 * safe)) - np.log(2 * safe))


LIKELIHOOD = ContinuousBernoulli()
