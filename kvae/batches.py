"""What training is fed with: single batches of images, or many steps' worth of them in one element of the stream.

Both give the same batches in the same order. The second lets one call run many optimiser steps in one compiled loop.
The data set stays in memory as bytes; a batch becomes floats where it is used, in the step.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

PARALLEL_CALLS = 2
"""Elements of a stream that are made side by side."""
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
    up beyond its `count`. One epoch follows another without end, for at each epoch's start Keras makes new iterators,
    which draw an order first and have nothing ready: `fit` takes `steps_per_epoch`, which is `calls_per_epoch` with
    the same arguments.

    Args:
        images: uint8 `(num_images, height, width, channels)`.
        batch_size: images per optimiser step.
        steps_per_call: optimiser steps in one element.
        shuffle_seed: seed of the order, new in each epoch, and of the bits.
        binarize: draw each pixel as 0 or 1 with its intensity as the probability.
    """
    batch = _batch_maker(images, binarize)

    def make(chosen: tf.Tensor, seeds: tf.Tensor) -> Steps:
        count = tf.shape(chosen, tf.int64)[0]
        chosen, seeds = (tf.pad(rows, [[0, steps_per_call - count], [0, 0]]) for rows in (chosen, seeds))
        if binarize:
            pixels = tf.map_fn(lambda step: batch(*step), (chosen, seeds), fn_output_signature=tf.uint8)
        else:
            pixels = batch(chosen, seeds)  # all of them at once
        return Steps(tf.ensure_shape(pixels, [steps_per_call, batch_size, *images.shape[1:]]), count)

    calls = _order(len(images), batch_size, shuffle_seed).batch(steps_per_call)
    return untuned(calls.map(make, num_parallel_calls=PARALLEL_CALLS, deterministic=True).repeat().prefetch(2))


def calls_per_epoch(num_images: int, batch_size: int, steps_per_call: int) -> int:
    """The number of elements of `steps` that make an epoch."""
    return math.ceil(num_images // batch_size / steps_per_call)


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
    batch = _batch_maker(images, binarize)
    if shuffle_seed is None:
        order = tf.data.Dataset.range(len(images)).batch(batch_size).map(lambda chosen: (chosen, tf.zeros(2, tf.int64)))
    else:
        order = _order(len(images), batch_size, shuffle_seed)
    return untuned(order.map(lambda chosen, seed: _floats(batch(chosen, seed)), PARALLEL_CALLS).prefetch(2))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same stream without the thread that tunes it.

    Where an iterator ends, tf.data waits for that thread, which now and then misses the call to stop and sleeps on:
    half a second for a young iterator, five or ten for an old one.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _floats(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255.0


def _batch_maker(images: NDArray[np.uint8], binarize: bool) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function from indices and a seed to the bytes of a batch; bits are the bytes 0 and 255."""
    pixels = tf.constant(images)

    def batch(chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        grey = tf.gather(pixels, chosen)
        return _bits(grey, seed) if binarize else grey

    return batch


def _bits(grey: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Bytes 0 and 255 in place of grey ones; a pixel's probability is off by 2^-16 at most, and black and white stay.

    Sixteen random bits a pixel take half as long as TensorFlow's uniform floats. They are drawn here in the data
    pipeline, not in the step: of TensorFlow's generator XLA makes code for a CPU that takes half as long as the step.
    """
    size = tf.size(grey)
    words = tf.random.stateless_uniform([(size + 1) // 2], seed, minval=None, maxval=None, dtype=tf.uint32)
    draws = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint16), [-1])[:size], tf.shape(grey))
    bits = (draws < tf.cast(grey, tf.uint16) * 257) | (grey == 255)  # 257 * 255 = 2^16 - 1
    return tf.cast(bits, tf.uint8) * np.uint8(255)


def _order(num_images: int, batch_size: int, shuffle_seed: int) -> tf.data.Dataset:
    """An epoch's batches as indices of images, int64 `(batch,)`, each with a seed for its bits, int64 `(2,)`."""
    # A permutation at a time: to shuffle a stream of indices took as long as a tenth of the training steps.
    order = _words(shuffle_seed + BEYOND_SEEDS).take(1).flat_map(
        lambda seed: tf.data.Dataset.from_tensor_slices(_permutation(num_images, batch_size, seed))
    )  # fmt: skip
    order = order.apply(tf.data.experimental.assert_cardinality(num_images // batch_size))
    return tf.data.Dataset.zip(order, _words(shuffle_seed))


def _words(seed: int) -> tf.data.Dataset:
    """Pairs of random words, int64 `(2,)`, without end, and other ones in each epoch."""
    return tf.data.Dataset.random(seed, rerandomize_each_iteration=True).batch(2, drop_remainder=True)


def _permutation(num_images: int, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
    """The indices of all whole batches of an epoch, int64 `(steps, batch)`."""
    steps = num_images // batch_size
    shuffled = tf.random.experimental.stateless_shuffle(tf.range(num_images, dtype=tf.int64), seed)
    return tf.reshape(shuffled[: steps * batch_size], [steps, batch_size])
