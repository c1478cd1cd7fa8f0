"""Which of some images are odd, read from a user's file: one word or number for each image, in their order."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvae.data import labels
from kvae.data.split_names import LABEL_NAMES
from kvae.errors import DataError
from kvae.files import arrays, regular
from kvae.files.text import printable

ODD = {"1": True, "true": True, "odd": True, "0": False, "false": False, "normal": False}
"""What a label may be, in lower case."""
COLUMN = "odd"
"""The column of a .csv with several that holds the labels, as `kvae score` writes it."""
SUFFIXES = (".csv", ".txt", *arrays.SUFFIXES)
MAX_BYTES = 2**30
"""Maximum size of a text with labels."""


def read(path: Path, count: int) -> NDArray[np.bool_]:
    """Whether each of `count` images is odd, `(count,)`, those that will be skipped included.

    Args:
        path: a .npy, or an .npz with an array named `labels` (or `label`, `y`, ...), of integers, bools or texts; or a
            .csv or .txt with a label in each line, or with several columns of which one is named `COLUMN`. The labels
            are the keys of `ODD`.
        count: the number of images.

    Raises:
        DataError: the file cannot be read, holds another number of labels, a label that is none of `ODD`, or only one
            kind.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: labels are read from {', '.join(SUFFIXES)}.")
    if suffix in arrays.SUFFIXES:
        found = list(map(str, labels.read(str(path), arrays.open_array(path, LABEL_NAMES), count)))
    else:
        found = _column(path, count)
        if len(found) != count:
            raise DataError(f"{path} holds {len(found):,} labels for {count:,} images.")
    unknown = next((row for row, label in enumerate(found) if label.strip().lower() not in ODD), None)
    if unknown is not None:
        raise DataError(
            f"{path}: label {unknown:,} is '{printable(found[unknown], 40)}'; expected one of {', '.join(ODD)}."
        )
    odd = np.array([ODD[label.strip().lower()] for label in found])
    if odd.all() or not odd.any():
        what = "odd" if odd.all() else "normal"
        raise DataError(f"{path} labels all {count:,} images {what}; detection needs odd and normal images.")
    return odd


def _column(path: Path, count: int) -> list[str]:
    """The cells of a text's one column, or of its column `COLUMN`, without the column's name."""
    try:
        regular.check(path)
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is larger than {MAX_BYTES:,} bytes, which no list of labels needs.")
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            rows = [row for row in csv.reader(file) if row]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (csv.Error, ValueError) as error:
        raise DataError(f"{path} is not a text with labels: {printable(error)}.") from None
    if any(len(row) != len(rows[0]) for row in rows):
        raise DataError(f"{path}: its lines have different numbers of columns.")
    if rows and len(rows[0]) > 1:
        names = [name.strip().lower() for name in rows[0]]
        if COLUMN not in names:
            raise DataError(f"{path} has several columns, but none is named '{COLUMN}' in its first line.")
        return [row[names.index(COLUMN)] for row in rows[1:]]
    cells = [row[0] for row in rows]
    return cells[1:] if len(cells) == count + 1 else cells  # the column may have a name
