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
from kvae.model.label_inputs import LabelPlane, one_hot, with_plane
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
        num_labels: number of classes, for a posterior q(z|x, y): the body gets a learned plane of the label as the
            last channel of the images, and must be made for `channels + 1`. None, the default, for q(z|x).

    Call with images `(batch, height, width, channels)`, and with labels int64 `(batch,)` if it has `num_labels`;
    returns `tfd.MultivariateNormalDiag` with event `(latent_dim,)`. Layers that act only in training, such as
    RandomFlip or Dropout, act only if `training` is true.

    Reference: Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    """

    set_once = ("body", "latent_dim", "loc", "raw_scale", "num_labels", "label_plane")
    image_range: inputs.Range = inputs.UNIT
    """What the images may hold; the model that the encoder is a part of sets it."""

    def __init__(self, body: keras.Layer, latent_dim: int, num_labels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.latent_dim = latent_dim
        self.num_labels = _checked(num_labels)
        self.loc = layers.Dense(latent_dim, name="loc")
        self.raw_scale = layers.Dense(latent_dim, name="raw_scale")
        self.label_plane = None if num_labels is None else LabelPlane(num_labels, name="label_plane")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.label_plane is not None:
            self.label_plane.build(input_shape)
            input_shape = with_plane(input_shape)
            _check_takes("encoder", self.body, input_shape, "the label as one more channel of the images")
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

    def call(self, images: tf.Tensor, label: tf.Tensor | None = None, training: bool = False) -> Any:
        inputs.check_values(images, self.image_range)
        if self.label_plane is not None:
            images = self.label_plane(images, _given(label))
        features = self.body(images, training=training)
        # Whatever precision the layers compute in, the distribution is float32.
        loc, raw_scale = (tf.cast(head(features), tf.float32) for head in (self.loc, self.raw_scale))
        return tfd.MultivariateNormalDiag(loc=loc, scale_diag=MIN_POSTERIOR_SCALE + tf.nn.softplus(raw_scale))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "body": keras.saving.serialize_keras_object(self.body),
            "latent_dim": self.latent_dim,
            **_conditional(self.num_labels),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Encoder":
        return cls(**(config | {"body": keras.saving.deserialize_keras_object(config["body"])}))


@keras.saving.register_keras_serializable("kvae")
class Decoder(SetOnce, keras.Model):
    """A code z -> the likelihood p(x|z), or p(x|z, y) with a label y, a distribution over images.

    Args:
        body: Keras network from z `(batch, latent_dim)` to `(batch, height, width, channels * k)`, with k the number
            of parameters of the likelihood (1 for Bernoulli). It gives logits, or the other parameters, before any
            activation: its last layer has none, because the likelihood applies its own.
        likelihood: a name in `kvae.config.LIKELIHOODS`. Default "bernoulli".
        num_labels: number of classes, for a likelihood p(x|z, y): the body gets z with the one-hot label behind it,
            and must be made for `latent_dim + num_labels`. None, the default, for p(x|z).

    Call with z `(batch, latent_dim)`, and with labels int64 `(batch,)` if it has `num_labels`; returns
    `tfd.Independent` with event `(height, width, channels)`.

    Raises:
        KvaeError: the body ends in an activation that bounds its outputs, such as a sigmoid; or, when it is called,
            they have another shape.
    """

    set_once = ("body", "likelihood", "num_labels")

    def __init__(
        self, body: keras.Layer, likelihood: str = "bernoulli", num_labels: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.body = body
        self.num_labels = _checked(num_labels)
        self.likelihood = likelihood
        self._likelihood = likelihoods.get(likelihood)
        logits.check_body(body)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        if self.num_labels is not None:
            batch, latent_dim = input_shape
            input_shape = (batch, cast(int, latent_dim) + self.num_labels)
            _check_takes("decoder", self.body, input_shape, "the one-hot label behind the code")
        if not self.body.built:
            self.body.build(input_shape)
        self.built = True

    def body_input(self, z: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
        """What the body gets: z, and the one-hot label behind it if the decoder has `num_labels`."""
        if self.num_labels is None:
            return z
        return tf.concat([z, one_hot(_given(label), self.num_labels, z.dtype)], axis=-1)

    def call(self, z: tf.Tensor, label: tf.Tensor | None = None, training: bool = False) -> Any:
        outputs = self.body(self.body_input(z, label), training=training)
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
            **_conditional(self.num_labels),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Decoder":
        with logits.trusted():
            return cls(**(config | {"body": keras.saving.deserialize_keras_object(config["body"])}))


def build_encoder(config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None) -> keras.Model:
    """The encoder that `config` describes, with fresh weights, for images of `(height, width, channels)`.

    With `num_labels`, the number of classes, it is conditional.
    """
    if whole := architectures.get(config.architecture).networks:
        return whole.encoder(config, image_shape, num_labels)
    body = architectures.get(config.architecture).encoder_body
    height, width, channels = image_shape if num_labels is None else with_plane(image_shape)
    network = body((height, width, channels), _width(config))
    return Encoder(network, config.latent_dim, num_labels, name="encoder")


def build_decoder(config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None) -> keras.Model:
    """The decoder that `config` describes, with fresh weights, for images of `(height, width, channels)`.

    With `num_labels`, the number of classes, it is conditional.
    """
    if whole := architectures.get(config.architecture).networks:
        return whole.decoder(config, image_shape, num_labels)
    height, width, channels = image_shape
    likelihood = config.likelihood or NAMED_LIKELIHOOD
    outputs = channels * len(likelihoods.get(likelihood).parameters)
    body = architectures.get(config.architecture).decoder_body
    network = body((height, width, outputs), _width(config), config.latent_dim + (num_labels or 0))
    return Decoder(network, likelihood, num_labels, name="decoder")


def latent_dim(config: ModelConfig, image_shape: tuple[int, int, int]) -> int:
    """The size of a code, and so of the prior's draws: the setting, or the sum of a hierarchy's groups."""
    whole = architectures.get(config.architecture).networks
    return config.latent_dim if whole is None else whole.latent_dim(config, image_shape)


def _width(config: ModelConfig) -> int:
    return cast(int, config.hidden_units)  # the config has replaced None with the architecture's default


def _checked(num_labels: int | None) -> int | None:
    if num_labels is not None and (not isinstance(num_labels, int) or isinstance(num_labels, bool) or num_labels < 1):
        raise KvaeError(f"num_labels must be None or the number of classes, at least 1; got {num_labels!r}.")
    return num_labels


def _conditional(num_labels: int | None) -> dict[str, Any]:
    """The part of a config that only conditional networks have."""
    return {} if num_labels is None else {"num_labels": num_labels}


def _given(label: tf.Tensor | None) -> tf.Tensor:
    if label is None:
        raise KvaeError("this network is conditional: call it with labels too, int64 (batch,), as its second argument.")
    return tf.cast(label, tf.int64)


def _check_takes(role: str, body: Any, shape: tuple[int | None, ...], what: str) -> None:
    """Raise KvaeError for a body that was made for another number of inputs than a conditional network gives it."""
    made = getattr(body, "input_shape", None) if body.built else None
    if isinstance(made, tuple) and len(made) == len(shape) and made[-1] not in (None, shape[-1]):
        raise KvaeError(
            f"the body of a conditional {role} gets {what}: build it for inputs of shape {tuple(shape[1:])}; "
            f"it takes {tuple(made[1:])}."
        )
