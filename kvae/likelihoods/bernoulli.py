"""The Bernoulli likelihood: each pixel is 1 with its own probability."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.likelihoods.likelihood import PROBABILITY, Doubles, Floats, Likelihood, Noise
from kvae.likelihoods.softplus import sum_softplus


class Bernoulli(Likelihood):
    """log p(x|z) = x l - log(1 + exp(l)) with logits l, summed over pixels: a log-probability of bits."""

    parameters = ("logits",)
    kind = PROBABILITY
    images = "binarised images"

    def log_densities(self, x: Floats, *parameters: Floats) -> Doubles:
        logits = parameters[0].astype(np.float64)
        return logits * x - np.logaddexp(0.0, logits)

    def log_density(self, x: Floats, *parameters: Floats) -> Doubles:
        (logits,) = parameters
        agreement: NDArray[np.floating[Any]] = logits @ x
        return agreement - sum_softplus(logits)

    def draw(self, noise: Noise, *parameters: Floats) -> Floats:
        (logits,) = parameters
        uniform = noise.uniforms(*logits.shape)
        return (np.log(uniform) - np.log1p(-uniform) < logits).astype(np.float32)

    def family(self) -> type:
        import tensorflow_probability as tfp

        family: type = tfp.distributions.Bernoulli
        return family

    def distribution(self, outputs: Any) -> Any:
        import tensorflow as tf

        # TFP's default dtype is int32, to which it casts numpy images: every grey pixel would count as black.
        return fast_bernoulli()(logits=outputs, dtype=tf.float32)

    def mean(self, pixels: Any) -> Any:
        import tensorflow as tf

        return tf.sigmoid(pixels.logits)


@cache
def fast_bernoulli() -> Any:
    """A variant of TFP's Bernoulli class whose log-probability needs half as many transcendental functions.

    TFP computes the log-probabilities of both outcomes, log sigmoid(l) and log sigmoid(-l), and weights them; the
    cross-entropy x l - log(1 + exp(l)) needs only one. The other was a tenth of the dense network's training step.
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    class FastBernoulli(tfp.distributions.Bernoulli):
        def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
            event = tf.cast(event, self.logits.dtype) + tf.zeros_like(self.logits)  # broadcast to one shape
            logits = self.logits + tf.zeros_like(event)
            # XLA vectorises loops over rows, but not over the single channel of a pixel, so the images are reshaped to
            # rows.
            rows = [tf.shape(event)[0], -1]
            return tf.reshape(log_prob(tf.reshape(event, rows), tf.reshape(logits, rows)), tf.shape(event))

    @tf.custom_gradient
    def log_prob(event: tf.Tensor, logits: tf.Tensor) -> Any:
        # Accurate to 1.2e-7: log1p would be exact, but slower. The gradient is that of the closed form; TensorFlow
        # would differentiate each of the terms.
        exponential = tf.exp(-tf.abs(logits))
        value = event * logits - tf.maximum(logits, 0.0) - tf.math.log(1.0 + exponential)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return upstream * logits, upstream * (event - tf.sigmoid(logits))

        return value, gradient

    return FastBernoulli


LIKELIHOOD = Bernoulli()
