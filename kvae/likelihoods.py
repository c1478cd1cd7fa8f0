"""The likelihood p(x|z): one table from a name to a TFP distribution over images.

Adding a likelihood is adding one entry to `LIKELIHOODS` and one case to `tensors`.
"""

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


@dataclass(frozen=True)
class Likelihood:
    """How a decoder's last layer becomes a distribution over images.

    Args:
        parameters: names of the parameters; the decoder's last layer has one channel per parameter and image channel.
        distribution: maps that layer's output `(batch, height, width, channels * len(parameters))`
            to a distribution with event `(height, width, channels)`.
    """

    parameters: tuple[str, ...]
    distribution: Callable[[tf.Tensor], Any]


def _bernoulli(outputs: tf.Tensor) -> Any:
    # TFP's default dtype is int32, and it casts numpy images to it: every grey pixel would count as black.
    return tfd.Independent(tfd.Bernoulli(logits=outputs, dtype=tf.float32), reinterpreted_batch_ndims=3)


def _normal(outputs: tf.Tensor) -> Any:
    raw_loc, raw_scale = tf.split(outputs, 2, axis=-1)
    scale = MIN_NORMAL_SCALE + tf.nn.softplus(raw_scale)
    return tfd.Independent(tfd.Normal(tf.sigmoid(raw_loc), scale), reinterpreted_batch_ndims=3)


LIKELIHOODS = {
    "bernoulli": Likelihood(("logits",), _bernoulli),
    "normal": Likelihood(("loc", "scale"), _normal),
}


def get(name: str) -> Likelihood:
    """The table's entry for `name`; raises ConfigError where there is none."""
    try:
        return LIKELIHOODS[name]
    except KeyError:
        raise ConfigError(f"likelihood '{name}' is unknown. Known: {', '.join(LIKELIHOODS)}.") from None


class LikelihoodTensors(NamedTuple):
    """What an exported decoder returns for the distribution it stands for."""

    name: str
    """The likelihood's name in `LIKELIHOODS`."""
    mean: tf.Tensor
    """Expected image, `(batch, height, width, channels)`."""
    parameters: tf.Tensor
    """The parameters, concatenated over the last axis: `(batch, height, width, channels * number of parameters)`."""


def tensors(distribution: Any) -> LikelihoodTensors:
    """The tensors a likelihood is made of, which a graph can return where a distribution object cannot.

    They are read off the distribution rather than computed by its methods: `Normal.mean()`, for one, broadcasts by an
    op that tf2onnx does not know. That they are the same is proved at each export, by `kvae.proof`.

    Args:
        distribution: `tfd.Independent` over a Bernoulli or a Normal, as a decoder returns it.

    Raises:
        KvaeError: another distribution, which the bundle format has no name for.
    """
    base = distribution.distribution if isinstance(distribution, tfd.Independent) else None
    if isinstance(base, tfd.Bernoulli) and base.logits is not None:
        return LikelihoodTensors("bernoulli", tf.sigmoid(base.logits), base.logits)
    if isinstance(base, tfd.Normal):
        scale = tf.ones_like(base.loc) * base.scale
        return LikelihoodTensors("normal", base.loc, tf.concat([base.loc, scale], axis=-1))
    raise KvaeError(
        f"the decoder returns {distribution}, which a bundle cannot describe. "
        f"Return tfd.Independent over one of: Bernoulli(logits=...), Normal."
    )
