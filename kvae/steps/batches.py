"""What training is fed with: single batches of images, or many steps' worth of them in one element of the stream.

Both give the same batches in the same order. The second lets one call run many optimiser steps in one compiled loop.
The data set stays in memory as bytes, or on disk as a memory-mapped array; a batch becomes floats where it is used, in
the step. What a step is given is a function of the seed and of the step's number alone, so that training can go on at
any step as if it had never stopped.
"""

import math
import sys
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

PARALLEL_CALLS = 2
"""Elements of a stream that are made side by side."""
BEYOND_SEEDS = 2**32
"""Sets apart the words that order the images from those that their bits are drawn from."""


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


class Part(NamedTuple):
    """A replica's share of a batch that not all replicas have as many images of."""

    images: tf.Tensor
    """float32 `(share, height, width, channels)` in [0, 1]."""
    first: tf.Tensor
    """The number of the first of them in the batch, int32 `()`."""
    total: tf.Tensor
    """Images of the whole batch, int32 `()`."""


class Shares(NamedTuple):
    """Which shares of every batch a stream is made of; by default the batch is one share."""

    num_shares: int = 1
    """Shares of a batch: the number of all replicas."""
    own: range = range(1)
    """The numbers of those in the stream, which are its elements in turn."""


WHOLE = Shares()


def steps(
    images: NDArray[np.uint8],
    batch_size: int,
    steps_per_call: int,
    shuffle_seed: int,
    binarize: bool = False,
    start: int = 0,
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
        start: number of the step to begin with, counted from the first epoch's first; 0 by default.
    """
    gather = _gatherer(images)

    def make(chosen: tf.Tensor, seeds: tf.Tensor) -> Steps:
        count = tf.shape(chosen, tf.int64)[0]
        chosen, seeds = (tf.pad(rows, [[0, steps_per_call - count], [0, 0]]) for rows in (chosen, seeds))
        pixels = gather(chosen)
        if binarize:
            pixels = tf.map_fn(
                lambda step: _bits(step[0], step[1], batch_size), (pixels, seeds), fn_output_signature=tf.uint8
            )
        return Steps(tf.ensure_shape(pixels, [steps_per_call, batch_size, *images.shape[1:]]), count)

    calls = _order(len(images), batch_size, shuffle_seed, start, steps_per_call)
    return untuned(calls.map(make, num_parallel_calls=PARALLEL_CALLS, deterministic=True).prefetch(2))


def calls_per_epoch(num_images: int, batch_size: int, steps_per_call: int) -> int:
    """The number of elements of `steps` that make an epoch."""
    return math.ceil(num_images // batch_size / steps_per_call)


def batches(
    images: NDArray[np.uint8],
    batch_size: int,
    shuffle_seed: int | None = None,
    binarize: bool = False,
    start: int = 0,
    shares: Shares = WHOLE,
) -> tf.data.Dataset:
    """Batches float32 `(batch, height, width, channels)` in [0, 1] of uint8 images.

    Args:
        images: the images.
        batch_size: images per batch.
        shuffle_seed: with one, one epoch follows another without end, each in an order of its own, and what does not
            fill a batch is left out of that epoch, so that all steps have one shape. Without one, all images come
            once, in their order.
        binarize: draw each pixel as 0 or 1, anew in each epoch, with its intensity as the probability; it takes a
            `shuffle_seed`.
        start: number of the step to begin with, as in `steps`; it takes a `shuffle_seed`.
        shares: which shares of each batch are elements of the stream, one after the other; by default the batch is
            one. With a `shuffle_seed`, they have the same size, which must divide `batch_size`. Without one, they are
            as even as can be, the elements are `Part`s, and the images come again without end: `evaluate` takes
            `steps`. Where replicas reach an end, Keras makes one more step, of nothing.
    """
    gather = _gatherer(images)
    if shuffle_seed is None:
        order = tf.data.Dataset.range(len(images)).batch(batch_size)
        if shares.num_shares == 1:
            return untuned(order.map(lambda chosen: _floats(gather(chosen)), PARALLEL_CALLS).prefetch(2))
        order = order.flat_map(lambda chosen: _parts(chosen, shares)).repeat()
        return untuned(
            order.map(lambda chosen, *rows: Part(_floats(gather(chosen)), *rows), PARALLEL_CALLS).prefetch(2)
        )
    share = batch_size // shares.num_shares

    def make(chosen: tf.Tensor, seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        first = number * share
        grey = tf.ensure_shape(gather(chosen[first : first + share]), [share, *images.shape[1:]])
        return _floats(_bits(grey, seed, batch_size, first) if binarize else grey)

    order = _order(len(images), batch_size, shuffle_seed, start)
    order = order.flat_map(lambda chosen, seed: _numbers(shares).map(lambda number: (chosen, seed, number)))
    return untuned(order.map(make, PARALLEL_CALLS, deterministic=True).prefetch(2))


def chosen_images(num_images: int, batch_size: int, shuffle_seed: int, step: int) -> NDArray[np.int64]:
    """Which images a step is given, as indices `(batch,)`; arguments as for `steps`, `step` as its `start`."""
    epoch, step_in_epoch = divmod(step, num_images // batch_size)
    order: NDArray[np.int64] = _permutation(num_images, batch_size, shuffle_seed, tf.constant(epoch, tf.int64)).numpy()
    return order[step_in_epoch]


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


def _gatherer(images: NDArray[np.uint8]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from indices of any shape to the bytes of these images."""
    if isinstance(images, np.memmap):
        # What lies on disk stays there: TensorFlow would make a constant of it, in memory.
        def read(chosen: tf.Tensor) -> tf.Tensor:
            pixels = tf.numpy_function(images.__getitem__, [chosen], tf.uint8, stateful=False)
            return tf.ensure_shape(pixels, [*chosen.shape, *images.shape[1:]])

        return read
    pixels = tf.constant(images)
    return lambda chosen: tf.gather(pixels, chosen)


def _bits(grey: tf.Tensor, seed: tf.Tensor, batch_size: int, first: tf.Tensor | int = 0) -> tf.Tensor:
    """Bytes 0 and 255 in place of grey ones; a pixel's probability is off by 2^-16 at most, and black and white stay.

    Sixteen random bits a pixel take half as long as TensorFlow's uniform floats. They are drawn here in the data
    pipeline, not in the step: of TensorFlow's generator XLA makes code for a CPU that takes half as long as the step.
    They are drawn for a whole batch, of which `grey` may be the part that begins with image number `first`.
    """
    per_image = grey.shape[1:].num_elements()
    words = tf.random.stateless_uniform(
        [(batch_size * per_image + 1) // 2], seed, minval=None, maxval=None, dtype=tf.uint32
    )
    draws = tf.reshape(tf.bitcast(words, tf.uint16), [-1])[first * per_image :][: tf.size(grey)]
    draws = tf.reshape(draws, tf.shape(grey))
    bits = (draws < tf.cast(grey, tf.uint16) * 257) | (grey == 255)  # 257 * 255 = 2^16 - 1
    return tf.cast(bits, tf.uint8) * np.uint8(255)


def _numbers(shares: Shares) -> tf.data.Dataset:
    return tf.data.Dataset.range(shares.own.start, shares.own.stop)


def _parts(chosen: tf.Tensor, shares: Shares) -> tf.data.Dataset:
    """Of a batch's indices those of each of the stream's shares, the number of the first, and that of them all."""
    total = tf.shape(chosen, tf.int64)[0]

    def part(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first, end = number * total // shares.num_shares, (number + 1) * total // shares.num_shares
        return chosen[first:end], tf.cast(first, tf.int32), tf.cast(total, tf.int32)

    return _numbers(shares).map(part)


def _order(
    num_images: int, batch_size: int, shuffle_seed: int, start: int, steps_per_call: int | None = None
) -> tf.data.Dataset:
    """The steps from number `start` on, without end: indices of images, int64 `(batch,)`, and a seed, int64 `(2,)`.

    With `steps_per_call`, as many steps of one epoch in each element, or what is left of it.
    """
    per_epoch = num_images // batch_size
    first_epoch, first_step = divmod(start, per_epoch)

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # A permutation at a time: to shuffle a stream of indices took as long as a tenth of the training steps.
        chosen = _permutation(num_images, batch_size, shuffle_seed, epoch)
        numbers = epoch * per_epoch + tf.range(per_epoch, dtype=tf.int64)
        seeds = tf.stack([tf.fill([per_epoch], tf.constant(shuffle_seed, tf.int64)), numbers], axis=1)
        begin = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
        steps = tf.data.Dataset.from_tensor_slices((chosen[begin:], seeds[begin:]))
        return steps if steps_per_call is None else steps.batch(steps_per_call)

    return tf.data.Dataset.range(first_epoch, sys.maxsize).flat_map(of_epoch)


def _permutation(num_images: int, batch_size: int, shuffle_seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """The indices of all whole batches of an epoch, int64 `(steps, batch)`."""
    steps = num_images // batch_size
    seed = tf.stack([tf.constant(shuffle_seed + BEYOND_SEEDS, tf.int64), epoch])
    shuffled = tf.random.experimental.stateless_shuffle(tf.range(num_images, dtype=tf.int64), seed)
    return tf.reshape(shuffled[: steps * batch_size], [steps, batch_size])
