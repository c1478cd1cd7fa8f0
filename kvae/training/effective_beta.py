"""The actual weight of the KL in a loss, measured on the loss itself."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.files import pictures
from kvae.model.vae import VAE
from kvae.steps.draws import Draws


def effective_beta(vae: VAE, images: NDArray[np.uint8], labels: NDArray[np.int64] | None = None) -> float:
    """The weight of a nat of rate relative to a nat of distortion in the loss, once any warm-up is over.

    It does not come from a setting: it is the ratio of two derivatives of the loss that training minimises, with
    respect to the rate and to the distortion, both of them sums over pixels and dimensions.

    Args:
        vae: the model.
        images: uint8 `(n, height, width, channels)`.
        labels: int64 `(n,)`, for a conditional model.

    Returns:
        The weight; NaN for a loss that does not depend on both. With free bits it is that of a nat in a latent
        dimension that carries more than its free bits, and 0 if none does.
    """
    example: Any = pictures.to_float32(images)
    terms = vae.terms(example if labels is None else (example, labels), Draws.of([0, 0], len(images)))
    with tf.GradientTape() as tape:
        tape.watch(terms)
        loss = vae.weighted_loss(terms)
    by_likelihood, by_rate, by_dimension, by_prior = tape.gradient(
        loss, [terms.log_likelihood, terms.rate, terms.dimension_rates, terms.log_prior]
    )
    if by_rate is None and by_dimension is not None:
        by_rate = tf.gather(by_dimension, tf.argmax(tf.reduce_sum(by_dimension, axis=-1)))
    if by_rate is None and by_prior is not None:  # a loss of log weights, whose rate is log q - log p
        by_rate = -by_prior
    if by_likelihood is None or by_rate is None:
        return float("nan")
    return float(tf.reduce_sum(by_rate) / -tf.reduce_sum(by_likelihood))
