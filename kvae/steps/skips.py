"""A record, kept inside the compiled step, of the training steps that were skipped."""

import tensorflow as tf

MAX_RECORDED = 128
"""Skipped steps whose number and seed are kept until they are read: more than the steps in one call from `fit`."""


class SkipRecord:
    """A count of skipped steps, and a ring buffer of the last `MAX_RECORDED`: number and seed of each."""

    def __init__(self) -> None:
        self.count = counter()
        """The number of skipped steps, int64 `()`."""
        self._rows = counter([MAX_RECORDED, 3])

    def record(self, number: tf.Tensor, seed: tf.Tensor, skipped: tf.Tensor) -> None:
        """Record a step: if it was not `skipped` (0 rather than 1), the next one overwrites its row."""
        row = tf.concat([number[None], tf.cast(seed, tf.int64)], axis=0)
        self._rows.assign(tf.tensor_scatter_nd_update(self._rows, [[self.count % MAX_RECORDED]], row[None]))
        self.count.assign_add(skipped)

    def since(self, count: int) -> list[tuple[int, list[int]]]:
        """The number and seed of each skipped step after the first `count`.

        To repeat one of a VAE, call its `terms(images, Draws.of(seed, len(images)))`; only the last `MAX_RECORDED`
        are known.
        """
        last = int(self.count.numpy())
        rows = self._rows.numpy()
        known = (rows[index % MAX_RECORDED] for index in range(max(count, last - MAX_RECORDED), last))
        return [(int(row[0]), [int(word) for word in row[1:]]) for row in known]


def counter(shape: tuple[int, ...] | list[int] = ()) -> tf.Variable:
    """An int64 variable of zeros that Keras does not treat as a weight, and of which each replica has its own."""
    return tf.Variable(tf.zeros(shape, tf.int64), trainable=False, aggregation=tf.VariableAggregation.NONE)


def is_finite(values: tf.Tensor) -> tf.Tensor:
    """Whether all values, and their sums over the first axis, are finite."""
    # XLA sums over one axis in a fifth of the time that it takes to check each value and combine the results.
    sums = tf.reduce_sum(values, axis=0) if values.shape.rank else values
    return tf.reduce_all(tf.math.is_finite(sums))
