"""Augmentation by a few pixels: each training image is moved, anew in each epoch, by a whole number of pixels.

What moves out is lost, and the border's pixels are repeated where nothing moves in: the background goes on, be it black
or a photograph's sky, and so does an object that the border cuts.
"""

import tensorflow as tf

BEYOND_ORDERS = 2**33
"""Separates the random numbers of the moves from those of the bits, and of the order; see `kvae.steps.batches`."""


def shifted(images: tf.Tensor, pixels: int, seed: tf.Tensor, batch_size: int, first: tf.Tensor | int = 0) -> tf.Tensor:
    """Images moved down and right by -pixels, ..., pixels, each as likely, both ways independently for each image.

    The moves are drawn for the whole batch; `images` may be only the part of it that begins with image number `first`.

    Args:
        images: of any type, `(n, height, width, channels)`; all but n must be known.
        pixels: the longest move, less than height and width.
        seed: int64 `(2,)`; the moves are a function of it alone.
        batch_size: images in the whole batch.
        first: int `()`.

    Returns:
        Images of the same shape and type.
    """
    moves = tf.random.stateless_uniform(
        [batch_size, 2], seed + tf.constant([BEYOND_ORDERS, 0], seed.dtype), -pixels, pixels + 1, tf.int32
    )[first:][: tf.shape(images)[0]]
    moved = _down(images, moves[:, :1])
    # Rows are copied whole; columns, pixel by pixel, take twice as long as turning the image twice.
    turned = _down(tf.transpose(moved, [0, 2, 1, 3]), moves[:, 1:])
    return tf.transpose(turned, [0, 2, 1, 3])


def _down(images: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Images `(n, height, width, channels)` moved down by `moves`, int32 `(n, 1)`."""
    height = images.shape[1]
    rows = tf.clip_by_value(tf.range(height) - moves, 0, height - 1)  # (n, height): where each row comes from
    return tf.ensure_shape(tf.gather(images, rows, batch_dims=1), images.shape)
