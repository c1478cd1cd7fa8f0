"""How good a model is: ELBO, distortion and rate over a set of images, each with its standard error."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.errors import KvaeError
from kvae.vae import VAE, Terms


@dataclass(frozen=True)
class Estimate:
    """A mean over images, in nats per image, and its standard error over images."""

    value: float
    standard_error: float


class Metrics(NamedTuple):
    """What `evaluate` finds."""

    elbo: Estimate
    distortion: Estimate
    rate: Estimate
    effective_beta: float
    """What the rate weighs in the loss against a nat of distortion; NaN for a model whose rate is 0."""

    def to_dict(self) -> dict[str, Any]:
        """The estimates as JSON values, without `effective_beta`, which is no property of the images."""
        return {name: asdict(getattr(self, name)) for name in ("elbo", "distortion", "rate")}


def evaluate(vae: VAE, images: NDArray[np.uint8], seed: int = 0, batch_size: int = 500) -> Metrics:
    """Evaluate the ELBO with one draw of the posterior per image.

    The standard errors include the noise of that draw. The effective beta is read off the loss, not off a setting: what
    `VAE.loss_of`, which training minimises, leaves above the distortion, divided by the rate, both of them sums over
    pixels and dimensions. It is the weight once a warm-up is over.

    Args:
        vae: the model.
        images: uint8 `(n, height, width, channels)`, n at least 2.
        seed: seed of the draws; the model's own generator is not touched.
        batch_size: images at a time.

    Raises:
        KvaeError: images of another type, or fewer than 2.
    """
    if images.dtype != np.uint8 or len(images) < 2:
        raise KvaeError(f"evaluation takes at least 2 images of uint8; got {len(images)} of {images.dtype}.")
    evaluate_batch = tf.function(lambda batch, draw: vae.terms(tf.cast(batch, tf.float32) / 255.0, draw))
    parts = [
        evaluate_batch(images[first : first + batch_size], np.array([seed, first], np.uint32).view(np.int32))
        for first in range(0, len(images), batch_size)
    ]
    terms = Terms(*(tf.concat(column, axis=0) for column in zip(*parts, strict=True)))
    excess = float(vae.loss_of(terms)) - float(tf.reduce_mean(terms.distortion))
    rate = float(tf.reduce_mean(terms.rate))
    return Metrics(
        elbo=_estimate(terms.elbo),
        distortion=_estimate(terms.distortion),
        rate=_estimate(terms.rate),
        effective_beta=excess / rate if rate > 0 else float("nan"),
    )


def _estimate(values: tf.Tensor) -> Estimate:
    array = values.numpy().astype(np.float64)
    return Estimate(float(array.mean()), float(array.std(ddof=1) / np.sqrt(len(array))))
