"""Draws from a batch's posterior, and the batch repeated once for each draw."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from kvae.steps.draws import Draws
from kvae.steps.example import Example

tfd = tfp.distributions


def draw(posterior: Any, draws: Draws, num_draws: int, count: tf.Tensor | int) -> tf.Tensor:
    """Reparameterised draws from a posterior, `(num_draws, batch, latent_dim)`.

    An image's draws depend only on the seed and its position in the step's batch, however the batch is divided among
    replicas. (If the posterior is not a MultivariateNormalDiag, they depend on that division too.)

    Args:
        posterior: q(z|x) of the batch.
        draws: the batch's random numbers.
        num_draws: draws for each image.
        count: number of images.
    """
    if isinstance(posterior, tfd.MultivariateNormalDiag):
        noise = draws.normal(num_draws, count, int(posterior.event_shape[0]), posterior.dtype)
        return posterior.bijector.forward(noise)
    return posterior.sample(num_draws, seed=draws.folded(draws.rows.first))


def repeated(example: Example, num_draws: int) -> Example:
    """A batch repeated once for each draw, `(num_draws * batch, ...)`."""
    if num_draws == 1:
        return example
    parts = (None if part is None else tf.tile(part, [num_draws] + [1] * (part.shape.rank - 1)) for part in example)
    return Example(*parts)
