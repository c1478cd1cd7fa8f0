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
    """p(z) = sum_k w_k N(z; m_k, diag s_k^2), whatever the label.

    It begins with equal weights, means drawn from N(0, I) and scales of 1.

    Args:
        latent_dim: number of latent dimensions.
        num_components: number of Gaussians; 100 by default.

    Reference: Dilokthanakul et al., arXiv 1611.02648 (a mixture of Gaussians as the prior of a VAE).
    """

    set_once = ("latent_dim", "num_components")

    def __init__(self, latent_dim: int, num_components: int = PRIOR_COMPONENTS["mixture"], **kwargs: Any) -> None:
        super().__init__(latent_dim, **kwargs)
        self.num_components = num_components

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        shape = (self.num_components, self.latent_dim)
        raw_scale = keras.initializers.Constant(inverse_softplus(np.full(1, 1.0 - MIN_SCALE)).item())
        self.logits = self.add_weight(shape=shape[:1], initializer="zeros", name="logits")
        self.loc = self.add_weight(shape=shape, initializer=keras.initializers.RandomNormal(stddev=1.0), name="loc")
        self.raw_scale = self.add_weight(shape=shape, initializer=raw_scale, name="raw_scale")
        self.built = True

    def call(self, label: tf.Tensor | None = None) -> Any:
        scale = MIN_SCALE + tf.nn.softplus(self.raw_scale.value)
        return mixture(self.logits.value, self.loc.value, scale)

    def start_at(self, logits: Any, loc: Any, scale: Any) -> None:
        """Set the components.

        Args:
            logits: logarithms of the weights, which need not sum to 1, `(components,)`.
            loc: means, `(components, latent_dim)`.
            scale: standard deviations, in the same shape; those below the floor of 0.001 are set to it.
        """
        self.build()
        self.logits.assign(logits)
        self.loc.assign(loc)
        excess = np.maximum(np.asarray(scale, np.float64) - MIN_SCALE, 1e-6)
        self.raw_scale.assign(inverse_softplus(excess))

    def start_at_codes(self, z: NDArray[np.float32]) -> None:
        """Begin a fit with components around some of the codes, drawn towards the mean of all.

        Each begins at mean + a (code - mean) with the scale sqrt(1 - a^2) std, so that the mixture has the mean and the
        variance of the codes, whatever a is. The a is taken of `SPREADS` under which other codes are most likely. In
        hundreds of dimensions it is small: there each code is far from any other, and unlikely under a component that
        stays at one.

        Reference: West, Approximating Posterior Distributions by Mixtures, J. R. Stat. Soc. B 55 (1993).
        """
        chosen = np.arange(self.num_components) * max(1, len(z) // self.num_components) % len(z)
        others = np.setdiff1d(np.arange(len(z)), chosen)[:TRIED]
        tried = z[others] if len(others) else z
        mean, deviation = z.mean(axis=0), z.std(axis=0)

        def start(spread: float) -> float:
            scale = np.broadcast_to(np.sqrt(1.0 - spread**2) * deviation, (len(chosen), self.latent_dim))
            self.start_at(np.zeros(len(chosen)), mean + spread * (z[chosen] - mean), scale)
            return float(tf.reduce_mean(self().log_prob(tried)))

        start(max(SPREADS, key=start))

    @classmethod
    def of_config(cls, config: ModelConfig, image_shape: tuple[int, int, int]) -> "Mixture":
        return cls(config.latent_dim, config.prior_components or PRIOR_COMPONENTS["mixture"])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_components": self.num_components}


PRIOR = Mixture
