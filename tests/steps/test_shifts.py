"""Images moved by a few pixels: against numpy by hand, each move as likely, by the seed and the step alone."""

import numpy as np
import pytest
import tensorflow as tf

from kvae.steps import batches, shifts


def moved(image, down, right):
    """An image of bytes, moved by hand: padded with its border, and cut out."""
    margin = max(abs(down), abs(right))
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    height, width, _ = image.shape
    return padded[margin - down : margin - down + height, margin - right : margin - right + width]


def moves_of(found, images, pixels):
    """The move of each image, `(n, 2)`: the only one by at most so many pixels that gives what was found."""
    every = [(down, right) for down in range(-pixels, pixels + 1) for right in range(-pixels, pixels + 1)]
    fitting = [
        [move for move in every if np.array_equal(moved(image, *move), one)]
        for one, image in zip(found, images, strict=True)
    ]
    assert all(len(moves) == 1 for moves in fitting)
    return np.array(fitting)[:, 0]


def random_images(count, *shape):
    return np.random.default_rng(1).integers(0, 256, (count, *shape), dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "pixels"), [((8, 8, 1), 1), ((5, 9, 3), 2), ((9, 5, 2), 4), ((2, 3, 1), 1)], ids=lambda value: str(value)
)
def test_each_image_is_moved_and_its_border_repeated(shape, pixels):
    images = random_images(60, *shape)
    found = shifts.shifted(tf.constant(images), pixels, tf.constant([3, 4], tf.int64), 60)
    assert found.dtype == tf.uint8 and found.shape == images.shape
    moves = moves_of(found.numpy(), images, pixels)
    assert moves.min() == -pixels and moves.max() == pixels


def test_all_moves_are_as_likely_and_the_two_directions_independent():
    """7,500 images, 25 moves: the chi-squared statistic of 24 degrees of freedom is below its 99.99 % quantile, 59."""
    images = np.broadcast_to(np.arange(25, dtype=np.uint8).reshape(5, 5, 1), (7500, 5, 5, 1))
    found = shifts.shifted(tf.constant(images), 2, tf.constant([0, 0], tf.int64), len(images))
    counts = np.bincount(found.numpy()[:, 2, 2, 0], minlength=25)  # where the pixel in the middle came from
    assert counts.size == 25 and np.sum((counts - 300) ** 2 / 300) < 59


def test_a_part_of_a_batch_is_moved_as_in_the_batch():
    images = tf.constant(random_images(12, 6, 6, 1))
    seed = tf.constant([5, 6], tf.int64)
    whole = shifts.shifted(images, 2, seed, 12).numpy()
    for first, end in ((0, 5), (5, 12), (3, 4)):
        part = shifts.shifted(images[first:end], 2, seed, 12, tf.constant(first))
        np.testing.assert_array_equal(part, whole[first:end])
    assert not np.array_equal(shifts.shifted(images, 2, seed + 1, 12), whole)


@pytest.mark.parametrize("binarize", [False, True])
def test_an_epoch_has_every_image_moved_anew(binarize):
    """Black and white images, which binarising leaves alone; the order is that of images that are not moved."""
    images = 255 * (random_images(40, 7, 7, 1) // 128)
    still = batches.batches(images, 8, shuffle_seed=2)
    stream = batches.batches(images, 8, shuffle_seed=2, binarize=binarize, shift=1)
    epochs = []
    for number in range(2):
        plain, found = (
            np.concatenate([255 * batch.numpy().astype(np.uint8) for batch in each.skip(5 * number).take(5)])
            for each in (still, stream)
        )
        order = np.concatenate([batches.chosen_images(40, 8, 2, step) for step in range(5 * number, 5 * number + 5)])
        np.testing.assert_array_equal(plain, images[order])
        moves = np.empty((40, 2), int)
        moves[order] = moves_of(found, plain, 1)
        epochs.append(moves)
    assert not np.array_equal(*epochs)


def test_moves_are_drawn_before_bits_and_from_words_of_their_own():
    """The bits are those of the moved images, with the very words that they have without a move."""
    images = random_images(8, 6, 6, 1)
    chosen = batches.chosen_images(8, 8, 3, 0)
    seed = tf.constant([3, 0], tf.int64)
    grey = shifts.shifted(tf.constant(images[chosen]), 1, seed, 8).numpy().astype(np.uint16)
    words = tf.random.stateless_uniform([4 * 36], seed, minval=None, maxval=None, dtype=tf.uint32).numpy()
    draws = words.view(np.uint16).reshape(grey.shape)
    (found,) = batches.batches(images, 8, shuffle_seed=3, binarize=True, shift=1).take(1)
    np.testing.assert_array_equal(found, (draws < 257 * grey) | (grey == 255))


@pytest.mark.parametrize("binarize", [False, True])
def test_without_a_shift_nothing_is_moved(binarize):
    images = random_images(20, 4, 4, 1)
    streams = (batches.batches(images, 5, shuffle_seed=1, binarize=binarize, **shift) for shift in ({}, {"shift": 0}))
    for one, other in zip(*(stream.take(8) for stream in streams), strict=True):
        np.testing.assert_array_equal(one, other)
