"""The functions of a VAE that become graphs: tensors in, the parameters or the density of a distribution out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.export import tensors
from kvae.files.text import printable
from kvae.model.calls import takes_label
from kvae.model.posteriors import Hierarchical
from kvae.model.vae import VAE


class Functions(NamedTuple):
    """The functions of a VAE. Their arguments have the names of the graphs' inputs, and the same order.

    A label is passed on to the networks that take one; the others ignore it.
    """

    likelihood: str
    """The likelihood's name in `kvae.config.LIKELIHOODS`."""
    decode: Callable[..., Any]
    """(z, label) -> (mean, likelihood parameters)."""
    encode: Callable[..., Any]
    """(images, label, noise) -> (loc, scale); the noise is for a posterior in groups."""
    from_noise: Callable[..., Any]
    """(noise, component, label) -> z, a draw from the prior."""
    log_prob: Callable[..., Any]
    """(z, label) -> log p(z), `(batch,)`."""

    def of_role(self, role: str) -> Callable[..., Any]:
        """The function of the graph "decoder", "encoder", "prior" or "prior_density"."""
        by_role = {
            "decoder": self.decode,
            "encoder": self.encode,
            "prior": self.from_noise,
            "prior_density": self.log_prob,
        }
        return by_role[role]


def of(vae: VAE) -> Functions:
    """The functions of a built VAE.

    Raises:
        KvaeError: a network returns a distribution that a bundle cannot describe.
    """
    prior = vae.prior.frozen()

    def decode(z: tf.Tensor, label: tf.Tensor | None = None) -> Any:
        result = tensors.of_likelihood(called(vae.decoder, z, label=label))
        return result.mean, result.parameters

    def encode(images: tf.Tensor, label: tf.Tensor | None = None, noise: tf.Tensor | None = None) -> Any:
        posterior = called(vae.encoder, images, label=label)
        return tensors.of_posterior(posterior if noise is None else at(posterior, noise))

    def from_noise(noise: tf.Tensor, component: tf.Tensor | None = None, label: tf.Tensor | None = None) -> Any:
        return (prior.from_noise(noise, component, label if takes_label(prior) else None),)

    def log_prob(z: tf.Tensor, label: tf.Tensor | None = None) -> Any:
        return (called(prior, label=label).log_prob(z),)

    black = called(vae.encoder, tf.zeros((1, *vae.image_shape)), label=tf.zeros(1, tf.int64))
    tensors.of_posterior(at(black, tf.zeros((1, vae.latent_dim))) if isinstance(black, Hierarchical) else black)
    likelihood = tensors.of_likelihood(called(vae.decoder, tf.zeros((1, vae.latent_dim)), label=tf.zeros(1, tf.int64)))
    return Functions(likelihood.name, decode, encode, from_noise, log_prob)


def network(vae: VAE, role: str) -> keras.Layer:
    """The network behind the graph of this role."""
    return vae.prior if role.startswith("prior") else getattr(vae, role)


def called(layer: keras.Layer, *values: Any, label: Any = None) -> Any:
    """The distribution that a network returns outside of training, given the label if it takes one."""
    return layer(*values, *([label] if takes_label(layer) else []), training=False)


def at(posterior: Any, noise: tf.Tensor) -> Any:
    """A posterior in groups at one draw for each image, whose noise is `(batch, latent_dim)`: batch `(batch,)`.

    Raises:
        KvaeError: it does not return a diagonal Gaussian there.
    """
    found = posterior.at(noise[None])
    gaussian = found[1] if isinstance(found, tuple) and len(found) == 2 else found
    loc, scale = tensors.of_posterior(gaussian)
    if loc.shape.rank != 3:
        raise KvaeError(
            f"the posterior's at(noise) must return the codes and a Gaussian of batch (draws, batch); it returns "
            f"{printable(gaussian, 80)}."
        )
    return tensors.diagonal(loc[0], scale[0])
