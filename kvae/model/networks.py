"""Encoder and decoder: Keras networks that return TFP distributions.

`Encoder.call` turns images into a posterior; `Decoder.call` turns codes into a distribution over images. The layers in
between, the *body*, are an ordinary Keras network: one from `kvae.model.architectures`, or any other with the same
shapes.
"""

from typing import Any, cast

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from kvae import likelihoods
from kvae.config import NAMED_LIKELIHOOD, ModelConfig
from kvae.errors import KvaeError
from kvae.model import architectures, logits
from kvae.steps import inputs
from kvae.steps.set_once import SetOnce

tfd = tfp.distributions

MIN_POSTERIOR_SCALE = 1e-4
"""Floor of the posterior's standard deviation, in units of z; keeps log q(z|x) finite."""


@keras.saving.register_keras_serializable("kvae")
class Encoder(SetOnce, keras.Model):
    """Images -> the posterior q(z|x), a diagonal Gaussian.

    Args:
        body: Keras network from images `(batch, height, width, channels)` in [0, 1] to features `(batch, units)`.
        latent_dim: number of latent dimensions.

    Call with images `(batch, height, width, channels)`; returns `tfd.MultivariateNormalDiag` with event
    `(latent_dim,)`. Layers that act only in training, such as RandomFlip or Dropout, act only if `training` is true.

    Reference: Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    """

    set_once = ("body", "latent_dim", "loc", "raw_scale")
    image_range: inputs.Range = inputs.UNIT
    """What the images may hold; the model that the encoder is a part of sets it."""

    def __init__(self, body: keras.Layer, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.latent_dim = latent_dim
        self.loc = layers.Dense(latent_dim, name="loc")
        self.raw_scale = layers.Dense(latent_dim, name="raw_scale")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if not self.body.built:
            self.body.build(input_shape)
        features = self.body.compute_output_shape(input_shape)
        if len(features) != 2:
            raise KvaeError(
                f"the encoder's body must give features (batch, units); it gives {tuple(features)}. "
                f"End it with keras.layers.Flatten()."
            )
        self.loc.build(features)
        self.raw_scale.build(features)
        self.built = True

    def call(self, images: tf.Tensor, training: bool = False) -> Any:
        inputs.check_values(images, self.image_range)
        features = self.body(images, training=training)
        # Whatever precision the layers compute in, the distribution is float32.
        loc, raw_scale = (tf.cast(head(features), tf.float32) for head in (self.loc, self.raw_scale))
        return tfd.MultivariateNormalDiag(loc=loc, scale_diag=MIN_POSTERIOR_SCALE + tf.nn.softplus(raw_scale))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "body": keras.saving.serialize_keras_object(self.body),
            "latent_dim": self.latent_dim,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Encoder":
        return cls(**(config | {"body": keras.saving.deserialize_keras_object(config["body"])}))


@keras.saving.register_keras_serializable("kvae")
class Decoder(SetOnce, keras.Model):
    """A code z -> the likelihood p(x|z), a distribution over images.

    Args:
        body: Keras network from z `(batch, latent_dim)` to `(batch, height, width, channels * k)`, with k the number
            of parameters of the likelihood (1 for Bernoulli). It gives logits, or the other parameters, before any
            activation: its last layer has none, because the likelihood applies its own.
        likelihood: a name in `kvae.config.LIKELIHOODS`. Default "bernoulli".

    Call with z `(batch, latent_dim)`; returns `tfd.Independent` with event `(height, width, channels)`.

    Raises:
        KvaeError: the body ends in an activation that bounds its outputs, such as a sigmoid; or, when it is called,
            they have another shape.
    """

    set_once = ("body", "likelihood")

    def __init__(self, body: keras.Layer, likelihood: str = "bernoulli", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.likelihood = likelihood
        self._likelihood = likelihoods.get(likelihood)
        logits.check_body(body)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if not self.body.built:
            self.body.build(input_shape)
        self.built = True

    def call(self, z: tf.Tensor, training: bool = False) -> Any:
        outputs = self.body(z, training=training)
        shape = tuple(getattr(outputs, "shape", ()))
        k = len(self._likelihood.parameters)
        if len(shape) != 4 or shape[-1] is None or shape[-1] % k:
            raise KvaeError(
                f"the decoder's body must give (batch, height, width, channels * {k}) for the likelihood "
                f"{self.likelihood}, whose parameters are {', '.join(self._likelihood.parameters)}; it gives {shape}. "
                f"End it with keras.layers.Reshape((height, width, channels * {k}))."
            )
        return self._likelihood.of_images(tf.cast(outputs, tf.float32))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "body": keras.saving.serialize_keras_object(self.body),
            "likelihood": self.likelihood,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Decoder":
        with logits.trusted():
            return cls(**(config | {"body": keras.saving.deserialize_keras_object(config["body"])}))


def build_encoder(config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None) -> keras.Model:
    """The encoder that `config` describes, with fresh weights, for images of `(height, width, channels)`."""
    if whole := architectures.get(config.architecture).networks:
        return whole.encoder(config, image_shape, num_labels)
    body = architectures.get(config.architecture).encoder_body
    return Encoder(body(image_shape, _width(config)), config.latent_dim, name="encoder")


def build_decoder(config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None) -> keras.Model:
    """The decoder that `config` describes, with fresh weights, for images of `(height, width, channels)`."""
    if whole := architectures.get(config.architecture).networks:
        return whole.decoder(config, image_shape, num_labels)
    height, width, channels = image_shape
    likelihood = config.likelihood or NAMED_LIKELIHOOD
    outputs = channels * len(likelihoods.get(likelihood).parameters)
    body = architectures.get(config.architecture).decoder_body
    network = body((height, width, outputs), _width(config), config.latent_dim)
    return Decoder(network, likelihood, name="decoder")


def latent_dim(config: ModelConfig, image_shape: tuple[int, int, int]) -> int:
    """The size of a code, and so of the prior's draws: the setting, or the sum of a hierarchy's groups."""
    whole = architectures.get(config.architecture).networks
    return config.latent_dim if whole is None else whole.latent_dim(config, image_shape)


def _width(config: ModelConfig) -> int:
    return cast(int, config.hidden_units)  # the config has replaced None with the architecture's default
