"""A flow of affine couplings: an invertible network between codes and standard normal noise."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers
from numpy.typing import NDArray

from kvae.config import ModelConfig
from kvae.errors import ConfigError
from kvae.model.label_inputs import one_hot
from kvae.model.priors.prior import Prior

tfd = tfp.distributions

MAX_LOG_SCALE = 1.0
"""The most that one coupling scales a dimension by, or down by, as a logarithm: codes far out stay finite."""

MAX_INPUT = 10.0
"""What a coupling's network sees of a code is bounded by this, smoothly."""
MAX = {"num_couplings": 64, "units": 65_536}


@keras.saving.register_keras_serializable("kvae")
class Flow(Prior):
    """p(z) = N(f(z); 0, I) |det df/dz|; with labels, p(z|y), whose f depends on the label.

    f is a chain of couplings. Each shifts and scales a half of the dimensions by what a small network makes of the
    other half, so that its inverse, for draws, costs as much as itself. The halves are those with a bit of the
    dimension's number set and not set, for each bit in turn. f begins as the identity: the prior as N(0, I).

    Args:
        latent_dim: number of latent dimensions, at least 2.
        num_couplings: length of the chain; 8 by default.
        units: width of each coupling's network, which has two hidden layers; 64 by default.
        num_labels: number of classes, for p(z|y): each coupling's network gets the one-hot label as well. None, the
            default, for one p(z).

    Raises:
        ConfigError: there is only one latent dimension, of which no half is left; or `num_couplings` or `units` is not
            a positive integer, or there are more than 64 couplings.

    Reference: Dinh et al., Density estimation using Real NVP, arXiv 1605.08803.
    """

    set_once = ("latent_dim", "num_couplings", "units", "num_labels")

    def __init__(
        self,
        latent_dim: int,
        num_couplings: int = 8,
        units: int = 64,
        num_labels: int | None = None,
        **kwargs: Any,
    ) -> None:
        if latent_dim < 2:
            raise ConfigError(f"the prior flow needs a latent_dim of at least 2; got {latent_dim}.")
        for name, value in (("num_couplings", num_couplings), ("units", units)):
            if not isinstance(value, int) or not 1 <= value <= MAX[name]:
                raise ConfigError(f"{name} of the prior flow must be an integer of 1 to {MAX[name]:,}; got {value!r}.")
        super().__init__(latent_dim, **kwargs)
        self.num_couplings = num_couplings
        self.units = units
        self.num_labels = num_labels
        self._couplings = [Coupling(moved, units, dtype="float32") for moved in halves(latent_dim, num_couplings)]

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        for coupling in self._couplings:
            coupling.build((None, self.latent_dim + (self.num_labels or 0)))
        self.built = True

    def call(self, label: tf.Tensor | None = None) -> Any:
        own = None if self.num_labels is None else label
        shape = [self.latent_dim] if own is None else [tf.shape(own)[0], self.latent_dim]
        base = tfd.MultivariateNormalDiag(loc=tf.zeros(shape), scale_diag=tf.ones(self.latent_dim))
        return Flowed(base, Chain(self, own))

    def to_noise(self, z: tf.Tensor, label: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """f(z), and log |det df/dz|.

        Args:
            z: codes, `(batch, latent_dim)`.
            label: int64 `(batch,)`, for a flow that has `num_labels`.
        """
        log_det, known = tf.zeros_like(z[:, 0]), self._known(label)
        for coupling in self._couplings:
            shift, log_scale = coupling(z, known)
            z = (z - shift) * tf.exp(-log_scale)
            log_det -= tf.reduce_sum(log_scale, axis=1)
        return z, log_det

    def from_noise(
        self, noise: tf.Tensor, component: tf.Tensor | None = None, label: tf.Tensor | None = None
    ) -> tf.Tensor:
        known = self._known(label)
        for coupling in reversed(self._couplings):
            shift, log_scale = coupling(noise, known)
            noise = noise * tf.exp(log_scale) + shift
        return noise

    def _known(self, label: tf.Tensor | None) -> tf.Tensor | None:
        return None if self.num_labels is None else one_hot(label, self.num_labels, tf.float32)

    @classmethod
    def of_config(cls, config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None) -> "Flow":
        return cls(config.latent_dim, num_labels=num_labels)

    def get_config(self) -> dict[str, Any]:
        labels = {} if self.num_labels is None else {"num_labels": self.num_labels}
        return super().get_config() | {"num_couplings": self.num_couplings, "units": self.units} | labels


class Coupling(layers.Layer):
    """The shift and the logarithm of the scale of a half of the dimensions, made from the others.

    Call with `(batch, latent_dim)`, and the one-hot labels or None; both are of the shape of the first. They are 0 for
    the dimensions that they are made from, and at first for all.

    Args:
        moved: 1 for the dimensions that are shifted and scaled, 0 for the others, `(latent_dim,)`.
        units: width of the two hidden layers.
    """

    def __init__(self, moved: NDArray[np.float32], units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._moved = tf.constant(moved)
        self._kept = tf.constant(1.0 - moved)
        # tanh, because then the shift of a code far out is no larger than that of any other.
        hidden = [layers.Dense(units, "tanh", dtype="float32") for _ in range(2)]
        self._layers_in_order = [*hidden, layers.Dense(2 * len(moved), kernel_initializer="zeros", dtype="float32")]

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        size = input_shape[-1]
        for layer in self._layers_in_order:
            layer.build((None, size))
            size = layer.units
        self.built = True

    def call(self, z: tf.Tensor, known: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        # Far out, a sum of large numbers would depend on the order of its terms, so on the machine.
        features = self._kept * (MAX_INPUT * tf.tanh(z / MAX_INPUT))
        if known is not None:
            features = tf.concat([features, known], axis=1)
        for layer in self._layers_in_order:
            features = layer(features)
        shift, raw = tf.split(features, 2, axis=1)
        return self._moved * shift, self._moved * (MAX_LOG_SCALE * tf.tanh(raw / MAX_LOG_SCALE))


class Flowed(tfp.distributions.TransformedDistribution):
    """The distribution of what a flow makes of standard normal noise; its density takes one pass through the flow."""

    def _log_prob(self, z: tf.Tensor) -> tf.Tensor:
        if z.shape.rank == 2:
            noise, log_det = self.bijector.to_noise(z)
        else:
            noise, log_det = self.bijector.to_noise(tf.reshape(z, [-1, z.shape[-1]]))
            noise, log_det = tf.reshape(noise, tf.shape(z)), tf.reshape(log_det, tf.shape(z)[:-1])
        return self.distribution.log_prob(noise) + log_det


class Chain(tfp.bijectors.Bijector):
    """A flow as a TFP bijector, from noise `(batch, latent_dim)` to codes; with labels `(batch,)`, of these."""

    def __init__(self, flow: Flow, label: tf.Tensor | None = None) -> None:
        super().__init__(forward_min_event_ndims=1, dtype=tf.float32, name="flow")
        self.flow = flow
        self._label = label

    def to_noise(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Flow.to_noise`; of several draws for each label, `(draws * batch, latent_dim)`, draw by draw."""
        return self.flow.to_noise(z, self._labels(z))

    def _labels(self, z: tf.Tensor) -> tf.Tensor | None:
        return (
            self._label if self._label is None else tf.tile(self._label, [tf.shape(z)[0] // tf.shape(self._label)[0]])
        )

    def _forward(self, noise: tf.Tensor) -> tf.Tensor:
        flat = tf.reshape(noise, [-1, noise.shape[-1]])  # of several draws, `(draws, batch, latent_dim)`
        return tf.reshape(self.flow.from_noise(flat, label=self._labels(flat)), tf.shape(noise))

    def _inverse(self, z: tf.Tensor) -> tf.Tensor:
        return self.to_noise(z)[0]

    def _inverse_log_det_jacobian(self, z: tf.Tensor) -> tf.Tensor:
        return self.to_noise(z)[1]


def halves(latent_dim: int, count: int) -> list[NDArray[np.float32]]:
    """Which dimensions each of `count` couplings moves, 1 or 0: those with a bit of their number set, then the others,
    for each bit in turn."""
    numbers, bits = np.arange(latent_dim), (latent_dim - 1).bit_length()
    return [(numbers >> index // 2 % bits & 1 ^ index % 2).astype(np.float32) for index in range(count)]


PRIOR = Flow
