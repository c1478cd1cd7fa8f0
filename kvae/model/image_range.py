"""Which numbers a VAE's images may hold: those in [0, 1], unless its decoder is made for any real numbers."""

from typing import Any

import keras
import tensorflow as tf

from kvae.model.calls import returned
from kvae.model.ladder import LadderDecoder
from kvae.model.networks import Decoder
from kvae.model.probes import labels, probes
from kvae.steps.inputs import ANY, UNIT, Range

PROBES = 16


def image_range(decoder: keras.Layer, latent_dim: int) -> Range:
    """`UNIT` for kvae's own decoders, and for your own if its mean stays in [0, 1] for codes near and far; else `ANY`.

    All of kvae's likelihoods are of pixels in [0, 1], and so is the mean in a bundle. But a normal distribution around
    a mean of any size has a density everywhere, which is right for a table of measurements.
    """
    if isinstance(decoder, Decoder | LadderDecoder):
        return UNIT
    with tf.init_scope():
        codes = probes(latent_dim, PROBES)
        mean = _mean(returned("decoder", decoder, codes, labels(decoder, len(codes))))
        if mean is None or not bool(tf.reduce_all(tf.math.is_finite(mean))):
            return UNIT
        return UNIT if bool(tf.reduce_all((mean >= UNIT[0]) & (mean <= UNIT[1]))) else ANY


def _mean(likelihood: Any) -> tf.Tensor | None:
    try:
        return tf.cast(likelihood.mean(), tf.float32)
    except NotImplementedError:
        return None
