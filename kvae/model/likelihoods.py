"""The likelihood p(x|z): one table from a name to a TFP distribution over images.

| name | images it is for | log p(x|z) |
|---|---|---|
| bernoulli | bits | a log-probability; on grey intensities a surrogate, for nothing makes it sum to 1 over them |
| continuous_bernoulli | real numbers in [0, 1] | a log-density |
| discretized_logistic | 8-bit levels | a log-probability, hence bits per dimension |
| normal | real numbers | a log-density |

Adding a likelihood is adding one entry to `LIKELIHOODS`, and its name to the tables of the world without TensorFlow:
`kvae.config`, `kvae.bundle.caveats` (what its numbers are) and `kvae.bundle.densities` (its density in numpy, for
`kvae evaluate`)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from kvae.errors import ConfigError, KvaeError

tfd = tfp.distributions

MIN_NORMAL_SCALE = 0.01
"""Floor of the normal likelihood's scale, in pixel units of [0, 1]: on a constant pixel (the black background)
the density is unbounded as the scale goes to 0, and training would do nothing but chase it."""
NUM_LEVELS = 256
"""Levels of an 8-bit image: 0, 1/255, ..., 1."""
MIN_LOGISTIC_SCALE = 1 / (8 * (NUM_LEVELS - 1))
"""Floor of the discretised logistic's scale: an eighth of a level, where a level can hold 96 % of the mass."""
MAX_LOGISTIC_SCALE = 10.0
"""Its ceiling: ten times the range of pixels, which is as good as flat; beyond, float32 cannot hold the mean."""


class _Bernoulli(tfd.Bernoulli):  # type: ignore[name-defined]  # tfp has no types
    """TFP's Bernoulli of logits, with a log-probability of half as many transcendental functions.

    TFP works out the log-probabilities of both outcomes, log sigmoid(l) and log sigmoid(-l), and weighs them; the
    cross-entropy x l - log(1 + exp(l)) needs one. It was a tenth of the dense network's training step.
    """

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        event = tf.cast(event, self.logits.dtype) + tf.zeros_like(self.logits)  # of one shape
        logits = self.logits + tf.zeros_like(event)
        # In rows, whose loops XLA vectorises; those over the one channel of an image's pixels it does not.
        rows = [tf.shape(event)[0], -1]
        return tf.reshape(_bernoulli_log_prob(tf.reshape(event, rows), tf.reshape(logits, rows)), tf.shape(event))


@tf.custom_gradient
def _bernoulli_log_prob(event: tf.Tensor, logits: tf.Tensor) -> Any:
    """x l - log(1 + exp(l)) for events x and logits l of one shape, within 1.2e-7 (a log1p would be exact, and slower).

    The gradient is that of the closed form, where TensorFlow would differentiate each of the terms.
    """
    exponential = tf.exp(-tf.abs(logits))
    log_prob = event * logits - tf.maximum(logits, 0.0) - tf.math.log(1.0 + exponential)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return upstream * logits, upstream * (event - tf.sigmoid(logits))

    return log_prob, gradient


class DiscretizedLogistic(tfd.Distribution):  # type: ignore[name-defined]  # tfp has no types
    """A logistic distribution over the levels 0, 1/255, ..., 1: each level has the mass of its bin.

    Bins are 1/255 wide; the first and the last reach to minus and plus infinity, so that all the mass is on levels. A
    value between two levels counts as the nearer one.

    Args:
        loc: location of the logistic, in pixel units; it may lie outside of [0, 1].
        scale: its scale, in pixel units.

    Reference: Salimans et al., PixelCNN++, arXiv 1701.05517.
    """

    def __init__(
        self,
        loc: Any,
        scale: Any,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "DiscretizedLogistic",
    ) -> None:
        parameters = dict(locals())
        self._loc = tf.convert_to_tensor(loc, tf.float32)
        self._scale = tf.convert_to_tensor(scale, tf.float32)
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

    @property
    def loc(self) -> tf.Tensor:
        """Location of the logistic."""
        return self._loc

    @property
    def scale(self) -> tf.Tensor:
        """Scale of the logistic."""
        return self._scale

    def _event_shape(self) -> tf.TensorShape:
        return tf.TensorShape([])

    def _event_shape_tensor(self) -> tf.Tensor:
        return tf.constant([], tf.int32)

    def _log_prob(self, value: tf.Tensor) -> tf.Tensor:
        # With a and b the bin's ends in units of the scale: log(sigmoid(b) - sigmoid(a))
        # = log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b)), of which no term cancels another, however far out.
        level = tf.round(value * (NUM_LEVELS - 1))
        below = (level - 0.5) / (NUM_LEVELS - 1)
        above = (level + 0.5) / (NUM_LEVELS - 1)
        width = 1.0 / ((NUM_LEVELS - 1) * self.scale)
        log_lower = -tf.nn.softplus((below - self.loc) / self.scale)  # log P(X > below)
        log_upper = -tf.nn.softplus((self.loc - above) / self.scale)  # log P(X < above)
        inner = log_lower + log_upper + tf.math.log(-tf.math.expm1(-width))
        return tf.where(level <= 0, log_upper, tf.where(level >= NUM_LEVELS - 1, log_lower, inner))

    def _mean(self) -> tf.Tensor:
        """That of the logistic clipped to [0, 1], int_0^1 P(X > t) dt, to which the levels are a midpoint rule.

        The two differ by less than 1e-4 where the scale is a level or more, and never by more than half a level.
        """
        # From the nearer end of the range: far beyond the other one, two large numbers would cancel.
        near = tf.minimum(self.loc, 1.0 - self.loc)
        from_end = self.scale * (tf.nn.softplus(near / self.scale) - tf.nn.softplus((near - 1.0) / self.scale))
        mean = tf.where(self.loc < 0.5, from_end, 1.0 - from_end)
        return tf.clip_by_value(mean, 0.0, 1.0)

    def _sample_n(self, n: int, seed: Any = None) -> tf.Tensor:
        draws = tfd.Logistic(self.loc, self.scale).sample(n, seed=seed)
        return tf.round(tf.clip_by_value(draws, 0.0, 1.0) * (NUM_LEVELS - 1)) / (NUM_LEVELS - 1)


class LikelihoodTensors(NamedTuple):
    """What an exported decoder returns for the distribution it stands for."""

    name: str
    """The likelihood's name in `LIKELIHOODS`."""
    mean: tf.Tensor
    """Expected image, `(batch, height, width, channels)`."""
    parameters: tf.Tensor
    """The parameters, concatenated over the last axis: `(batch, height, width, channels * number of parameters)`."""


@dataclass(frozen=True)
class Likelihood:
    """How a decoder's last layer becomes a distribution over images, and that distribution tensors of a graph.

    Args:
        parameters: names of the parameters, attributes of the family; the decoder's last layer has one channel per
            parameter and image channel.
        family: the TFP class of one pixel's distribution.
        distribution: maps the last layer's output `(batch, height, width, channels * len(parameters))` to the pixels'
            distributions, a `family` with batch `(batch, height, width, channels)`.
        mean: the mean of such a distribution, by operations that a graph can hold: `Normal.mean()`, for one, broadcasts
            by an op that tf2onnx does not know. That it is the same is proved at each export, by `kvae.export.proof`.
    """

    parameters: tuple[str, ...]
    family: type
    distribution: Callable[[tf.Tensor], Any]
    mean: Callable[[Any], tf.Tensor]

    def of_images(self, outputs: tf.Tensor) -> Any:
        """The last layer's output as `tfd.Independent`, with event `(height, width, channels)`."""
        return tfd.Independent(self.distribution(outputs), reinterpreted_batch_ndims=3)


def _normal(outputs: tf.Tensor) -> Any:
    raw_loc, raw_scale = tf.split(outputs, 2, axis=-1)
    return tfd.Normal(tf.sigmoid(raw_loc), MIN_NORMAL_SCALE + tf.nn.softplus(raw_scale))


def _discretized_logistic(outputs: tf.Tensor) -> Any:
    loc, raw_scale = tf.split(outputs, 2, axis=-1)
    scale = tf.minimum(MIN_LOGISTIC_SCALE + tf.nn.softplus(raw_scale), MAX_LOGISTIC_SCALE)
    return DiscretizedLogistic(loc, scale)


def _continuous_bernoulli_mean(pixels: Any) -> tf.Tensor:
    """1 / (1 - exp(-l)) - 1 / l for the logits l, and its series near 0; TFP's is made of an Expm1, unknown to ONNX."""
    logits = pixels.logits
    small = tf.abs(logits) < 0.3
    safe = tf.where(small, tf.ones_like(logits), logits)
    series = 0.5 + logits / 12 - logits**3 / 720 + logits**5 / 30240
    return tf.where(small, series, 0.5 + 0.5 / tf.tanh(safe / 2) - 1 / safe)


LIKELIHOODS = {
    "bernoulli": Likelihood(
        ("logits",),
        tfd.Bernoulli,
        # TFP's default dtype is int32, and it casts numpy images to it: every grey pixel would count as black.
        lambda outputs: _Bernoulli(logits=outputs, dtype=tf.float32),
        lambda pixels: tf.sigmoid(pixels.logits),
    ),
    "continuous_bernoulli": Likelihood(
        ("logits",),
        tfd.ContinuousBernoulli,
        lambda outputs: tfd.ContinuousBernoulli(logits=outputs),
        _continuous_bernoulli_mean,
    ),
    "discretized_logistic": Likelihood(
        ("loc", "scale"), DiscretizedLogistic, _discretized_logistic, lambda pixels: pixels.mean()
    ),
    "normal": Likelihood(("loc", "scale"), tfd.Normal, _normal, lambda pixels: pixels.loc),
}


def get(name: str) -> Likelihood:
    """The table's entry for `name`; raises ConfigError where there is none."""
    try:
        return LIKELIHOODS[name]
    except KeyError:
        raise ConfigError(f"likelihood '{name}' is unknown. Known: {', '.join(LIKELIHOODS)}.") from None


def tensors(distribution: Any) -> LikelihoodTensors:
    """The tensors a likelihood is made of, which a graph can return where a distribution object cannot.

    Args:
        distribution: `tfd.Independent` over a family of `LIKELIHOODS`, as a decoder returns it.

    Raises:
        KvaeError: another distribution, which the bundle format has no name for.
    """
    # Not isinstance(..., tfd.Independent): over a family that is no CompositeTensor, TFP returns its base class.
    is_independent = "reinterpreted_batch_ndims" in getattr(distribution, "parameters", {})
    pixels = distribution.distribution if is_independent else None
    for name, likelihood in LIKELIHOODS.items():
        if isinstance(pixels, likelihood.family):
            parameters = [getattr(pixels, parameter) for parameter in likelihood.parameters]
            if any(parameter is None for parameter in parameters):  # e.g. a Bernoulli of probs
                break
            mean = likelihood.mean(pixels)
            spread = [tf.ones_like(mean) * parameter for parameter in parameters]  # a scale that all pixels share
            return LikelihoodTensors(name, mean, tf.concat(spread, axis=-1))
    families = ", ".join(
        f"{likelihood.family.__name__}({', '.join(f'{parameter}=...' for parameter in likelihood.parameters)})"
        for likelihood in LIKELIHOODS.values()
    )
    raise KvaeError(
        f"the decoder returns {distribution}, which a bundle cannot describe. "
        f"Return tfd.Independent over one of: {families}."
    )
