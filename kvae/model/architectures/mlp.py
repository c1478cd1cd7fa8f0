"""Dense networks with one hidden layer."""

import math

import keras
from keras import layers

from kvae.model.architectures.architecture import Architecture, Shape


def encoder_body(image_shape: Shape, hidden_units: int) -> keras.Sequential:
    """One hidden layer: images -> features `(batch, hidden_units)`."""
    return keras.Sequential([keras.Input(image_shape), layers.Flatten(), layers.Dense(hidden_units, "relu")])


def decoder_body(output_shape: Shape, hidden_units: int, latent_dim: int) -> keras.Sequential:
    """One hidden layer: z -> `(batch, *output_shape)`."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(hidden_units, "relu"),
            layers.Dense(math.prod(output_shape)),
            layers.Reshape(output_shape),
        ]
    )


ARCHITECTURE = Architecture(encoder_body=encoder_body, decoder_body=decoder_body, xla_on_cpu=True, steps_per_call=100)
