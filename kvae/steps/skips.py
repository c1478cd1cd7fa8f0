"""Which steps of a training were skipped, recorded inside the compiled step."""

import tensorflow as tf

MAX_RECORDED = 128
"""Skipped steps whose number and seed are kept until they are read: more than one call of `fit` makes."""


class SkipRecord:
    """A count of skipped steps, and a ring of the last `MAX_RECORDED` ones: number and seed of each."""

    def __init__(self) -> None:
        self.count = counter()
        """How many there were, int64 `()`."""
        self._rows = counter([MAX_RECORDED, 3])

    def record(self, number: tf.Tensor, seed: tf.Tensor, skipped: tf.Tensor) -> None:
        """Write a step down: if it was not `skipped` (1, or else 0) the next one overwrites its row."""
        row = tf.concat([number[None], tf.cast(seed, tf.int64)], axis=0)
        self._rows.assign(tf.tensor_scatter_nd_update(self._rows, [[self.count % MAX_RECORDED]], row[None]))
        self.count.assign_add(skipped)

    def since(self, count: int) -> list[tuple[int, list[int]]]:
        """The number and the seed of each step that was skipped after the first `count` ones.

        A VAE repeats one by `terms(images, Draws.of(seed, len(images)))`; only the last `MAX_RECORDED` are known.
        """
        last = int(self.count.numpy())
        rows = self._rows.numpy()
        known = (rows[index % MAX_RECORDED] for index in range(max(count, last - MAX_RECORDED), last))
        return [(int(row[0]), [int(word) for word in row[1:]]) for row in known]


def counter(shape: tuple[int, ...] | list[int] = ()) -> tf.Variable:
    """A variable of zeros, int64, that Keras does not take for a weight, and of which each replica has its own."""
    return tf.Variable(tf.zeros(shape, tf.int64), trainable=False, aggregation=tf.VariableAggregation.NONE)


def is_finite(values: tf.Tensor) -> tf.Tensor:
    """Whether all values, and their sums over the first axis, are finite."""
    # XLA sums over one axis in a fifth of the time that it takes to ask each value and to bring the answers together.
    sums = tf.reduce_sum(values, axis=0) if values.shape.rank else values
    return tf.reduce_all(tf.math.is_finite(sums))
