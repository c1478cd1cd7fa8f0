"""What an architecture is: the bodies of two networks, and how they are best computed."""

from collections.abc import Callable
from dataclasses import dataclass

import keras

Shape = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The networks between images and features, and between codes and the parameters of the likelihood.

    An architecture is one file of this folder, which is called like it and ends in `ARCHITECTURE = Architecture(...)`.
    """

    encoder_body: Callable[[Shape, int], keras.Layer]
    """From the images' `(height, width, channels)` and the width of the dense layers to the network from images to
    features `(batch, units)`."""
    decoder_body: Callable[[Shape, int, int], keras.Layer]
    """From the outputs' `(height, width, channels * k)`, the width and latent_dim to the network from z `(batch,
    latent_dim)` to the outputs."""
    xla_on_cpu: bool
    """Whether one XLA loop over many steps is faster on a CPU, by benchmarks/training.py; of convolutions XLA knows
    only slow ones there."""
    steps_per_call: int
    """Optimiser steps between two returns to Python, when progress is shown and Ctrl-C heard: a fraction of a
    second."""
