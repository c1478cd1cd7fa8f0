"""Encoder and decoder: Keras networks that return TFP distributions.

An image becomes a posterior in `Encoder.call`; a code becomes a distribution over images in `Decoder.call`. The layers
in between, the *body*, are an ordinary `keras.Sequential`: `mlp_encoder_body` ... `conv_decoder_body` build those that
kvae trains by default, and any other Keras network of the same shapes can take their place.
"""

import math
from typing import Any, cast

import keras
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from kvae.config import ModelConfig
from kvae.model import likelihoods

tfd = tfp.distributions

MIN_POSTERIOR_SCALE = 1e-4
"""Floor of the posterior's standard deviation, in units of z; keeps log q(z|x) finite."""
MAX_POSITIONS = 64
"""Pixels that the convolutions leave to the dense layers: 8 x 8, or of a square image at least 4 x 4. It bounds the
dense layers, which would else have nearly all the weights of a large image's network."""


@keras.saving.register_keras_serializable("kvae")
class Encoder(keras.Model):
    """Images -> the posterior q(z|x), a diagonal Gaussian.

    Args:
        body: Keras network from images `(batch, height, width, channels)` in [0, 1] to features `(batch, units)`.
        latent_dim: number of latent dimensions.

    Call with images `(batch, height, width, channels)`; returns `tfd.MultivariateNormalDiag` with event
    `(latent_dim,)`.

    Reference: Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    """

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
        self.loc.build(features)
        self.raw_scale.build(features)
        self.built = True

    def call(self, images: tf.Tensor) -> Any:
        features = self.body(images)
        # Whatever the layers compute in, the distribution is one of float32.
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
class Decoder(keras.Model):
    """A code z -> the likelihood p(x|z), a distribution over images.

    Args:
        body: Keras network from z `(batch, latent_dim)` to `(batch, height, width, channels * k)`, with k the number
            of parameters of the likelihood (1 for Bernoulli).
        likelihood: a name in `kvae.model.likelihoods.LIKELIHOODS`. Default "bernoulli".

    Call with z `(batch, latent_dim)`; returns `tfd.Independent` with event `(height, width, channels)`.
    """

    def __init__(self, body: keras.Layer, likelihood: str = "bernoulli", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.likelihood = likelihood
        self._distribution = likelihoods.get(likelihood).of_images

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if not self.body.built:
            self.body.build(input_shape)
        self.built = True

    def call(self, z: tf.Tensor) -> Any:
        return self._distribution(tf.cast(self.body(z), tf.float32))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "body": keras.saving.serialize_keras_object(self.body),
            "likelihood": self.likelihood,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Decoder":
        return cls(**(config | {"body": keras.saving.deserialize_keras_object(config["body"])}))


def build_encoder(config: ModelConfig, image_shape: tuple[int, int, int]) -> Encoder:
    """The encoder that `config` describes, with fresh weights, for images of `(height, width, channels)`."""
    bodies = {"conv": conv_encoder_body, "mlp": mlp_encoder_body, "gated_mlp": gated_mlp_encoder_body}
    body = bodies[config.architecture]
    return Encoder(body(image_shape, _width(config)), config.latent_dim, name="encoder")


def build_decoder(config: ModelConfig, image_shape: tuple[int, int, int]) -> Decoder:
    """The decoder that `config` describes, with fresh weights, for images of `(height, width, channels)`."""
    height, width, channels = image_shape
    outputs = channels * len(likelihoods.get(config.likelihood).parameters)
    bodies = {"conv": conv_decoder_body, "mlp": mlp_decoder_body, "gated_mlp": gated_mlp_decoder_body}
    network = bodies[config.architecture]((height, width, outputs), _width(config), config.latent_dim)
    return Decoder(network, config.likelihood, name="decoder")


def _width(config: ModelConfig) -> int:
    return cast(int, config.hidden_units)  # None became the architecture's default when the config was made


def mlp_encoder_body(image_shape: tuple[int, int, int], hidden_units: int) -> keras.Sequential:
    """One hidden layer: images -> features `(batch, hidden_units)`."""
    return keras.Sequential([keras.Input(image_shape), layers.Flatten(), layers.Dense(hidden_units, "relu")])


def mlp_decoder_body(output_shape: tuple[int, int, int], hidden_units: int, latent_dim: int) -> keras.Sequential:
    """One hidden layer: z -> `(batch, *output_shape)`."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(hidden_units, "relu"),
            layers.Dense(math.prod(output_shape)),
            layers.Reshape(output_shape),
        ]
    )


def gated_mlp_encoder_body(image_shape: tuple[int, int, int], hidden_units: int) -> keras.Sequential:
    """Two gated layers: images -> features `(batch, hidden_units)`.

    Reference: Tomczak & Welling, VAE with a VampPrior, arXiv 1705.07120, whose dense networks these are.
    """
    return keras.Sequential(
        [keras.Input(image_shape), layers.Flatten(), GatedDense(hidden_units), GatedDense(hidden_units)]
    )


def gated_mlp_decoder_body(output_shape: tuple[int, int, int], hidden_units: int, latent_dim: int) -> keras.Sequential:
    """Two gated layers: z -> `(batch, *output_shape)`; reference as for `gated_mlp_encoder_body`."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            GatedDense(hidden_units),
            GatedDense(hidden_units),
            layers.Dense(math.prod(output_shape)),
            layers.Reshape(output_shape),
        ]
    )


def conv_encoder_body(image_shape: tuple[int, int, int], hidden_units: int) -> keras.Sequential:
    """Strided convolutions and a dense layer: images -> features `(batch, hidden_units)`.

    Each convolution halves height and width; there are as many as the image's size needs (see `MAX_POSITIONS`).
    """
    channels = conv_channels(*image_shape[:2])
    settings = {"padding": "same", "kernel_initializer": _initializer(channels)}
    return keras.Sequential(
        [
            keras.Input(image_shape),
            *(layers.Conv2D(count, 4, strides=2, activation="silu", **settings) for count in channels),
            layers.Flatten(),
            layers.Dense(hidden_units, "silu"),
        ]
    )


def conv_decoder_body(output_shape: tuple[int, int, int], hidden_units: int, latent_dim: int) -> keras.Sequential:
    """Two dense layers and sub-pixel convolutions: z -> `(batch, *output_shape)`, of any height and width.

    Each convolution runs before height and width are doubled, the last at half the image's size, which is what makes
    it fast; and no transposed convolution stands in the exported graph, which onnxruntime-web gets wrong on some
    devices. What the doublings give beyond the image's size is cut off.

    Reference: Shi et al., Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
    Neural Network, arXiv 1609.05158.
    """
    height, width, outputs = output_shape
    channels = conv_channels(height, width)
    settings = {"padding": "same", "kernel_initializer": _initializer(channels)}
    factor = 2 ** len(channels)
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(hidden_units, "silu"),
            layers.Dense(rows * columns * channels[-1], "silu"),
            layers.Reshape((rows, columns, channels[-1])),
            *(
                layer
                for count in reversed(channels[:-1])
                for layer in (layers.Conv2D(count * 4, 3, activation="silu", **settings), DepthToSpace())
            ),
            layers.Conv2D(outputs * 4, 3, **settings),
            DepthToSpace(),
            layers.Cropping2D(((0, rows * factor - height), (0, columns * factor - width))),
        ]
    )


def conv_channels(height: int, width: int) -> list[int]:
    """The channels of each convolution of the encoder: 32, 64, and 128 from the third on.

    There are as many as it takes to leave `MAX_POSITIONS`, and at least one: two for 28 x 28, five for 256 x 256.
    """
    channels = [32]
    while math.ceil(height / 2 ** len(channels)) * math.ceil(width / 2 ** len(channels)) > MAX_POSITIONS:
        channels.append(min(2 * channels[-1], 128))
    return channels


def _initializer(channels: list[int]) -> str:
    """He's for many convolutions: under Glorot's a signal shrinks in each, and training is slow to begin.

    Two keep Glorot's, with which the published results were made.
    """
    return "he_normal" if len(channels) > 2 else "glorot_uniform"


@keras.saving.register_keras_serializable("kvae")
class GatedDense(keras.layers.Layer):
    """A dense layer whose outputs are weighed by a second one in (0, 1): `(batch, features)` -> `(batch, units)`.

    Args:
        units: number of outputs.

    Reference: Dauphin et al., Language Modeling with Gated Convolutional Networks, arXiv 1612.08083.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.values = layers.Dense(units, name="values")
        self.gates = layers.Dense(units, "sigmoid", name="gates")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.values.build(input_shape)
        self.gates.build(input_shape)
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self.values(inputs) * self.gates(inputs)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable("kvae")
class DepthToSpace(keras.layers.Layer):
    """Twice the height and width, a quarter of the channels: `(batch, h, w, 4 c)` -> `(batch, 2 h, 2 w, c)`."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.depth_to_space(inputs, 2)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        batch, height, width, channels = input_shape
        return batch, height * 2, width * 2, channels // 4
