"""Dense networks with two gated layers.

Reference: Tomczak & Welling, VAE with a VampPrior, arXiv 1705.07120, whose dense networks these are.
"""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from kvae.model.architectures.architecture import Architecture, Shape


def encoder_body(image_shape: Shape, hidden_units: int) -> keras.Sequential:
    """Two gated layers: images -> features `(batch, hidden_units)`."""
    return keras.Sequential(
        [keras.Input(image_shape), layers.Flatten(), GatedDense(hidden_units), GatedDense(hidden_units)]
    )


def decoder_body(output_shape: Shape, hidden_units: int, latent_dim: int) -> keras.Sequential:
    """Two gated layers: z -> `(batch, *output_shape)`."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            GatedDense(hidden_units),
            GatedDense(hidden_units),
            layers.Dense(math.prod(output_shape)),
            layers.Reshape(output_shape),
        ]
    )


@keras.saving.register_keras_serializable("kvae")
class GatedDense(keras.layers.Layer):
    """A dense layer whose outputs are gated by a second one in (0, 1): `(batch, features)` -> `(batch, units)`.

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


ARCHITECTURE = Architecture(encoder_body=encoder_body, decoder_body=decoder_body, xla_on_cpu=True, steps_per_call=100)
