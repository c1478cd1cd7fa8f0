"""Draws from TFP distributions as functions of standard normal noise, for graphs, which have no random numbers."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.typing import NDArray

tfd = tfp.distributions


def reparameterized(distribution: Any, noise: tf.Tensor, component: tf.Tensor | None = None) -> tf.Tensor:
    """Draws from a distribution, `(batch, latent_dim)`.

    Args:
        distribution: a Gaussian, a bijector of one, or a mixture of Gaussians (`tfd.MixtureSameFamily`), with event
            `(latent_dim,)` and batch `()` or `(batch,)`.
        noise: `(batch, latent_dim)`.
        component: for a mixture, the component of each draw, int64 `(batch,)`.

    Raises:
        NotImplementedError: any other distribution.
    """
    if isinstance(distribution, tfd.MixtureSameFamily):
        loc, scale = diagonal(distribution.components_distribution)  # ([batch,] components, latent_dim)
        if loc.shape.rank == 3:
            return tf.gather(loc, component, batch_dims=1) + tf.gather(scale, component, batch_dims=1) * noise
        return tf.gather(loc, component) + tf.gather(scale, component) * noise
    if isinstance(distribution, tfd.Independent | tfd.Normal | tfd.MultivariateNormalDiag):
        loc, scale = diagonal(distribution)
        return loc + scale * noise
    # Not isinstance(..., tfd.TransformedDistribution): TFP makes most Gaussians of one, with their own arguments.
    if isinstance(distribution, tfd.TransformedDistribution):
        return distribution.bijector.forward(reparameterized(distribution.distribution, noise))
    if isinstance(distribution, tfd.Sample) and isinstance(distribution.distribution, tfd.Normal):
        loc, scale = diagonal(distribution.distribution)
        return loc + scale * noise
    raise NotImplementedError(f"draws from a {type(distribution).__name__} are not known as a function of noise.")


def mixture_probs(distribution: Any) -> NDArray[np.float64] | None:
    """The probability of each component of a mixture, `(components,)`, summing to 1; None for any other distribution.

    Raises:
        NotImplementedError: the probabilities differ from image to image.
    """
    if not isinstance(distribution, tfd.MixtureSameFamily):
        return None
    logits = distribution.mixture_distribution.logits_parameter()
    if logits.shape.rank != 1:
        raise NotImplementedError("the probabilities of a mixture's components must be the same for all images.")
    probs = np.exp(np.asarray(logits, np.float64) - np.max(logits))
    return probs / probs.sum()


def diagonal(distribution: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """loc and scale of a diagonal Gaussian, read from its arguments; NotImplementedError for another distribution."""
    base = distribution
    while isinstance(base, tfd.Independent):
        base = base.distribution
    if isinstance(base, tfd.Normal):
        loc, scale = base.loc, base.scale
    elif isinstance(base, tfd.MultivariateNormalDiag):
        scale = base.parameters["scale_diag"]
        loc = base.parameters["loc"]
        loc = tf.zeros(base.event_shape, tf.float32) if loc is None else loc
        scale = 1.0 if scale is None else scale
    else:
        raise NotImplementedError(f"draws from a {type(distribution).__name__} are not known as a function of noise.")
    loc = tf.convert_to_tensor(loc)
    return loc, tf.ones_like(loc) * scale
