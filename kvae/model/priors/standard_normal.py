"""N(0, I), the prior of the original VAE."""

from typing import Any

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.model.priors.prior import Prior

tfd = tfp.distributions


@keras.saving.register_keras_serializable("kvae")
class StandardNormal(Prior):
    """p(z) = N(0, I), whatever the label.

    Args:
        latent_dim: number of latent dimensions.

    Reference: Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    """

    def call(self, label: tf.Tensor | None = None) -> Any:
        return tfd.MultivariateNormalDiag(loc=tf.zeros(self.latent_dim), scale_diag=tf.ones(self.latent_dim))


PRIOR = StandardNormal
