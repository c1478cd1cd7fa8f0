"""All randomness of a step, as a value: what a step draws depends on nothing else, and on no generator of a process."""

from typing import Any, NamedTuple

import tensorflow as tf


class Rows(NamedTuple):
    """Which rows of a batch somebody holds: a replica its share, a part of a step its images."""

    first: tf.Tensor | int
    """The first one's number."""
    total: tf.Tensor | int
    """Rows of the whole batch."""

    def skip(self, count: tf.Tensor | int) -> "Rows":
        """The rows that follow the next `count` ones."""
        return Rows(self.first + count, self.total)


class Draws(NamedTuple):
    """The random numbers of the images of a step: image i's depend on the seed and on i, whoever holds the others."""

    seed: tf.Tensor
    """int32 `(2,)`."""
    rows: Rows
    """Which images of the step's batch they are for."""
    algorithm: str = "philox"
    """TensorFlow's generator. Its default, Philox, becomes code for a CPU that takes a fifth of the dense network's
    step if XLA compiles it; "threefry", which XLA alone has, takes next to nothing."""

    @classmethod
    def of(cls, seed: Any, count: tf.Tensor | int) -> "Draws":
        """Those of a batch of `count` images, from a seed, two integers; `Draws` as they are."""
        if isinstance(seed, cls):
            return seed
        return cls(tf.convert_to_tensor(seed, tf.int32), Rows(0, count))

    def skip(self, count: tf.Tensor | int) -> "Draws":
        """Those of the images that follow the next `count` ones."""
        return self._replace(rows=self.rows.skip(count))

    def normal(self, num_draws: int, count: tf.Tensor | int, size: int, dtype: Any = tf.float32) -> tf.Tensor:
        """Standard normal noise `(num_draws, count, size)` for `count` images; draw 0 is the same for any number."""
        first = self._normal(self.seed, count, size, dtype)[None]
        if num_draws == 1:
            return first
        further = [self._normal(self.folded(draw), count, size, dtype)[None] for draw in range(1, num_draws)]
        return tf.concat([first, *further], axis=0)

    def _normal(self, seed: tf.Tensor, count: tf.Tensor | int, size: int, dtype: Any) -> tf.Tensor:
        noise = tf.random.stateless_normal([self.rows.total, size], seed, dtype=dtype, alg=self.algorithm)
        # XLA takes no noise[first:...] of a variable `first`.
        return tf.slice(noise, [self.rows.first, 0], [count, size])

    def folded(self, number: tf.Tensor | int) -> tf.Tensor:
        """Another seed, a function of this one and a number."""
        return tf.random.experimental.stateless_fold_in(self.seed, number)
