"""Draws from a batch's posterior, and the batch repeated once for each draw."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import tensorflow as tf
import tensorflow_probability as tfp

from kvae.model.ladder import memo
from kvae.steps.draws import Draws
from kvae.steps.example import Example

tfd = tfp.distributions


@runtime_checkable
class Hierarchical(Protocol):
    """A posterior of several groups of latent dimensions, each of which depends on the draws of those before it.

    It is a TFP distribution with this method besides. See `kvae.model.ladder` for kvae's own.
    """

    def at(self, noise: tf.Tensor) -> tuple[tf.Tensor, Any]:
        """The codes that standard normal noise leads to, and the posterior at them.

        Args:
            noise: `(draws, batch, latent_dim)`.

        Returns:
            The codes `(draws * batch, latent_dim)`, and a diagonal Gaussian with batch `(draws, batch)` whose
            parameters are those of each group given the draws of the groups before it: the codes are
            loc + scale * noise, and its log_prob at them is log q(z|x).
        """


class Drawn(NamedTuple):
    """Draws from a batch's posterior."""

    codes: tf.Tensor
    """The draws one after the other, `(draws * batch, latent_dim)`."""
    z: tf.Tensor
    """The same, `(draws, batch, latent_dim)`."""
    posterior: Any
    """The posterior, with batch `(batch,)`; a hierarchical one at these draws, with batch `(draws, batch)`."""


def draw(posterior: Any, draws: Draws, num_draws: int, count: tf.Tensor | int) -> Drawn:
    """Reparameterised draws from a posterior.

    An image's draws depend only on the seed and its position in the step's batch, however the batch is divided among
    replicas. (If the posterior is neither a MultivariateNormalDiag nor hierarchical, they depend on that division too.)

    Args:
        posterior: q(z|x) of the batch.
        draws: the batch's random numbers.
        num_draws: draws for each image.
        count: number of images.
    """
    latent_dim, dtype = int(posterior.event_shape[0]), posterior.dtype
    if isinstance(posterior, Hierarchical):
        noise = draws.normal(num_draws, count, latent_dim, dtype)
        codes, at_them = posterior.at(noise)
        return Drawn(codes, tf.reshape(codes, tf.shape(noise)), at_them)
    if isinstance(posterior, tfd.MultivariateNormalDiag):
        z = posterior.bijector.forward(draws.normal(num_draws, count, latent_dim, dtype))
    else:
        z = posterior.sample(num_draws, seed=draws.folded(draws.rows.first))
    return Drawn(z[0] if num_draws == 1 else tf.reshape(z, [-1, latent_dim]), z, posterior)


def repeated(example: Example, num_draws: int) -> Example:
    """A batch repeated once for each draw, `(num_draws * batch, ...)`."""
    return Example(*(None if part is None else memo.tiled(part, num_draws) for part in example))
