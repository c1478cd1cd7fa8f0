"""Mixtures of diagonal Gaussians with a density that is cheap and exact for any number of components."""

import math

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.typing import NDArray

from kvae.model.priors.reparameterized import diagonal

tfd = tfp.distributions

MIN_SCALE = 1e-3
"""Floor of a learned component's standard deviation, in units of z."""


class DiagonalMixture(tfp.distributions.MixtureSameFamily):
    """`tfd.MixtureSameFamily` over diagonal Gaussians, whose log_prob is a matrix product.

    log N(z; m, s) of all pairs of codes and components is linear in z^2 and z: so neither time nor memory is spent on
    tensors of shape (batch, components, latent_dim). The squares are large and nearly cancel if scales are small, so
    the product is one of float64: its cost is that of a small layer, and its result is exact to float32.
    """

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        if self.components_distribution.batch_shape.rank > 1:  # components of their own for each code: there are few
            return super()._log_prob(z)
        logits = tf.nn.log_softmax(self.mixture_distribution.logits_parameter())
        return log_density(z, logits, *diagonal(self.components_distribution))


def mixture(logits: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> DiagonalMixture:
    """A mixture of diagonal Gaussians.

    Args:
        logits: logarithms of the weights, up to a constant, `(components,)`.
        loc: means, `(components, latent_dim)`, or `(batch, components, latent_dim)` for one mixture per code.
        scale: standard deviations, in the same shape.
    """
    return DiagonalMixture(tfd.Categorical(logits=logits), tfd.MultivariateNormalDiag(loc, scale))


def log_density(z: tf.Tensor, logits: tf.Tensor, loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """log sum_k exp(logits_k) N(z; m_k, s_k), `(...,)`, of codes `(..., latent_dim)`; the rest as `mixture`."""
    latent_dim = int(loc.shape[-1])
    flat = z if z.shape.rank == 2 else tf.reshape(z, [-1, latent_dim])
    wide, loc, scale = (tf.cast(values, tf.float64) for values in (flat, loc, scale))
    precision = scale**-2
    slopes = tf.concat([-0.5 * precision, loc * precision], axis=1)  # (components, 2 * latent_dim)
    offsets = tf.reduce_sum(-0.5 * loc**2 * precision - tf.math.log(scale), axis=1) + tf.cast(logits, tf.float64)
    offsets -= 0.5 * latent_dim * math.log(2 * math.pi)
    pairs = tf.matmul(tf.concat([wide**2, wide], axis=1), slopes, transpose_b=True) + offsets
    top = tf.stop_gradient(tf.reduce_max(pairs, axis=1, keepdims=True))
    shares = tf.exp(tf.cast(pairs - top, z.dtype))  # at least one is 1
    found = tf.cast(top[:, 0], z.dtype) + tf.math.log(tf.reduce_sum(shares, axis=1))
    return found if z.shape.rank == 2 else tf.reshape(found, tf.shape(z)[:-1])


def inverse_softplus(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The numbers whose softplus these are."""
    return values + np.log(-np.expm1(-values))
