"""Convolutional networks."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from kvae.model.architectures.architecture import Architecture, Shape

MAX_POSITIONS = 64
"""The most pixels that the convolutions pass on to the dense layers: 8 x 8; a square image keeps at least 4 x 4. This
bounds the dense layers, which would otherwise hold nearly all the weights of a network for large images."""


def encoder_body(image_shape: Shape, hidden_units: int) -> keras.Sequential:
    """Strided convolutions and a dense layer: images -> features `(batch, hidden_units)`.

    Each convolution halves height and width; their number depends on the image's size (see `MAX_POSITIONS`).
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


def decoder_body(output_shape: Shape, hidden_units: int, latent_dim: int) -> keras.Sequential:
    """Two dense layers and sub-pixel convolutions: z -> `(batch, *output_shape)`, of any height and width.

    Each convolution runs before height and width are doubled, the last at half the image's size, which makes it fast.
    The exported graph contains no transposed convolution, which onnxruntime-web gets wrong on some devices. Doubling
    may exceed the image's size; the excess is cropped.

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

    There are enough to get down to `MAX_POSITIONS`, and at least one: two for 28 x 28, five for 256 x 256.
    """
    channels = [32]
    while math.ceil(height / 2 ** len(channels)) * math.ceil(width / 2 ** len(channels)) > MAX_POSITIONS:
        channels.append(min(2 * channels[-1], 128))
    return channels


def _initializer(channels: list[int]) -> str:
    """He's for three or more convolutions: under Glorot's the signal shrinks in each, and training starts slowly.

    Two or fewer keep Glorot's, which the published results used.
    """
    return "he_normal" if len(channels) > 2 else "glorot_uniform"


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


ARCHITECTURE = Architecture(encoder_body=encoder_body, decoder_body=decoder_body, xla_on_cpu=False, steps_per_call=10)
