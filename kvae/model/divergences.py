"""KL divergences that TFP has no closed form for, registered so that `tfd.kl_divergence` stays the one way to the KL.

A pair that neither TFP nor this module knows raises TFP's NotImplementedError, whose text names the pair; register
yours with `tfd.RegisterKL`.
"""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


NUM_DRAWS = 32
"""Draws of q in a Monte-Carlo KL. Its standard error is that of one draw, divided by the root of this."""


@tfd.RegisterKL(tfd.Independent, tfd.MultivariateNormalDiag)
@tfd.RegisterKL(tfd.MultivariateNormalDiag, tfd.Independent)
def _diagonal_normals(q: Any, p: Any, name: str | None = None) -> tf.Tensor:
    """KL of two diagonal Gaussians, one of them spelled as independent normals: the sum over dimensions."""
    for distribution in (q, p):
        base = getattr(distribution, "distribution", None)
        if isinstance(distribution, tfd.Independent) and not isinstance(base, tfd.Normal):
            raise NotImplementedError(f"No KL is registered for Independent over {type(base).__name__}.")
    with tf.name_scope(name or "kl_diagonal_normals"):
        pair = (tfd.Normal(distribution.mean(), distribution.stddev()) for distribution in (q, p))
        return tf.reduce_sum(tfd.kl_divergence(*pair), axis=-1)


@tfd.RegisterKL(tfd.Independent, tfd.MixtureSameFamily)
@tfd.RegisterKL(tfd.MultivariateNormalDiag, tfd.MixtureSameFamily)
def _monte_carlo(q: Any, p: Any, name: str | None = None) -> tf.Tensor:
    """KL to a mixture, which has no closed form: the mean of log q(z) - log p(z) over `NUM_DRAWS` draws of q.

    Unbiased, and differentiable where q is reparameterised; the draws come from TensorFlow's global generator.
    """
    with tf.name_scope(name or "kl_monte_carlo"):
        z = q.sample(NUM_DRAWS)
        return tf.reduce_mean(q.log_prob(z) - p.log_prob(z), axis=0)
