"""The normal likelihood: real numbers with a learned scale."""

from typing import Any

import numpy as np

from kvae.likelihoods.likelihood import DENSITY, Doubles, Floats, Likelihood, Noise

MIN_SCALE = 0.01
"""Floor of the scale, in pixel units of [0, 1]: on a constant pixel (the black background) the density is unbounded as
the scale goes to 0, and training would only chase it."""
LOG_ROOT_2_PI = 0.5 * np.log(2.0 * np.pi)


class Normal(Likelihood):
    """p(x|z) = N(loc, scale^2) for each pixel."""

    parameters = ("loc", "scale")
    kind = DENSITY
    images = "pixels in [0, 1]"
    min_scale = MIN_SCALE

    def log_densities(self, x: Floats, *parameters: Floats) -> Doubles:
        loc, scale = (values.astype(np.float64) for values in parameters)
        return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - LOG_ROOT_2_PI

    def log_density(self, x: Floats, *parameters: Floats) -> Doubles:
        loc, scale = parameters
        terms = 0.5 * ((x - loc) / scale) ** 2 + np.log(scale)
        total: Doubles = terms.sum(axis=1, dtype=np.float64)
        return -total - x.size * LOG_ROOT_2_PI

    def draw(self, noise: Noise, *parameters: Floats) -> Floats:
        loc, scale = parameters
        return (loc + scale * noise.normals(*loc.shape)).astype(np.float32)

    def family(self) -> type:
        import tensorflow_probability as tfp

        family: type = tfp.distributions.Normal
        return family

    def distribution(self, outputs: Any) -> Any:
        import tensorflow as tf

        raw_loc, raw_scale = tf.split(outputs, 2, axis=-1)
        return self.family()(tf.sigmoid(raw_loc), MIN_SCALE + tf.nn.softplus(raw_scale))

    def mean(self, pixels: Any) -> Any:
        return pixels.loc


LIKELIHOOD = Normal()
