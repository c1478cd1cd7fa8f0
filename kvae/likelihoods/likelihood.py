"""What a likelihood p(x|z) is, in both worlds: a density in numpy, and a TFP distribution for training."""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
PROBABILITY, DENSITY = "log-probability", "log-density"


class Likelihood(ABC):
    """One family of distributions over pixels.

    A subclass is one file of this folder, which is called like the likelihood and ends in `LIKELIHOOD = Subclass()`.
    The density is numpy, because programs without TensorFlow evaluate models too; TensorFlow Probability is imported
    inside the methods that training needs. Tests hold the two together.
    """

    parameters: tuple[str, ...]
    """Names of the parameters, attributes of the TFP distribution. The decoder's last layer has one channel for each
    parameter and image channel."""
    kind: str
    """What log p(x|z) is: `PROBABILITY` or `DENSITY`."""
    images: str
    """The images that the numbers are of, in words, e.g. "8-bit images"."""

    @abstractmethod
    def log_density(self, x: Floats, *parameters: Floats) -> Doubles:
        """log p(x|z) of one image under each of n codes, `(n,)` in nats.

        Args:
            x: all values of the image, `(values,)` in [0, 1].
            *parameters: for each name in `parameters` its values, `(n, values)`; the call may overwrite them.
        """

    @abstractmethod
    def family(self) -> type:
        """The TFP class of one pixel's distribution."""

    @abstractmethod
    def distribution(self, outputs: Any) -> Any:
        """The pixels' distributions, a `family()` with batch `(batch, height, width, channels)`.

        Args:
            outputs: the decoder's last layer, `(batch, height, width, channels * len(parameters))`.
        """

    @abstractmethod
    def mean(self, pixels: Any) -> Any:
        """The mean of such a distribution, by operations that an ONNX graph can hold.

        `Normal.mean()`, for one, broadcasts by an operation that tf2onnx does not know. Each export proves that the
        result is the distribution's own mean.
        """

    def of_images(self, outputs: Any) -> Any:
        """The decoder's last layer as `tfd.Independent`, whose event is the image `(height, width, channels)`."""
        import tensorflow_probability as tfp

        return tfp.distributions.Independent(self.distribution(outputs), reinterpreted_batch_ndims=3)
