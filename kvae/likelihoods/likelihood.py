"""What a likelihood p(x|z) is: both a density in numpy, and a TFP distribution for training."""

from abc import ABC, abstractmethod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kvae.errors import BundleError

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
PROBABILITY, DENSITY = "log-probability", "log-density"


class Noise(Protocol):
    """Random numbers, float64 of any shape; a `kvae.bundle.noise.Stream` is one."""

    def uniforms(self, *shape: int) -> Doubles:
        """Uniform in (0, 1)."""

    def normals(self, *shape: int) -> Doubles:
        """Standard normal."""


class Likelihood(ABC):
    """One family of distributions over pixels.

    A subclass is one file of this folder, named after the likelihood, which ends in `LIKELIHOOD = Subclass()`.
    The density uses numpy, because programs without TensorFlow evaluate models too; TensorFlow Probability is imported
    inside the methods that training needs. Tests check that the two agree.
    """

    parameters: tuple[str, ...]
    """Names of the parameters, which are attributes of the TFP distribution. The decoder's last layer has one channel
    for each parameter and image channel."""
    kind: str
    """What log p(x|z) is: `PROBABILITY` or `DENSITY`."""
    images: str
    """The images that it is for, in words, e.g. "8-bit images"."""
    min_scale: float | None = None
    """The floor of its parameter `scale`, in pixel units of [0, 1]; None if it has no such parameter."""

    @abstractmethod
    def log_densities(self, x: Floats, *parameters: Floats) -> Doubles:
        """log p of each value of one image under each of n codes, `(n, values)` in nats.

        Args:
            x: all values of the image, `(values,)` in [0, 1].
            *parameters: the values of each name in `parameters`, `(n, values)`; the call may overwrite them.
        """

    def draw(self, noise: Noise, *parameters: Floats) -> Floats:
        """Draws from p(x|z), in the shape of each of the parameters, which are arrays of any shape.

        `kvae inpaint` and `kvae sample --draw` need it.

        Raises:
            BundleError: this likelihood defines no draws.
        """
        raise BundleError(f"{type(self).__name__} defines no draws of pixels.")

    def log_density(self, x: Floats, *parameters: Floats) -> Doubles:
        """log p(x|z), `(n,)`: the sum of `log_densities`, which a subclass may compute faster; arguments as there."""
        total: Doubles = self.log_densities(x, *parameters).sum(axis=1)
        return total

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
        """The mean of such a distribution, using only operations that ONNX has.

        `Normal.mean()`, for example, broadcasts with an operation that tf2onnx does not support. Each export checks
        that the result equals the distribution's own mean.
        """

    def of_images(self, outputs: Any) -> Any:
        """The decoder's last layer as `tfd.Independent`, whose event is the image `(height, width, channels)`."""
        import tensorflow_probability as tfp

        return tfp.distributions.Independent(self.distribution(outputs), reinterpreted_batch_ndims=3)
