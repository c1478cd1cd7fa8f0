"""KL divergences that TFP has no closed form for, registered so that `tfd.kl_divergence` stays the one way to the KL.

A pair that neither TFP nor this module knows raises TFP's NotImplementedError, whose text names the pair; register
yours with `tfd.RegisterKL`.
"""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


@tfd.RegisterKL(tfd.Independent, tfd.MultivariateNormalDiag)
def _independent_normal_to_diagonal_normal(q: Any, p: Any, name: str | None = None) -> tf.Tensor:
    """KL of two diagonal Gaussians, the first spelled as independent normals: the sum over dimensions."""
    if not isinstance(q.distribution, tfd.Normal) or q.event_shape.rank != 1:
        raise NotImplementedError(
            f"No KL for Independent over {type(q.distribution).__name__} with event {q.event_shape}"
        )
    with tf.name_scope(name or "kl_independent_normal_diagonal_normal"):
        return tf.reduce_sum(tfd.kl_divergence(q.distribution, tfd.Normal(p.mean(), p.stddev())), axis=-1)
