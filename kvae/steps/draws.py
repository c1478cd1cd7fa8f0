"""All the randomness of a step, as a value: a step's draws depend on nothing else, such as a process's generator."""

from typing import Any, NamedTuple

import tensorflow as tf

from kvae.errors import KvaeError
from kvae.files.text import printable


class Rows(NamedTuple):
    """Which rows of a batch are held: the share of a replica, or the images of a part of a step."""

    first: tf.Tensor | int
    """The index of the first row."""
    total: tf.Tensor | int
    """Number of rows in the whole batch."""

    def skip(self, count: tf.Tensor | int) -> "Rows":
        """The rows after the next `count`."""
        return Rows(self.first + count, self.total)


class Draws(NamedTuple):
    """The random numbers for a step's images: image i's depend only on the seed and i, however a batch is split."""

    seed: tf.Tensor
    """int32 `(2,)`."""
    rows: Rows
    """Which images of the step's batch the numbers are for."""
    algorithm: str = "philox"
    """TensorFlow's generator. Its default, Philox, takes a fifth of the dense network's step when XLA compiles it for
    a CPU; "threefry", which only XLA has, takes next to nothing."""

    @classmethod
    def of(cls, seed: Any, count: tf.Tensor | int) -> "Draws":
        """The draws for a batch of `count` images, from a seed of two integers; `Draws` are returned as they are.

        Raises:
            KvaeError: the seed is not two integers within int32.
        """
        return seed if isinstance(seed, cls) else cls(_seed(seed), Rows(0, count))

    def skip(self, count: tf.Tensor | int) -> "Draws":
        """The draws for the images after the next `count`."""
        return self._replace(rows=self.rows.skip(count))

    def normal(self, num_draws: int, count: tf.Tensor | int, size: int, dtype: Any = tf.float32) -> tf.Tensor:
        """Standard normal noise `(num_draws, count, size)` for `count` images; draw 0 is the same for any num_draws."""
        first = self._normal(self.seed, count, size, dtype)[None]
        if num_draws == 1:
            return first
        further = [self._normal(self.folded(draw), count, size, dtype)[None] for draw in range(1, num_draws)]
        return tf.concat([first, *further], axis=0)

    def _normal(self, seed: tf.Tensor, count: tf.Tensor | int, size: int, dtype: Any) -> tf.Tensor:
        noise = tf.random.stateless_normal([self.rows.total, size], seed, dtype=dtype, alg=self.algorithm)
        # XLA does not accept noise[first:...] with a variable `first`.
        return tf.slice(noise, [self.rows.first, 0], [count, size])

    def folded(self, number: tf.Tensor | int) -> tf.Tensor:
        """A new seed, derived from this one and a number."""
        return tf.random.experimental.stateless_fold_in(self.seed, number)


def _seed(given: Any) -> tf.Tensor:
    """A seed as int32 `(2,)`; KvaeError if it is none."""
    try:
        found = tf.convert_to_tensor(given)
        fits = found.dtype.is_integer and found.shape.is_compatible_with([2])
    except (TypeError, ValueError, OverflowError):
        fits = False
    if fits and found.dtype != tf.int32 and not tf.is_symbolic_tensor(found):
        fits = bool(tf.reduce_all(tf.cast(tf.cast(found, tf.int32), found.dtype) == found))
    if not fits:
        raise KvaeError(
            f"a seed of draws must be two integers within int32, for example (0, 1); got {printable(repr(given), 80)}."
        )
    return tf.cast(found, tf.int32)
