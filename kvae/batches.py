"""What training is fed with: single batches of images, or many steps' worth of them in one element of the stream.

Both give the same batches in the same order. The second lets one call run many optimiser steps in one compiled loop.
The data set stays in memory as bytes; a batch becomes floats where it is used, in the step.
"""

from typing import NamedTuple, cast

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

BEYOND_SEEDS = 2**32
"""Set apart the words that order the images from those that their bits are drawn from."""


class Steps(NamedTuple):
    """The batches of several optimiser steps.

    `VAE.train_step` takes one in the place of a batch, and makes all its steps.
    """

    pixels: tf.Tensor
    """Bytes, uint8 `(steps, batch, height, width, channels)`."""
    count: tf.Tensor
    """How many of the steps are to be made, int64 `()`: the last element of an epoch may be filled up."""

    def batch(self, step: tf.Tensor) -> tf.Tensor:
        """The images of one step, float32 `(batch, height, width, channels)` in [0, 1]."""
        return _floats(self.pixels[step])


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

    def fill_up(pixels: tf.Tensor) -> Steps:
        count = tf.shape(pixels, tf.int64)[0]
        filled = tf.pad(pixels, [[0, steps_per_call - count], *[[0, 0]] * 4])
        return Steps(tf.ensure_shape(filled, [steps_per_call, batch_size, *images.shape[1:]]), count)

    stream = _bytes(images, batch_size, shuffle_seed, binarize)
    return stream.batch(steps_per_call).map(fill_up).repeat().prefetch(2)


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
    return _bytes(images, batch_size, shuffle_seed, binarize).map(_floats).prefetch(tf.data.AUTOTUNE)


def _floats(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255.0


def _bytes(images: NDArray[np.uint8], batch_size: int, shuffle_seed: int | None, binarize: bool) -> tf.data.Dataset:
    """Batches uint8 `(batch, height, width, channels)`; bits are the bytes 0 and 255."""
    pixels = tf.constant(images)
    if shuffle_seed is None:
        order = tf.data.Dataset.range(len(images)).batch(batch_size)
    else:
        # A permutation at a time: to shuffle a stream of indices took as long as a tenth of the training steps.
        order = _words(shuffle_seed + BEYOND_SEEDS).take(1).flat_map(
            lambda seed: tf.data.Dataset.from_tensor_slices(_permutation(len(images), batch_size, seed))
        )  # fmt: skip
        order = order.apply(tf.data.experimental.assert_cardinality(len(images) // batch_size))
    grey = order.map(lambda chosen: tf.gather(pixels, chosen))
    if not binarize:
        return grey
    # Not in the step: of TensorFlow's Philox generator XLA makes code for a CPU that takes half as long as the step.
    return tf.data.Dataset.zip(grey, _words(cast(int, shuffle_seed))).map(_bits, tf.data.AUTOTUNE)


def _bits(grey: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.random.stateless_uniform(tf.shape(grey), seed) < _floats(grey), tf.uint8) * np.uint8(255)


def _words(seed: int) -> tf.data.Dataset:
    """Pairs of random words, int64 `(2,)`, without end, and other ones in each epoch."""
    return tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)


def _permutation(num_images: int, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
    """The indices of all whole batches of an epoch, int64 `(steps, batch)`."""
    steps = num_images // batch_size
    shuffled = tf.random.experimental.stateless_shuffle(tf.range(num_images, dtype=tf.int64), seed)
    return tf.reshape(shuffled[: steps * batch_size], [steps, batch_size])
