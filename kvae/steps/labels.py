"""The labels that go into a conditional model: class numbers, checked wherever Keras takes them, like the images.

A label is an integer from 0 to num_labels - 1. A batch of them is `(batch,)` or `(batch, 1)`, of integers or whole
floats, or of bools if there are two classes, False and True; or one-hot `(batch, num_labels)`: what `kvae.data.labels`
reads in files, but for texts.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.steps import inputs

ROWS = 2**16
"""Labels of an array that are checked at a time."""
_FINE = (0, 0, 0)
"""The record of labels while all are classes: least, largest, and whether one was not a whole number or not one-hot."""


def missing(num_labels: int) -> KvaeError:
    """The error for images without labels."""
    return KvaeError(
        f"this model is conditional, and needs the label of each image, an integer from 0 to {num_labels - 1}: "
        f"fit(images, labels), or a stream of (images, labels)."
    )


def tensor(labels: Any, num_labels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """A batch's labels as int64 `(batch,)`, and whether each is a whole number or a one-hot row; see `seen`.

    Raises:
        KvaeError: there are none, or they are no numbers, or have another shape.
    """
    if labels is None:
        raise missing(num_labels)
    try:
        found = tf.convert_to_tensor(labels)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise KvaeError(
            f"labels must be one array of integers; got a {type(labels).__name__} ({printable(error)})."
        ) from None
    _check_kind(found.dtype, tuple(found.shape) if found.shape.rank is not None else None, num_labels)
    if found.shape.rank is None:  # Keras forgets it of labels that were (batch,) before and are (batch, 1) now
        rows = tf.reshape(found, [tf.shape(found)[0], -1])
        hot, numbers = _of_one_hot(rows), _of_numbers(rows)
        is_hot = tf.shape(rows)[1] > 1
        return tf.where(is_hot, hot[0], numbers[0]), tf.where(is_hot, hot[1], numbers[1])
    return _of_one_hot(found) if found.shape.rank == 2 and found.shape[1] != 1 else _of_numbers(found)


def _of_one_hot(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    numbers = tf.cast(rows, tf.float32)
    are_bits = tf.reduce_all((numbers == 0) | (numbers == 1))
    return tf.argmax(numbers, axis=1), are_bits & tf.reduce_all(tf.reduce_sum(numbers, axis=1) == 1)


def _of_numbers(found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    found = found[:, 0] if found.shape.rank == 2 else found
    label = tf.cast(found, tf.int64)
    return label, tf.reduce_all(tf.cast(label, found.dtype) == found)


def checked(labels: Any, num_labels: int, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The images, and their labels int64 `(batch,)`, for a call by a user.

    Labels that are no classes are refused, at once if their values are known, else when the graph runs; because XLA
    drops assertions, the images then become NaN, too.
    """
    label, whole = tensor(labels, num_labels)
    check_count(images, label)
    fine = whole & in_range(label, num_labels)
    if hasattr(fine, "numpy") and not tf.is_symbolic_tensor(fine):
        if not bool(fine):
            raise about(int(tf.reduce_min(label)), int(tf.reduce_max(label)), not bool(whole), num_labels)
        return images, label
    tf.debugging.Assert(fine, [f"labels must be integers from 0 to {num_labels - 1}; got", label])
    return inputs.or_nan(images, fine), label


def check_array(labels: Any, num_labels: int, images: Any) -> None:
    """Raise KvaeError unless all of an array are classes, before any is used; streams are left to `tensor`."""
    if not hasattr(labels, "shape") and not isinstance(labels, (list, tuple)):
        return
    found = np.asarray(labels)
    _check_kind(tf.as_dtype(found.dtype) if found.dtype.kind not in "US" else tf.string, found.shape, num_labels)
    check_count(images, found)
    for first in range(0, len(found), ROWS):
        label, whole = tensor(found[first : first + ROWS], num_labels)
        if not bool(whole & in_range(label, num_labels)):
            raise about(int(tf.reduce_min(label)), int(tf.reduce_max(label)), not bool(whole), num_labels)


def check_count(images: Any, labels: Any) -> None:
    """Raise KvaeError if there are known to be more or fewer labels than images."""
    counts = [getattr(each, "shape", (None,))[0] for each in (images, labels)]
    if None not in counts and counts[0] != counts[1]:
        raise KvaeError(f"each image has one label; got {counts[1]} labels for {counts[0]} images.")


def in_range(label: tf.Tensor, num_labels: int) -> tf.Tensor:
    """Whether all labels are classes, a boolean scalar."""
    return tf.reduce_all((label >= 0) & (label < num_labels))


def about(lowest: int, highest: int, odd: bool, num_labels: int) -> KvaeError:
    """The error for labels that are no classes."""
    wanted = f"labels must be integers from 0 to {num_labels - 1}, or one-hot rows of {num_labels}"
    if odd:
        return KvaeError(f"{wanted}; got some that are not whole numbers, or not one-hot.")
    repair = "np.unique(labels, return_inverse=True)[1] numbers the classes from 0."
    return KvaeError(f"{wanted}; got numbers from {lowest} to {highest}. {repair}")


def _check_kind(dtype: tf.DType, shape: tuple[int | None, ...] | None, num_labels: int) -> None:
    if dtype == tf.string:
        raise KvaeError(
            f"labels must be integers from 0 to {num_labels - 1}; got texts. np.unique(labels, return_inverse=True)[1] "
            f"numbers the classes from 0."
        )
    fits = shape is None or len(shape) == 1 or len(shape) == 2 and shape[1] in (1, num_labels)
    if not fits or not (dtype.is_integer or dtype.is_floating or dtype.is_bool):
        seen = ", ".join("n" if size is None else str(size) for size in shape or ())
        raise KvaeError(
            f"labels must be integers (batch,), or one-hot (batch, {num_labels}); got {dtype.name} of shape ({seen})."
        )
    if dtype.is_bool and shape is not None and not (len(shape) == 2 and shape[1] != 1) and num_labels != 2:
        raise KvaeError(
            f"labels must be integers from 0 to {num_labels - 1}; got bools, which are two classes, False and True, of "
            f"this model's {num_labels}."
        )


class LabelRecord:
    """A record, kept inside the compiled step, of labels that were refused: it works where XLA drops assertions."""

    def __init__(self) -> None:
        self._seen = tf.Variable(_FINE, dtype=tf.int64, trainable=False, aggregation=tf.VariableAggregation.NONE)

    def noted(self, images: tf.Tensor, labels: Any, num_labels: int) -> tuple[tf.Tensor, tf.Tensor]:
        """The images, and their labels int64 `(batch,)`.

        If a label is no class, the images become NaN, so that no step is made on them, and the record is changed.
        """
        if tf.executing_eagerly():
            return checked(labels, num_labels, images)
        label, whole = tensor(labels, num_labels)
        check_count(images, label)
        fine = whole & in_range(label, num_labels)
        seen = self._seen.value()
        now = tf.stack(
            [
                tf.minimum(seen[0], tf.reduce_min(label)),
                tf.maximum(seen[1], tf.reduce_max(label)),
                tf.maximum(seen[2], tf.cast(~whole, tf.int64)),
            ]
        )
        self._seen.assign(tf.where(fine, seen, now))
        return inputs.or_nan(images, fine), label

    def check(self, strategy: tf.distribute.Strategy, num_labels: int) -> None:
        """Raise KvaeError, and forget, if a replica has refused labels since the last check."""
        for own in strategy.experimental_local_results(self._seen):
            lowest, highest, odd = map(int, own.numpy())
            if odd or lowest < 0 or highest >= num_labels:
                own.assign(_FINE)
                raise about(lowest, highest, bool(odd), num_labels)
