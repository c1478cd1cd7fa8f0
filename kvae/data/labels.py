"""The labels in an array: one integer or text for each image, however they were stored."""

import sys

import numpy as np
from numpy.typing import NDArray

from kvae.errors import DataError
from kvae.files import arrays
from kvae.files.text import shown

MAX_LABEL_BYTES = 1024
"""Maximum size of a label in bytes, or of a row of a one-hot array in numbers."""
CHUNK_BYTES = 2**22
"""Bytes of labels that are read at a time."""
Label = str | int


def read(name: str, labels: arrays.Rows, count: int) -> list[Label]:
    """The label of each image.

    Args:
        name: the file, for messages.
        labels: `(n,)` or `(n, 1)` integers, whole floats, texts, or bools, which are the classes False and True; or a
            one-hot array `(n, k)`.
        count: n, the number of images.

    Raises:
        DataError: there are more or fewer labels than images, or they are something else, such as numbers to regress
            on or several labels for one image.
    """
    shape, kind = labels.shape, labels.dtype.kind
    if shape[0] != count:
        raise DataError(f"{name} holds {shape[0]:,} labels for {count:,} images.")
    width = shape[1] if len(shape) == 2 else 1
    row = labels.dtype.itemsize * width
    fits = width <= MAX_LABEL_BYTES and (kind not in "US" or labels.dtype.itemsize <= MAX_LABEL_BYTES)
    if len(shape) > 2 or kind not in "biufUS" or not fits or (width > 1 and kind in "US"):
        raise DataError(
            f"{name} holds labels of type {labels.dtype} and shape {shape}; expected an integer or a text for each of "
            f"its {count:,} images, or a one-hot array."
        )
    found: list[Label] = []
    for rows in labels.rows(max(1, CHUNK_BYTES // row)):
        if width > 1:
            rows = _classes(name, rows, len(found))
        found += _labels(name, rows.reshape(len(rows)), len(found))
    return found


def _classes(name: str, rows: NDArray[np.generic], before: int) -> NDArray[np.intp]:
    wrong = np.flatnonzero((rows != 0).sum(axis=1) != 1) if _are_bits(rows) else np.arange(1)
    if len(wrong):
        index = int(wrong[0])
        raise DataError(
            f"{name} holds labels of shape (n, {rows.shape[1]}) that are not one-hot (label {before + index} is "
            f"{shown(str(rows[index].tolist()[:8]))}); kvae takes one label for each image."
        )
    return np.argmax(rows != 0, axis=1)


def _are_bits(rows: NDArray[np.generic]) -> bool:
    return bool(((rows == 0) | (rows == 1)).all())


def _labels(name: str, values: NDArray[np.generic], before: int) -> list[Label]:
    kind = values.dtype.kind
    if kind == "f":
        wrong = np.flatnonzero(~np.isfinite(values) | (values != np.rint(values)))
        if len(wrong):
            index = int(wrong[0])
            raise DataError(
                f"{name} holds {values.dtype} labels that are not whole numbers (label {before + index} is "
                f"{values[index]}); kvae takes classes, as integers or texts."
            )
    if kind == "U":
        # numpy does not check them, and Python fails on what is beyond the last character.
        if values.view(f"{values.dtype.str[0]}u4").max() > sys.maxunicode:
            raise DataError(f"{name} holds labels that are not text.")
        return [shown(label) for label in values.tolist()]
    if kind == "S":
        return [shown(label.decode("utf-8", "replace")) for label in values.tolist()]
    if kind == "b":
        return [str(label) for label in values.tolist()]  # not 0 and 1, which a model of other classes would take
    return [int(label) for label in values.tolist()]
