"""What an architecture is: the bodies of two networks, or the whole networks, and how to run them fastest."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import keras

from kvae.config import ModelConfig

Shape = tuple[int, int, int]


class Networks(Protocol):
    """Whole networks, for a posterior of another kind than `kvae.model.Encoder`'s."""

    def latent_dim(self, config: ModelConfig, image_shape: Shape) -> int:
        """The size of a code, which may differ from the setting `latent_dim`."""

    def encoder(self, config: ModelConfig, image_shape: Shape, num_labels: int | None) -> keras.Model:
        """The encoder, with fresh weights, for images of `(height, width, channels)`."""

    def decoder(self, config: ModelConfig, image_shape: Shape, num_labels: int | None) -> keras.Model:
        """The decoder, with fresh weights."""


def _none(*sizes: object) -> keras.Layer:
    raise TypeError("this architecture has whole networks, not bodies")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The networks between images and features, and between codes and the parameters of the likelihood.

    An architecture is one file of this folder, named after it, which ends in `ARCHITECTURE = Architecture(...)`. It has
    either the two bodies or `networks`.
    """

    encoder_body: Callable[[Shape, int], keras.Layer] = _none
    """Given the images' `(height, width, channels)` and the width of the dense layers, the network from images to
    features `(batch, units)`."""
    decoder_body: Callable[[Shape, int, int], keras.Layer] = _none
    """Given the outputs' `(height, width, channels * k)`, the width and latent_dim, the network from z `(batch,
    latent_dim)` to the outputs."""
    networks: Networks | None = None
    """The whole encoder and decoder, in place of the bodies."""
    xla_on_cpu: bool
    """Whether one XLA loop over many steps is faster on a CPU, as measured by benchmarks/training.py; XLA's
    convolutions are slow there."""
    steps_per_call: int
    """Optimiser steps between two returns to Python, which update the progress bar and notice Ctrl-C: a fraction of a
    second's worth."""
