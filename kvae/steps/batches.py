"""The input of training: single batches of images, or many steps' worth of batches in one element of the stream.

Both give the same batches in the same order. The second lets one call run many optimiser steps in one compiled loop.
The data set stays in memory as bytes, or on disk as a memory-mapped array; a batch becomes floats only in the step that
uses it. A step's batch depends only on the seed and the step's number, so training can resume at any step as if it had
never stopped.
"""

import math
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.errors import KvaeError
from kvae.steps.example import Example
from kvae.steps.shifts import shifted

PARALLEL_CALLS = 2
"""Elements of a stream that are made in parallel."""
BEYOND_SEEDS = 2**32
"""Separates the random numbers that order the images from those that their bits are drawn from."""


class Steps(NamedTuple):
    """The batches of several optimiser steps.

    `StepModel.train_step` accepts one in place of a batch, and runs all its steps.
    """

    pixels: tf.Tensor
    """Bytes, uint8 `(steps, batch, height, width, channels)`."""
    count: tf.Tensor
    """How many of the steps to run, int64 `()`: the last element of an epoch may be padded."""
    labels: Any = ()
    """The class of each image, int64 `(steps, batch)`; an empty tuple, which a stream may hold, for none."""

    def batch(self, step: tf.Tensor) -> tf.Tensor:
        """The images of one step, float32 `(batch, height, width, channels)` in [0, 1]."""
        return _floats(self.pixels[step])

    def example(self, step: tf.Tensor) -> Example:
        """The images of one step, with their labels if there are any."""
        return Example(self.batch(step), None if isinstance(self.labels, tuple) else self.labels[step])


class Part(NamedTuple):
    """A replica's share of a batch that does not divide evenly among the replicas."""

    images: tf.Tensor
    """float32 `(share, height, width, channels)` in [0, 1]."""
    first: tf.Tensor
    """The index of the first of them in the batch, int32 `()`."""
    total: tf.Tensor
    """Number of images in the whole batch, int32 `()`."""
    label: Any = ()
    """The class of each of these images, int64 `(share,)`; an empty tuple for none."""

    def example(self) -> Example:
        """The images, with their labels if there are any."""
        return Example(self.images, None if isinstance(self.label, tuple) else self.label)


class Shares(NamedTuple):
    """Which shares of every batch a stream contains; by default the batch is one share."""

    num_shares: int = 1
    """The number of shares in a batch: the number of replicas."""
    own: range = range(1)
    """The indices of those in the stream, which are its elements in turn."""


WHOLE = Shares()


def steps(
    images: NDArray[np.uint8],
    batch_size: int,
    steps_per_call: int,
    shuffle_seed: int,
    binarize: bool = False,
    start: int = 0,
    labels: NDArray[np.int64] | None = None,
    shift: int = 0,
) -> tf.data.Dataset:
    """The batches of `batches` with the same arguments, `steps_per_call` of them in each element, as `Steps`.

    Every element has the same shapes, so that one compiled loop handles all of them: the last one of an epoch is padded
    beyond its `count`. The stream never ends, because if it did Keras would make a new iterator for each epoch, which
    must first draw an order and has nothing ready. So pass `fit` `steps_per_epoch`: `calls_per_epoch` of the same
    arguments.

    Args:
        images: uint8 `(num_images, height, width, channels)`.
        batch_size: images per optimiser step.
        steps_per_call: optimiser steps in one element.
        shuffle_seed: seed of the order, new in each epoch, and of the bits and the moves.
        binarize: draw each pixel as 0 or 1, with its intensity as the probability of 1.
        start: number of the step to begin with, counted from the first step of the first epoch; 0 by default.
        labels: the class of each image, int64 `(num_images,)`, for a conditional model.
        shift: the most pixels that an image is moved by, up, down, left or right, before it is binarised; 0, the
            default, for none.
    """
    gather, classes = _gatherer(images), _classes(labels)

    def make(chosen: tf.Tensor, seeds: tf.Tensor) -> Steps:
        count = tf.shape(chosen, tf.int64)[0]
        chosen, seeds = (tf.pad(rows, [[0, steps_per_call - count], [0, 0]]) for rows in (chosen, seeds))
        pixels = gather(chosen)
        if binarize or shift:
            pixels = tf.map_fn(
                lambda step: _drawn(step[0], step[1], batch_size, binarize, shift),
                (pixels, seeds),
                fn_output_signature=tf.uint8,
            )
        return Steps(tf.ensure_shape(pixels, [steps_per_call, batch_size, *images.shape[1:]]), count, classes(chosen))

    calls = _order(len(images), batch_size, shuffle_seed, start, steps_per_call)
    return untuned(calls.map(make, num_parallel_calls=PARALLEL_CALLS, deterministic=True).prefetch(2))


def calls_per_epoch(num_images: int, batch_size: int, steps_per_call: int) -> int:
    """The number of elements of `steps` in an epoch."""
    return math.ceil(num_images // batch_size / steps_per_call)


def batches(
    images: NDArray[np.uint8],
    batch_size: int,
    shuffle_seed: int | None = None,
    binarize: bool = False,
    start: int = 0,
    shares: Shares = WHOLE,
    labels: NDArray[np.int64] | None = None,
    shift: int = 0,
) -> tf.data.Dataset:
    """Batches float32 `(batch, height, width, channels)` in [0, 1] of uint8 images; with labels `(images, labels)`.

    Args:
        images: the images.
        batch_size: images per batch.
        shuffle_seed: with one, the stream never ends; each epoch has its own order, and images that do not fill a
            batch are left out of that epoch, so that all steps have the same shape. Without one, all images come
            once, in order.
        binarize: draw each pixel as 0 or 1, anew in each epoch, with its intensity as the probability of 1; requires
            a `shuffle_seed`.
        start: number of the step to begin with, as in `steps`; requires a `shuffle_seed`.
        shares: which shares of each batch are elements of the stream, one after the other; by default the batch is
            one share. With a `shuffle_seed`, all shares have the same size, so their number must divide `batch_size`.
            Without one, they are as even as possible, the elements are `Part`s, and the images repeat for ever, so
            pass `steps` to `evaluate`: at the end of a stream, Keras would make the replicas run one more, empty step.
        labels: the class of each image, int64 `(num_images,)`, for a conditional model.
        shift: the most pixels that an image is moved by, anew in each epoch, as in `steps`; requires a `shuffle_seed`.
    """
    gather, classes = _gatherer(images), _classes(labels)

    def element(found: tf.Tensor, chosen: tf.Tensor) -> Any:
        return found if labels is None else (found, classes(chosen))

    if shuffle_seed is None:
        order = tf.data.Dataset.range(len(images)).batch(batch_size)
        if shares.num_shares == 1:
            return untuned(
                order.map(lambda chosen: element(_floats(gather(chosen)), chosen), PARALLEL_CALLS).prefetch(2)
            )
        order = order.flat_map(lambda chosen: _parts(chosen, shares)).repeat()

        def part(chosen: tf.Tensor, first: tf.Tensor, total: tf.Tensor) -> Part:
            return Part(_floats(gather(chosen)), first, total, classes(chosen))

        return untuned(order.map(part, PARALLEL_CALLS).prefetch(2))
    share = batch_size // shares.num_shares

    def make(chosen: tf.Tensor, seed: tf.Tensor, number: tf.Tensor) -> Any:
        first = number * share
        chosen = chosen[first : first + share]
        grey = tf.ensure_shape(gather(chosen), [share, *images.shape[1:]])
        found = _floats(_drawn(grey, seed, batch_size, binarize, shift, first))
        return element(found, tf.ensure_shape(chosen, [share]))

    order = _order(len(images), batch_size, shuffle_seed, start)
    order = order.flat_map(lambda chosen, seed: _numbers(shares).map(lambda number: (chosen, seed, number)))
    return untuned(order.map(make, PARALLEL_CALLS, deterministic=True).prefetch(2))


def chosen_images(num_images: int, batch_size: int, shuffle_seed: int, step: int) -> NDArray[np.int64]:
    """The indices of the images in a step's batch, `(batch,)`; arguments as for `steps`, with `step` as its `start`."""
    epoch, step_in_epoch = divmod(step, num_images // batch_size)
    order: NDArray[np.int64] = _permutation(num_images, batch_size, shuffle_seed, tf.constant(epoch, tf.int64)).numpy()
    return order[step_in_epoch]


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same stream without tf.data's autotuning thread.

    When an iterator ends, tf.data waits for that thread, which sometimes misses the signal to stop and sleeps on:
    half a second for a young iterator, five or ten seconds for an old one.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def _floats(pixels: tf.Tensor) -> tf.Tensor:
    return tf.cast(pixels, tf.float32) / 255.0


def _gatherer(images: NDArray[np.uint8]) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from indices of any shape to the bytes of these images."""
    if isinstance(images, np.memmap):
        # Images on disk stay there: TensorFlow would copy them into a constant, in memory.
        def read(chosen: tf.Tensor) -> tf.Tensor:
            pixels = tf.numpy_function(images.__getitem__, [chosen], tf.uint8, stateful=False)
            return tf.ensure_shape(pixels, [*chosen.shape, *images.shape[1:]])

        return read
    pixels = tf.constant(images)
    return lambda chosen: tf.gather(pixels, chosen)


def _classes(labels: NDArray[np.int64] | None) -> Callable[[tf.Tensor], Any]:
    """A function from indices of any shape to the labels of these images; to an empty tuple if there are none."""
    if labels is None:
        return lambda chosen: ()
    if np.asarray(labels).dtype.kind not in "iu":  # TensorFlow would make 0 of 0.5
        raise KvaeError(f"labels must be integers, one for each image; got {np.asarray(labels).dtype}.")
    known = tf.constant(labels, tf.int64)
    return lambda chosen: tf.gather(known, chosen)


def _drawn(
    grey: tf.Tensor, seed: tf.Tensor, batch_size: int, binarize: bool, shift: int, first: tf.Tensor | int = 0
) -> tf.Tensor:
    """Grey bytes as they are trained on: moved, then binarised; arguments as for `_bits`."""
    moved = shifted(grey, shift, seed, batch_size, first) if shift else grey
    return _bits(moved, seed, batch_size, first) if binarize else moved


def _bits(grey: tf.Tensor, seed: tf.Tensor, batch_size: int, first: tf.Tensor | int = 0) -> tf.Tensor:
    """Grey bytes as 0 or 255; a pixel's probability is off by at most 2^-16, and black and white stay as they are.

    Sixteen random bits per pixel take half as long as TensorFlow's uniform floats. They are drawn here in the data
    pipeline, not in the step: on a CPU, XLA's code for TensorFlow's generator would take half as long as the step.
    They are drawn for the whole batch; `grey` may be only the part of it that begins with image number `first`.
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
    """For each of the stream's shares: its indices from the batch, the position of the first, and the batch's size."""
    total = tf.shape(chosen, tf.int64)[0]

    def part(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        first, end = number * total // shares.num_shares, (number + 1) * total // shares.num_shares
        return chosen[first:end], tf.cast(first, tf.int32), tf.cast(total, tf.int32)

    return _numbers(shares).map(part)


def _order(
    num_images: int, batch_size: int, shuffle_seed: int, start: int, steps_per_call: int | None = None
) -> tf.data.Dataset:
    """The steps from number `start` on, without end: indices of images, int64 `(batch,)`, and a seed, int64 `(2,)`.

    With `steps_per_call`, each element holds that many steps of one epoch, or the rest of the epoch if fewer remain.
    """
    per_epoch = num_images // batch_size
    first_epoch, first_step = divmod(start, per_epoch)

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        # One permutation per epoch: shuffling a stream of indices took a tenth as long as the training steps.
        chosen = _permutation(num_images, batch_size, shuffle_seed, epoch)
        numbers = epoch * per_epoch + tf.range(per_epoch, dtype=tf.int64)
        seeds = tf.stack([tf.fill([per_epoch], tf.constant(shuffle_seed, tf.int64)), numbers], axis=1)
        begin = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
        steps = tf.data.Dataset.from_tensor_slices((chosen[begin:], seeds[begin:]))
        return steps if steps_per_call is None else steps.batch(steps_per_call)

    return tf.data.Dataset.range(first_epoch, sys.maxsize).flat_map(of_epoch)


def _permutation(num_images: int, batch_size: int, shuffle_seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """The indices of all full batches of an epoch, int64 `(steps, batch)`."""
    steps = num_images // batch_size
    seed = tf.stack([tf.constant(shuffle_seed + BEYOND_SEEDS, tf.int64), epoch])
    shuffled = tf.random.experimental.stateless_shuffle(tf.range(num_images, dtype=tf.int64), seed)
    return tf.reshape(shuffled[: steps * batch_size], [steps, batch_size])
