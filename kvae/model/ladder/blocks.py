"""The layers that both directions of a ladder are made of."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

BOUND = 5.0
"""Log-scales stay between -BOUND and BOUND: a scale is between 0.0067 and 148."""

Shape = tuple[int | None, ...]


def conv(channels: int, size: int = 3, zeros: bool = False, **settings: Any) -> layers.Conv2D:
    """A convolution that keeps height and width, unless it has strides."""
    initializer = "zeros" if zeros else "he_normal"
    return layers.Conv2D(channels, size, padding="same", kernel_initializer=initializer, **settings)


def scale_of(raw: tf.Tensor) -> tf.Tensor:
    """A scale from an unbounded number: exp of it, with the logarithm softly kept within `BOUND`; 1 for 0."""
    return tf.exp(BOUND * tf.tanh(raw / BOUND))


def built(layer: keras.layers.Layer, shape: Shape) -> Shape:
    """Build a layer for inputs `(batch, ...)` of this shape; returns the shape of its outputs."""
    layer.build(shape)
    return tuple(layer.compute_output_shape(shape))


@keras.saving.register_keras_serializable("kvae")
class ResidualBlock(layers.Layer):
    """x + conv(silu(conv(silu(x)))), `(batch, rows, columns, channels)`; x itself at first, as its last kernel is 0.

    Args:
        channels: those of its inputs and outputs.

    Reference: He et al., Identity Mappings in Deep Residual Networks, arXiv 1603.05027.
    """

    def __init__(self, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.channels = channels
        self.first = conv(channels, name="first")
        self.last = conv(channels, zeros=True, name="last")

    def build(self, input_shape: Shape) -> None:
        built(self.last, built(self.first, input_shape))
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return inputs + self.last(tf.nn.silu(self.first(tf.nn.silu(inputs))))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"channels": self.channels}
