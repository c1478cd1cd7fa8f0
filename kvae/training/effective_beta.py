"""What the KL really weighs in a loss, read off the loss itself."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.files import pictures
from kvae.model.vae import VAE
from kvae.steps.draws import Draws


def effective_beta(vae: VAE, images: NDArray[np.uint8]) -> float:
    """What a nat of the rate weighs in the loss against a nat of distortion, once a warm-up is over.

    It is not read off a setting, but is the ratio of two derivatives of the loss that training minimises: by the rate,
    and by the distortion, both of them sums over pixels and dimensions.

    Args:
        vae: the model.
        images: uint8 `(n, height, width, channels)`.

    Returns:
        The weight; NaN for a loss that does not depend on both.
    """
    terms = vae.terms(pictures.to_float32(images), Draws.of([0, 0], len(images)))
    with tf.GradientTape() as tape:
        tape.watch(terms)
        loss = vae.weighted_loss(terms)
    by_likelihood, by_rate = tape.gradient(loss, [terms.log_likelihood, terms.rate])
    if by_likelihood is None or by_rate is None:
        return float("nan")
    return float(tf.reduce_sum(by_rate) / -tf.reduce_sum(by_likelihood))
