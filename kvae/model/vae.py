"""The variational autoencoder: log p(x) >= E_q log p(x|z) - KL(q(z|x) || p(z))."""

from typing import Any

import keras
import tensorflow as tf

from kvae.model import divergences as divergences  # registers KLs with TFP
from kvae.model import networks as networks  # registers Encoder and Decoder with Keras, for load_model
from kvae.model import terms
from kvae.model.objective_model import ObjectiveModel
from kvae.model.objectives import ELBO, Objective
from kvae.model.older import older_config
from kvae.model.posteriors import check_event, draw, given, repeated
from kvae.model.priors import Fixed, Prior
from kvae.model.terms import Terms
from kvae.steps.draws import Draws
from kvae.steps.example import Example
from kvae.steps.parts import side_by_side
from kvae.steps.set_once import SetOnce
from kvae.steps.step_model import Means
from kvae.steps.threads import num_parts

PARTS = ("encoder", "decoder", "prior", "objective")


@keras.saving.register_keras_serializable("kvae")
class VAE(SetOnce, ObjectiveModel):
    """A variational autoencoder composed of an encoder, a decoder, a prior and an objective.

    It is an ordinary Keras model (see `kvae.steps.StepModel`); `predict` returns mean reconstructions. Labels passed
    to `fit` are ignored.

    Args:
        encoder: subclass of `keras.Model`, images `(batch, height, width, channels)` in [0, 1] -> TFP distribution
            with event `(latent_dim,)`. (Keras's Sequential and functional models can only return tensors.)
        decoder: subclass of `keras.Model`, z `(batch, latent_dim)` -> TFP distribution with event
            `(height, width, channels)`.
        prior: a `Prior`, such as `StandardNormal(latent_dim)`, or a TFP distribution with event `(latent_dim,)`.
        objective: what training minimises; the negative ELBO by default.
        seed: seed of the posterior's draws.

    Reference: Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    """

    measured = ("loss", "elbo", "distortion", "rate")
    set_once = ("encoder", "decoder", "prior", "seed")
    set_elsewhere = dict.fromkeys(("entropy_weight", "warmup_steps", "free_bits"), "objective")

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

    def terms(self, example: Any, draws: Any = None, training: bool = False) -> Terms:
        """The terms of each image.

        Args:
            example: images `(batch, height, width, channels)`, floats in [0, 1], or an `Example`.
            draws: the random numbers of the batch, `Draws` or a seed of two integers; by default they come from the
                model's own generator.
            training: the `training` argument for layers such as Dropout.

        Raises:
            KvaeError: the images are integers, or a network's distribution does not cover all axes except the batch.
        """
        example = Example.of(example)
        if not self.built:  # Keras builds a model when it is called, but training calls the networks instead
            self.build(example.images.shape)
        draws = self.next_draws(example.num_images) if draws is None else Draws.of(draws, example.num_images)
        parts = num_parts(xla=bool(self.jit_compile) or self._jit_replicas)
        return side_by_side(lambda part, own: self._terms(part, own, training), example, draws, parts)

    def _terms(self, example: Example, draws: Draws, training: bool) -> Terms:
        posterior = self.encoder(*given(example.images, example.label), training=training)  # q(z|x)
        prior = self.prior(*given(example.label))  # p(z)
        check_event("encoder", posterior, prior.event_shape)
        z = draw(posterior, draws, self._objective.num_draws, example.num_images)  # (draws, batch, latent_dim)
        log_likelihood = self._log_likelihood(example, z, training)  # log p(x|z), (draws, batch)
        log_prior, log_posterior = prior.log_prob(z), posterior.log_prob(z)  # (draws, batch)
        rate = terms.rate(posterior, prior, log_posterior, log_prior)
        return Terms(
            log_likelihood=log_likelihood,
            log_prior=log_prior,
            log_posterior=log_posterior,
            rate=rate,
            entropy=terms.entropy(posterior, log_posterior),
            dimension_rates=terms.dimension_rates(posterior, prior, rate),
        )

    def _log_likelihood(self, example: Example, z: tf.Tensor, training: bool) -> tf.Tensor:
        num_draws = z.shape[0]
        images, label = repeated(example, num_draws)
        codes = z[0] if num_draws == 1 else tf.reshape(z, [-1, z.shape[-1]])
        likelihood = self.decoder(*given(codes, label), training=training)  # event (height, width, channels)
        check_event("decoder", likelihood, images.shape[1:])
        return tf.reshape(likelihood.log_prob(images), [num_draws, -1])

    def measure(self, example: Example, draws: Draws, training: bool) -> Means:
        found = self.terms(example, draws, training)
        elbo, rate = tf.reduce_mean(found.elbo), tf.reduce_mean(found.rate)
        # Not the mean of the distortion: for that, XLA would sum the pixels of all images again, in one thread.
        return {"loss": self.weighted_loss(found, training), "elbo": elbo, "distortion": -elbo - rate, "rate": rate}

    def elbo(self, example: Any, draws: Any = None) -> tf.Tensor:
        """Evidence lower bound of each image, `(batch,)`, in nats; arguments as for `terms`."""
        return self.terms(example, draws).elbo

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Mean reconstruction, `(batch, height, width, channels)` in [0, 1], decoded from the posterior's mean."""
        return self.decoder(self.encoder(images, training=training).mean(), training=training).mean()

    @property
    def latent_dim(self) -> int:
        """Number of latent dimensions."""
        return int(self.prior.latent_dim)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.prior.build()
        for network, shape in ((self.encoder, input_shape), (self.decoder, (None, self.latent_dim))):
            if not network.built:
                # An eager call, not network.build(shape): a network that defines no `build` is traced symbolically by
                # Keras, and a symbolic trace cannot return a TFP distribution.
                with tf.init_scope():
                    network(tf.zeros([1, *shape[1:]]))
        self.image_shape: tuple[int, ...] = tuple(size for size in input_shape[1:] if size is not None)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        parts = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in PARTS}
        return super().get_config() | parts | {"seed": self.seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "VAE":
        return cls(
            **{
                name: keras.saving.deserialize_keras_object(value) if name in PARTS else value
                for name, value in older_config(config).items()
            }
        )
