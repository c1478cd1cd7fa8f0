"""The variational autoencoder: log p(x) >= E_q log p(x|z) - KL(q(z|x) || p(z))."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.errors import KvaeError
from kvae.model import divergences, drawing, logits, networks, terms  # noqa: F401  # the 1st and 3rd register KLs and classes
from kvae.model.calls import bind, build, check_networks, check_variables, num_labels, returned, takes_label
from kvae.model.image_range import image_range
from kvae.model.objective_model import ObjectiveModel
from kvae.model.objectives import ELBO, Objective
from kvae.model.older import older_config
from kvae.model.posteriors import draw, repeated
from kvae.model.priors import Fixed, Prior
from kvae.model.terms import Terms
from kvae.steps.draws import Draws
from kvae.steps.example import Example
from kvae.steps.inputs import batch_shape
from kvae.steps.parts import side_by_side
from kvae.steps.set_once import SetOnce
from kvae.steps.threads import num_parts

PARTS = ("encoder", "decoder", "prior", "objective")
SAMPLED = 256
"""Images that `VAE.sample` decodes at a time."""


@keras.saving.register_keras_serializable("kvae")
class VAE(SetOnce, ObjectiveModel):
    """A variational autoencoder composed of an encoder, a decoder, a prior and an objective.

    It is a Keras model (see `kvae.steps.StepModel`) of floats in [0, 1]; `predict` returns mean reconstructions.

    Args:
        encoder: subclass of `keras.Model`, images `(batch, height, width, channels)` in [0, 1] -> TFP distribution
            with event `(latent_dim,)`. (Keras's Sequential and functional models can only return tensors.) If it has
            an attribute `num_labels`, its second argument is labels, int64 `(batch,)`; likewise decoder and prior.
        decoder: subclass of `keras.Model`, z `(batch, latent_dim)` -> distribution with event of an image's shape.
        prior: a `Prior`, such as `StandardNormal(latent_dim)`, or a TFP distribution with event `(latent_dim,)`.
        objective: what training minimises; the negative ELBO by default.
        seed: seed of the posterior's draws.

    Reference: Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    """

    measured = ("loss", "elbo", "distortion", "rate")
    set_once = ("encoder", "decoder", "prior", "seed")
    settings_of = ("objective", "optimizer")

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        prior: Any,
        objective: Objective | None = None,
        *,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(objective or ELBO(), seed=seed, **kwargs)
        self.encoder = encoder
        self.decoder = decoder
        self.prior = prior if isinstance(prior, Prior) else Fixed(prior)
        check_networks(encoder, decoder, self.prior)
        bind(encoder, decoder, self.prior)

    def terms(self, example: Any, draws: Any = None, training: bool = False) -> Terms:
        """The terms of each image.

        Args:
            example: images `(batch, height, width, channels)`, floats in [0, 1], or an `Example`. Floats are taken as
                they are; `kvae train` makes 8-bit levels of them.
            draws: the batch's random numbers, `Draws` or a seed of two integers; default: the model's own generator.
            training: the `training` argument for layers such as Dropout.

        Raises:
            KvaeError: the input is not images, or a network does not return a distribution over codes or images.
        """
        example, parts = self.example(example), num_parts(xla=bool(self.jit_compile) or self._jit_replicas)
        draws = self.next_draws(example.num_images) if draws is None else Draws.of(draws, example.num_images)
        shared = None if takes_label(self.prior) else self._prior(None, training)
        return side_by_side(lambda part, own: self._terms(part, own, shared, training), example, draws, parts)

    def _terms(self, example: Example, draws: Draws, shared: Any, training: bool) -> Terms:
        encoded = self._posterior(example, training)  # q(z|x)
        prior = self._prior(example.label, training) if shared is None else shared  # p(z)
        codes, z, posterior = draw(encoded, draws, self._objective.num_draws, example.num_images)
        example = repeated(example, z.shape[0])  # like the codes, (draws * batch, ...)
        likelihood = self._likelihood(codes, example, training)  # p(x|z)
        log_likelihood = tf.reshape(likelihood.log_prob(example.images), [z.shape[0], -1])  # (draws, batch)
        log_prior, log_posterior = prior.log_prob(z), posterior.log_prob(z)  # (draws, batch)
        rate, entropy = terms.rate(posterior, prior, log_posterior, log_prior), terms.entropy(posterior, log_posterior)
        dimension_rates = terms.dimension_rates(posterior, prior, rate)
        return Terms(log_likelihood, log_prior, log_posterior, rate, entropy, dimension_rates)

    def measure(self, example: Example, draws: Draws, training: bool) -> dict[str, tf.Tensor]:
        found = self.terms(example, draws, training)
        elbo, rate = tf.reduce_mean(found.elbo), tf.reduce_mean(found.rate)  # the mean distortion would cost a sum more
        return {"loss": self.weighted_loss(found, training), "elbo": elbo, "distortion": -elbo - rate, "rate": rate}

    def elbo(self, example: Any, draws: Any = None) -> tf.Tensor:
        """Evidence lower bound of each image, `(batch,)`, in nats; arguments as for `terms`."""
        return self.terms(example, draws).elbo

    def encode(self, images: Any) -> Any:
        """The posterior q(z|x), a TFP distribution with batch `(batch,)` and event `(latent_dim,)`.

        Args:
            images: `(batch, height, width, channels)`, floats in [0, 1]; for a conditional model a pair of these and
                labels, integers `(batch,)`.

        Raises:
            KvaeError: as for `terms`.
        """
        return self._posterior(self.example(images), False)

    def reconstruct(self, images: Any) -> NDArray[np.float32]:
        """Mean reconstructions, `(batch, height, width, channels)` in [0, 1], decoded from the posterior's mean.

        Args:
            images: as for `encode`; `predict` is for more of them than fit into memory at a time.
        """
        found: NDArray[np.float32] = self.predicted(self.example(images)).numpy()
        return found

    def sample(self, n: int, seed: int = 0, label: Any = None) -> NDArray[np.float32]:
        """The expected images of `n` draws from the prior, `(n, height, width, channels)`, in [0, 1].

        They are the images of `kvae.runtime.Bundle.sample` with the same seed, up to rounding.

        Args:
            n: number of images, at least 1.
            seed: 0 to 2^64 - 1; image i depends only on (seed, i) and its label.
            label: for a conditional model, the class of all images, or one for each, integers `(n,)`. A bundle knows
                how frequent its labels are; the networks alone do not.

        Raises:
            KvaeError: an argument out of range, a label that is missing or that the model does not have, a model that
                has not seen images yet, or a prior whose draws are not known as a function of noise.
        """
        if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 1:
            raise KvaeError(f"n must be an integer of at least 1; got {n}.")
        if self.image_shape is None:
            raise KvaeError("the model does not know yet how large images are: fit it, or call its method build.")
        if (label is None) != (self.num_labels is None) or np.ndim(label) and np.shape(label) != (n,):
            raise KvaeError(
                f"the model has no labels; got label {label}."
                if self.num_labels is None
                else f"the model has {self.num_labels} labels: give label, an integer or {n} of them."
            )
        labels = None if label is None else np.broadcast_to(label, [n])
        images = np.empty((n, *self.image_shape), np.float32)
        for first in range(0, n, SAMPLED):
            part = images[first : first + SAMPLED]
            given = (part, labels[first : first + SAMPLED]) if labels is not None else part
            part[:] = 0  # whose shape counts, and values that `example` accepts
            example = self.example(given)
            own = example.label if takes_label(self.prior) else None
            z = drawing.draws(self.prior, seed, first, len(part), own)
            part[:] = self._likelihood(z, example, False).mean().numpy()
        return images

    def predicted(self, example: Example, training: bool = False) -> tf.Tensor:
        """Mean reconstruction, `(batch, height, width, channels)` in [0, 1], decoded from the posterior's mean."""
        return self._likelihood(self._posterior(example, training).mean(), example, training).mean()

    def _posterior(self, example: Example, training: bool) -> Any:
        return returned("encoder", self.encoder, *example, event=[self.latent_dim], training=training)

    def _likelihood(self, codes: tf.Tensor, example: Example, training: bool) -> Any:
        event = example.images.shape[1:]
        return returned("decoder", self.decoder, codes, example.label, event=event, training=training)

    def _prior(self, label: tf.Tensor | None, training: bool) -> Any:
        return returned("prior", self.prior, label, event=[self.latent_dim], training=training)

    def prepare_training(self) -> None:
        logits.check_outputs(self.decoder, self.latent_dim)

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return int(self.prior.latent_dim)

    @property
    def num_labels(self) -> int | None:
        """Number of classes, if the model is conditional; else None."""
        return num_labels(self.encoder, self.decoder, self.prior)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = batch_shape(tuple(input_shape))
        self.prior.build()
        build("encoder", self.encoder, shape[1:])
        build("decoder", self.decoder, (self.latent_dim,))
        check_variables(self)
        self.image_range = self.encoder.image_range = image_range(self.decoder, self.latent_dim)
        self.image_shape = tuple(size for size in shape[1:] if size is not None)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS}
        return super().get_config() | parts | {"seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "VAE":
        found = older_config(config)
        return cls(**found | {name: keras.saving.deserialize_keras_object(found[name]) for name in PARTS})
