"""Codes at which a decoder shows what it can give at all, trained or not."""

import tensorflow as tf


def probes(latent_dim: int, count: int) -> tf.Tensor:
    """Codes near and far, `(3 * count, latent_dim)`: draws from N(0, I), and ten and a thousand times as far out."""
    noise = tf.random.stateless_normal([count, latent_dim], [0, 0])
    return tf.concat([noise, 10 * noise, 1000 * noise], axis=0)
