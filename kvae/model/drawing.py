"""Draws from a prior that depend only on a seed and their number: those of a bundle (`kvae.bundle.noise`)."""

from typing import Any

import tensorflow as tf

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.model.priors.prior import Prior


def draws(prior: Prior, seed: int, start: int, count: int, label: tf.Tensor | None = None) -> tf.Tensor:
    """Codes, float32 `(count, latent_dim)`, of which number i depends only on (seed, i) and its label.

    Args:
        prior: what they are drawn from.
        seed: 0 to 2^64 - 1.
        start: number of the first.
        count: how many, at least 1.
        label: the class of each, int64 `(count,)`, for a prior that has `num_labels`.

    Raises:
        KvaeError: the seed is out of range, or the prior's draws are not known as a function of noise.
    """
    known: dict[str, Any] = {} if prior.num_labels is None else {"label": label}
    epsilon = tf.constant(noise.standard_normal(seed, start, count, prior.latent_dim))
    try:
        probs = prior.component_probs()
        if probs is not None:
            known["component"] = noise.choices(seed, start, count, noise.cumulative(probs), noise.COMPONENTS)
        return prior.from_noise(epsilon, **known)
    except NotImplementedError as error:
        raise KvaeError(
            f"draws from the prior {type(prior).__name__} are not known as a function of noise ({error}). Define its "
            f"method from_noise(noise, component=None, label=None), which an export needs too."
        ) from None
