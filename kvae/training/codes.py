"""The codes of a data set's images under a model that no longer changes: fresh draws from their posteriors."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from numpy.typing import NDArray

from kvae.data.datasets import Dataset
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.model.calls import returned
from kvae.model.posteriors import draw
from kvae.model.vae import VAE
from kvae.steps.draws import Draws
from kvae.steps.example import Example

BATCH = 1000
NUM_BITS = 4
"""How many times the training images of a model of bits are binarised and encoded, in turn for the epochs."""
_ROOT_ENTROPY = 0.5 * np.log(2 * np.pi * np.e)


class Drawn(NamedTuple):
    """A draw from each image's posterior."""

    z: NDArray[np.float32]
    """`(n, latent_dim)`."""
    entropy: float
    """The mean entropy of the posteriors in nats; estimated from the draws if it has no closed form."""


class Codes:
    """The codes of the training and the validation images.

    Posteriors that are diagonal Gaussians are computed once and kept. Others, such as those of a hierarchy, are
    computed anew for each draw.

    Args:
        vae: the model; its prior is not used.
        data: the images.
        is_of_bits: whether the model is for binarised images.
        seed: seed of the draws, and of the training images' bits.
    """

    def __init__(self, vae: VAE, data: Dataset, is_of_bits: bool, seed: int) -> None:
        self._vae, self._data, self._is_of_bits, self._seed = vae, data, is_of_bits, seed
        self._validation = held_out(data, "validation", is_of_bits)
        self._kept: dict[tuple[str, int], tuple[NDArray[Any], NDArray[Any]] | None] = {}
        self._encode = tf.function(self._posterior, reduce_retracing=True)
        self._draw = tf.function(self._drawn, reduce_retracing=True)

    @property
    def num_train(self) -> int:
        """Number of training images."""
        return len(self._data.train.images)

    def labels(self, split: str) -> NDArray[np.int64] | None:
        """The labels of the images of "train" or "validation", `(n,)`; None for a model without."""
        if self._vae.num_labels is None:
            return None
        found = self._data.train.labels if split == "train" else held_out_labels(self._data, split)
        return None if found is None else np.asarray(found, np.int64)

    def draws(self, split: str, epoch: int) -> Drawn:
        """A draw for each image of "train" or "validation"; those of two epochs are independent."""
        turn = epoch % NUM_BITS if self._is_of_bits and split == "train" else 0
        if (split, turn) not in self._kept:
            self._kept[split, turn] = self._posteriors(split, turn)
        found, stream = self._kept[split, turn], int(split == "train")
        if found is None:
            return self._anew(split, turn, epoch)
        loc, scale = found
        noise = np.random.default_rng([self._seed, epoch, 2 + stream]).standard_normal(loc.shape, np.float32)
        entropy = np.log(scale.astype(np.float64)).sum(axis=1).mean() + loc.shape[1] * _ROOT_ENTROPY
        return Drawn(loc + scale * noise, float(entropy))

    def distortion(self, vae: VAE, split: str) -> float:
        """The mean of -log p(x|z) over the images of a split, each at one draw, in nats."""

        @tf.function(reduce_retracing=True)
        def total(images: tf.Tensor, label: tf.Tensor | None, seed: tf.Tensor) -> tf.Tensor:
            return tf.reduce_sum(vae.terms(Example(images, label), seed).distortion)

        sums, count = 0.0, 0
        for number, example in enumerate(self._examples(split, 0)):
            sums += float(total(*example, tf.constant([self._seed & 0x7FFFFFFF, number], tf.int32)))
            count += len(example[0])
        return sums / count

    def _posteriors(self, split: str, turn: int) -> tuple[NDArray[Any], NDArray[Any]] | None:
        parts: list[Any] = []
        for images, label in self._examples(split, turn):
            first = returned("encoder", self._vae.encoder, images[:1], None if label is None else label[:1])
            if not parts and not isinstance(first, tfp.distributions.MultivariateNormalDiag):
                return None
            parts.append([part.numpy() for part in self._encode(images, label)])
        loc, scale = (np.concatenate(values) for values in zip(*parts, strict=True))
        return loc, scale

    def _posterior(self, images: tf.Tensor, label: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        posterior = returned("encoder", self._vae.encoder, images, label)
        return posterior.mean(), posterior.stddev()

    def _anew(self, split: str, turn: int, epoch: int) -> Drawn:
        parts = []
        for number, (images, label) in enumerate(self._examples(split, turn)):
            seed = np.random.default_rng([self._seed, epoch, number, split == "train"]).integers(0, 2**31, 2)
            parts.append([part.numpy() for part in self._draw(images, label, tf.constant(seed, tf.int32))])
        z, log_q = (np.concatenate(values) for values in zip(*parts, strict=True))
        return Drawn(z, -float(np.mean(log_q, dtype=np.float64)))

    def _drawn(self, images: tf.Tensor, label: tf.Tensor | None, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(images)[0]
        posterior = returned("encoder", self._vae.encoder, images, label)
        found = draw(posterior, Draws.of(seed, count), 1, count)
        return found.z[0], found.posterior.log_prob(found.z)[0]

    def _examples(self, split: str, turn: int) -> Any:
        """The images of a split in batches, as float32, each with its labels, or None for a model without."""
        of_split = getattr(self._data, split)
        images = of_split.images if split == "train" else self._validation
        labels = self.labels(split)
        for first in range(0, len(images), BATCH):
            part = np.asarray(images[first : first + BATCH])
            if split == "train" and self._is_of_bits:
                rng = np.random.default_rng([self._seed, turn, first, 4])
                part = np.where(rng.random(part.shape, np.float32) * 255 < part, 255, 0)
            label = None if labels is None else tf.constant(labels[first : first + BATCH])
            yield tf.constant(part, tf.float32) / 255.0, label
