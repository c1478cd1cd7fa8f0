"""Codes, and labels, at which a decoder shows what it can give at all, trained or not."""

from typing import Any

import tensorflow as tf


def probes(latent_dim: int, count: int) -> tf.Tensor:
    """Codes near and far, `(3 * count, latent_dim)`: draws from N(0, I), and ten and a thousand times as far out."""
    noise = tf.random.stateless_normal([count, latent_dim], [0, 0])
    return tf.concat([noise, 10 * noise, 1000 * noise], axis=0)


def labels(decoder: Any, count: int) -> tf.Tensor | None:
    """Labels for so many codes, each class in turn, int64 `(count,)`; None for a decoder that takes none."""
    num_labels = getattr(decoder, "num_labels", None)
    return None if num_labels is None else tf.range(count, dtype=tf.int64) % num_labels
