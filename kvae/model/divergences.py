"""KL divergences that TFP has no closed form for, registered so that `tfd.kl_divergence` works for every KL.

Register yours with `tfd.RegisterKL`. For a pair that neither TFP nor this module knows, `kvae.model.terms.rate` uses
log q(z|x) - log p(z) at the step's own draws.
"""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


@tfd.RegisterKL(tfd.Independent, tfd.MultivariateNormalDiag)
@tfd.RegisterKL(tfd.MultivariateNormalDiag, tfd.Independent)
def _diagonal_normals(q: Any, p: Any, name: str | None = None) -> tf.Tensor:
    """KL of two diagonal Gaussians, one of them written as independent normals: the sum over dimensions."""
    for distribution in (q, p):
        base = getattr(distribution, "distribution", None)
        if isinstance(distribution, tfd.Independent) and not isinstance(base, tfd.Normal):
            raise NotImplementedError(f"No KL is registered for Independent over {type(base).__name__}.")
    with tf.name_scope(name or "kl_diagonal_normals"):
        pair = (tfd.Normal(distribution.mean(), distribution.stddev()) for distribution in (q, p))
        return tf.reduce_sum(tfd.kl_divergence(*pair), axis=-1)
