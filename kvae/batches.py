"""What training is fed with: single batches of images, or many steps' worth in one element of a `tf.data.Dataset`.

Both give the same batches in the same order. The second lets one call run many optimiser steps inside one loop, over a
data set that stays in memory as bytes: gathering, scaling and binarising are then part of the step.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class Steps(NamedTuple):
    """The batches of several optimiser steps, as indices into a data set that is held once.

    `VAE.train_step` takes one in the place of a batch, and makes all its steps.
    """

    images: tf.Tensor
    """All training images, uint8 `(num_images, height, width, channels)`."""
    order: tf.Tensor
    """Which of them each step takes, int64 `(steps, batch)`."""
    seeds: tf.Tensor
    """What each step's bits are drawn from, int64 `(steps, 2)`; `(steps, 0)` where images are not binarised."""
    count: tf.Tensor
    """How many of the steps are to be made, int64 `()`: the last element of an epoch may be filled up."""

    def batch(self, step: tf.Tensor) -> tf.Tensor:
        """The images of one step, float32 `(batch, height, width, channels)` in [0, 1]."""
        return _batch(self.images, self.order[step], self.seeds[step])


def steps(
    images: NDArray[np.uint8], batch_size: int, steps_per_call: int, shuffle_seed: int, binarize: bool = False
) -> tf.data.Dataset:
    """The batches of `batches` with the same arguments, `steps_per_call` of them in each element, as `Steps`.

    Every element has the same shapes, so that one compiled loop serves all of them: the last one of an epoch is filled
    up with zeros, beyond its `count`.

    Args:
        images: uint8 `(num_images, height, width, channels)`.
        batch_size: images per optimiser step.
        steps_per_call: optimiser steps in one element.
        shuffle_seed: seed of the order, new in each epoch, and of the bits.
        binarize: draw each pixel as 0 or 1 with its intensity as the probability.
    """
    pixels = tf.constant(images)
    return _chosen(len(images), batch_size, shuffle_seed, binarize).batch(steps_per_call).map(
        lambda order, seeds: Steps(
            pixels, _filled(order, steps_per_call), _filled(seeds, steps_per_call), tf.shape(order, tf.int64)[0]
        )
    ).prefetch(2)  # fmt: skip


def batches(
    images: NDArray[np.uint8], batch_size: int, shuffle_seed: int | None = None, binarize: bool = False
) -> tf.data.Dataset:
    """Batches float32 `(batch, height, width, channels)` in [0, 1] of uint8 images.

    Args:
        images: the images.
        batch_size: images per batch.
        shuffle_seed: with one, the order is new in each epoch, and what does not fill a batch is left out of that
            epoch, so that all steps have one shape. Without one, all images come in their order.
        binarize: draw each pixel as 0 or 1, anew in each epoch, with its intensity as the probability; it takes a
            `shuffle_seed`.
    """
    pixels = tf.constant(images)
    return (
        _chosen(len(images), batch_size, shuffle_seed, binarize)
        .map(lambda order, seed: _batch(pixels, order, seed))
        .prefetch(tf.data.AUTOTUNE)
    )


def _chosen(num_images: int, batch_size: int, shuffle_seed: int | None, binarize: bool) -> tf.data.Dataset:
    """Pairs: the indices of a batch, and the seed of its bits, empty where there are none."""
    indices = tf.data.Dataset.range(num_images)
    if shuffle_seed is not None:
        indices = indices.shuffle(num_images, seed=shuffle_seed)
    order = indices.batch(batch_size, drop_remainder=shuffle_seed is not None)
    if not binarize:
        return order.map(lambda chosen: (chosen, tf.zeros([0], tf.int64)))
    return tf.data.Dataset.zip(
        order, tf.data.Dataset.random(shuffle_seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)
    )


def _batch(images: tf.Tensor, order: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    grey = tf.cast(tf.gather(images, order), tf.float32) / 255.0
    if seed.shape[0] == 0:
        return grey
    return tf.cast(tf.random.stateless_uniform(tf.shape(grey), seed) < grey, tf.float32)


def _filled(rows: tf.Tensor, count: int) -> tf.Tensor:
    filled = tf.pad(rows, [[0, count - tf.shape(rows)[0]], [0, 0]])
    return tf.ensure_shape(filled, [count, *rows.shape[1:]])
