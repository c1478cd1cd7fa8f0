"""A mixture of diagonal Gaussians, whose weights, means and scales are learned."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.config import PRIOR_COMPONENTS, ModelConfig
from kvae.model.gaussians import MIN_SCALE, inverse_softplus, mixture
from kvae.model.priors.prior import Prior

SPREADS = np.sqrt(0.75) * 2.0 ** -np.arange(6)
"""How far from the codes' mean the components may begin in a fit to given codes, as fractions of the codes' own
distances; at the first, the components have half of the codes' standard deviation."""
TRIED = 2000
"""Maximum number of codes that choose among them."""


@keras.saving.register_keras_serializable("kvae")
class Mixture(Prior):
    """p(z) = sum_k w_k N(z; m_k, diag s_k^2); with labels, p(z|y), whose m_k and s_k are each label's own.

    It begins with equal weights, means drawn from N(0, I) and scales of 1.

    Args:
        latent_dim: number of latent dimensions.
        num_components: number of Gaussians, of each label if there are labels; 100 by default.
        num_labels: number of classes, for p(z|y); None, the default, for one p(z).

    Reference: Dilokthanakul et al., arXiv 1611.02648 (a mixture of Gaussians as the prior of a VAE).
    """

    set_once = ("latent_dim", "num_components", "num_labels")

    def __init__(
        self,
        latent_dim: int,
        num_components: int = PRIOR_COMPONENTS["mixture"],
        num_labels: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, **kwargs)
        self.num_components = num_components
        self.num_labels = num_labels

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        components = (self.num_components, self.latent_dim)
        shape = components if self.num_labels is None else (self.num_labels, *components)
        raw_scale = keras.initializers.Constant(inverse_softplus(np.full(1, 1.0 - MIN_SCALE)).item())
        self.logits = self.add_weight(shape=components[:1], initializer="zeros", name="logits")
        self.loc = self.add_weight(shape=shape, initializer=keras.initializers.RandomNormal(stddev=1.0), name="loc")
        self.raw_scale = self.add_weight(shape=shape, initializer=raw_scale, name="raw_scale")
        self.built = True

    def call(self, label: tf.Tensor | None = None) -> Any:
        loc, raw_scale = self.loc.value, self.raw_scale.value
        if self.num_labels is not None:
            loc, raw_scale = tf.gather(loc, label), tf.gather(raw_scale, label)
        return mixture(self.logits.value, loc, MIN_SCALE + tf.nn.softplus(raw_scale))

    def start_at(self, logits: Any, loc: Any, scale: Any) -> None:
        """Set the components.

        Args:
            logits: logarithms of the weights, which need not sum to 1, `(components,)`.
            loc: means, `([labels,] components, latent_dim)`.
            scale: standard deviations, in the same shape; those below the floor of 0.001 are set to it.
        """
        self.build()
        self.logits.assign(logits)
        self.loc.assign(loc)
        excess = np.maximum(np.asarray(scale, np.float64) - MIN_SCALE, 1e-6)
        self.raw_scale.assign(inverse_softplus(excess))

    def start_at_codes(self, z: NDArray[np.float32], labels: NDArray[Any] | None = None) -> None:
        """Begin a fit with components around some of the codes, drawn towards the mean of all; of each label, if any.

        Each begins at mean + a (code - mean) with the scale sqrt(1 - a^2) std, so that the mixture has the mean and the
        variance of the codes, whatever a is. The a is taken of `SPREADS` under which other codes are most likely. In
        hundreds of dimensions it is small: there each code is far from any other, and unlikely under a component that
        stays at one.

        Reference: West, Approximating Posterior Distributions by Mixtures, J. R. Stat. Soc. B 55 (1993).
        """
        everything = np.arange(len(z))
        groups = [everything]
        if self.num_labels is not None and labels is not None:
            own = [np.flatnonzero(labels == number) for number in range(self.num_labels)]
            groups = [found if len(found) else everything for found in own]  # a class without images: as all
        chosen = np.stack([group[self._evenly(len(group))] for group in groups])
        others = np.setdiff1d(everything, chosen)
        others = (others if len(others) else everything)[:: max(1, len(others) // TRIED)][:TRIED]
        mean, deviation = (
            np.stack([function(z[group], axis=0) for group in groups])[:, None] for function in (np.mean, np.std)
        )
        given = () if self.num_labels is None or labels is None else (tf.constant(labels[others], tf.int64),)
        self.build()
        shape = self.loc.shape

        def start(spread: float) -> float:
            loc = mean + spread * (z[chosen] - mean)
            scale = np.broadcast_to(np.sqrt(1.0 - spread**2) * deviation, loc.shape)
            self.start_at(np.zeros(self.num_components), loc.reshape(shape), scale.reshape(shape))
            return float(tf.reduce_mean(self(*given).log_prob(z[others])))

        start(max(SPREADS, key=start))

    def _evenly(self, count: int) -> NDArray[np.int64]:
        return np.arange(self.num_components) * max(1, count // self.num_components) % count

    @classmethod
    def of_config(
        cls, config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None
    ) -> "Mixture":
        return cls(config.latent_dim, config.prior_components or PRIOR_COMPONENTS["mixture"], num_labels)

    def get_config(self) -> dict[str, Any]:
        labels = {} if self.num_labels is None else {"num_labels": self.num_labels}
        return super().get_config() | {"num_components": self.num_components} | labels


PRIOR = Mixture
