"""Draws from a batch's posterior, the inputs of the networks, and a check of their distributions' shapes."""

from typing import Any

import tensorflow as tf
import tensorflow_probability as tfp

from kvae.errors import KvaeError
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


def given(*values: tf.Tensor | None) -> tuple[tf.Tensor, ...]:
    """The arguments for a network: the label is left out if there is none."""
    return tuple(value for value in values if value is not None)


def repeated(example: Example, num_draws: int) -> Example:
    """A batch repeated once for each draw, `(num_draws * batch, ...)`."""
    if num_draws == 1:
        return example
    parts = (None if part is None else tf.tile(part, [num_draws] + [1] * (part.shape.rank - 1)) for part in example)
    return Example(*parts)


def check_event(network: str, distribution: Any, expected: Any) -> None:
    """Raise KvaeError unless a distribution has the event shape `expected`, and one batch axis, the images.

    If an axis of the image were in the batch, terms would broadcast, and the loss would be a mean over pixels.
    """
    if not distribution.event_shape.is_compatible_with(expected) or distribution.batch_shape.rank not in (None, 1):
        raise KvaeError(
            f"the {network} must return a distribution with event {tuple(expected)} and batch (batch,); "
            f"got event {tuple(distribution.event_shape)} and batch {tuple(distribution.batch_shape)}. "
            f"Wrap it in tfd.Independent."
        )
