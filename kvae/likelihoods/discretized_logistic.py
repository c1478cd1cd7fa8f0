"""The discretised logistic likelihood: each 8-bit level has the mass of its bin.

Reference: Salimans et al., PixelCNN++, arXiv 1701.05517.
"""

from functools import cache
from typing import Any

import numpy as np

from kvae.likelihoods.likelihood import PROBABILITY, Doubles, Floats, Likelihood, Noise
from kvae.likelihoods.softplus import sum_softplus

TOP_LEVEL = 255
"""The highest level of an 8-bit image, whose intensity is 1."""
MIN_SCALE = 1 / (8 * TOP_LEVEL)
"""Floor of the scale: an eighth of a level, at which one level can hold 96 % of the mass."""
MAX_SCALE = 10.0
"""Ceiling of the scale: ten times the range of pixels, practically flat; above it, float32 cannot hold the mean."""


class DiscretizedLogisticLikelihood(Likelihood):
    """A log-probability of 8-bit levels, hence bits per dimension."""

    parameters = ("loc", "scale")
    kind = PROBABILITY
    images = "8-bit images"
    min_scale = MIN_SCALE

    def log_densities(self, x: Floats, *parameters: Floats) -> Doubles:
        # As `discretized_logistic` below, whose comment derives the three terms.
        loc, scale = (values.astype(np.float64) for values in parameters)
        level = np.rint(x.astype(np.float64) * TOP_LEVEL)
        log_lower = -np.logaddexp(0.0, ((level - 0.5) / TOP_LEVEL - loc) / scale)  # log P(X > the bin's lower end)
        log_upper = -np.logaddexp(0.0, (loc - (level + 0.5) / TOP_LEVEL) / scale)  # log P(X < its upper end)
        inner = log_lower + log_upper + np.log(-np.expm1(-1.0 / (TOP_LEVEL * scale)))
        return np.where(level <= 0, log_upper, np.where(level >= TOP_LEVEL, log_lower, inner))

    def log_density(self, x: Floats, *parameters: Floats) -> Doubles:
        # Which of the three terms of `discretized_logistic` applies to a pixel depends only on the image.
        loc, scale = parameters
        level = np.rint(x * TOP_LEVEL)
        inner, not_first, not_last = (level > 0) & (level < TOP_LEVEL), level > 0, level < TOP_LEVEL
        below = ((level - 0.5) / TOP_LEVEL).astype(np.float32)
        above = ((level + 0.5) / TOP_LEVEL).astype(np.float32)
        width = np.float32(1 / TOP_LEVEL) / scale[:, inner]
        within: Doubles = np.log(-np.expm1(-width)).sum(axis=1, dtype=np.float64)
        return (
            within
            - sum_softplus((below[not_first] - loc[:, not_first]) / scale[:, not_first])
            - sum_softplus((loc[:, not_last] - above[not_last]) / scale[:, not_last])
        )

    def draw(self, noise: Noise, *parameters: Floats) -> Floats:
        loc, scale = parameters
        uniform = noise.uniforms(*loc.shape)
        logistic = loc + scale * (np.log(uniform) - np.log1p(-uniform))
        return (np.rint(np.clip(logistic, 0, 1) * TOP_LEVEL) / TOP_LEVEL).astype(np.float32)

    def family(self) -> type:
        family: type = discretized_logistic()
        return family

    def distribution(self, outputs: Any) -> Any:
        import tensorflow as tf

        loc, raw_scale = tf.split(outputs, 2, axis=-1)
        return discretized_logistic()(loc, tf.minimum(MIN_SCALE + tf.nn.softplus(raw_scale), MAX_SCALE))

    def mean(self, pixels: Any) -> Any:
        return pixels.mean()


@cache
def discretized_logistic() -> Any:
    """A TFP class: a logistic distribution over the levels 0, 1/255, ..., 1, each with the mass of its bin.

    Bins are 1/255 wide; the first and the last extend to minus and plus infinity, so all the mass is on levels. A value
    between two levels counts as the nearer one. The class takes `loc` and `scale`, in pixel units; the location may
    be outside [0, 1].
    """
    import tensorflow as tf
    import tensorflow_probability as tfp

    tfd = tfp.distributions

    class DiscretizedLogistic(tfd.Distribution):  # type: ignore[name-defined]  # tfp has no types
        def __init__(
            self,
            loc: Any,
            scale: Any,
            validate_args: bool = False,
            allow_nan_stats: bool = True,
            name: str = "DiscretizedLogistic",
        ) -> None:
            parameters = {
                "loc": loc, "scale": scale,
                "validate_args": validate_args, "allow_nan_stats": allow_nan_stats, "name": name,
            }  # fmt: skip
            self.loc = tf.convert_to_tensor(loc, tf.float32)
            self.scale = tf.convert_to_tensor(scale, tf.float32)
            super().__init__(
                dtype=tf.float32,
                reparameterization_type=tfd.NOT_REPARAMETERIZED,
                validate_args=validate_args,
                allow_nan_stats=allow_nan_stats,
                parameters=parameters,
                name=name,
            )

        @classmethod
        def _parameter_properties(cls, dtype: Any, num_classes: Any = None) -> dict[str, Any]:
            return {"loc": tfp.util.ParameterProperties(), "scale": tfp.util.ParameterProperties()}

        def _event_shape(self) -> tf.TensorShape:
            return tf.TensorShape([])

        def _event_shape_tensor(self) -> tf.Tensor:
            return tf.constant([], tf.int32)

        def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
            # With a and b the bin's ends in units of the scale: log(sigmoid(b) - sigmoid(a))
            # = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)), in which no terms cancel, even in the far
            # tails.
            level = tf.round(value * TOP_LEVEL)
            below = (level - 0.5) / TOP_LEVEL
            above = (level + 0.5) / TOP_LEVEL
            width = 1.0 / (TOP_LEVEL * self.scale)
            log_lower = -tf.nn.softplus((below - self.loc) / self.scale)  # log P(X > below)
            log_upper = -tf.nn.softplus((self.loc - above) / self.scale)  # log P(X < above)
            inner = log_lower + log_upper + tf.math.log(-tf.math.expm1(-width))
            return tf.where(level <= 0, log_upper, tf.where(level >= TOP_LEVEL, log_lower, inner))

        def _mean(self) -> tf.Tensor:
            # The mean of the logistic clipped to [0, 1], int_0^1 P(X > t) dt, which the levels approximate by the
            # midpoint rule. The two differ by less than 1e-4 if the scale is a level or more, and never by more than
            # half a level. It is computed from the nearer end of the range: from the other end, two large numbers
            # would cancel.
            near = tf.minimum(self.loc, 1.0 - self.loc)
            from_end = self.scale * (tf.nn.softplus(near / self.scale) - tf.nn.softplus((near - 1.0) / self.scale))
            mean = tf.where(self.loc < 0.5, from_end, 1.0 - from_end)
            return tf.clip_by_value(mean, 0.0, 1.0)

        def _sample_n(self, n: int, seed: Any = None) -> tf.Tensor:
            draws = tfd.Logistic(self.loc, self.scale).sample(n, seed=seed)
            return tf.round(tf.clip_by_value(draws, 0.0, 1.0) * TOP_LEVEL) / TOP_LEVEL

    return DiscretizedLogistic


LIKELIHOOD = DiscretizedLogisticLikelihood()
