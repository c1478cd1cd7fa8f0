"""What an architecture is: the bodies of two networks, and how to run them fastest."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The networks between images and features, and between codes and the parameters of the likelihood.

    An architecture is one file of this folder, named after it, which ends in `ARCHITECTURE = Architecture(...)`.
    """

    encoder_body: Callable[[Shape, int], keras.Layer]
    """Given the images' `(height, width, channels)` and the width of the dense layers, the network from images to
    features `(batch, units)`."""
    decoder_body: Callable[[Shape, int, int], keras.Layer]
    """Given the outputs' `(height, width, channels * k)`, the width and latent_dim, the network from z `(batch,
    latent_dim)` to the outputs."""
    xla_on_cpu: bool
    """Whether one XLA loop over many steps is faster on a CPU, as measured by benchmarks/training.py; XLA's
    convolutions are slow there."""
    steps_per_call: int
    """Optimiser steps between two returns to Python, which update the progress bar and notice Ctrl-C: a fraction of a
    second's worth."""
