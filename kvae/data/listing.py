"""What stands under a path: one rule, for training and every other verb, of what is a picture, an array or a record."""

import re
from collections.abc import Iterator
from pathlib import Path

from kvae.errors import DataError
from kvae.files import arrays
from kvae.files.folders import files_under
from kvae.files.text import shown

PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
"""The files of a folder that count as pictures. A file that is named by itself may have any name."""
_RECORDS = re.compile(r".*\.tfrecords?(-\d+-of-\d+)?(\.gz)?", re.DOTALL)
FOLDER, ARRAY, IDX, RECORDS, PICTURE = "folder", "array", "idx", "records", "picture"


def kind_of(path: Path) -> str:
    """Whether a path is a `FOLDER`, or by its name an `ARRAY`, `IDX` file, `RECORDS`, or else a `PICTURE`.

    Raises:
        DataError: there is nothing, or a pipe or a device, for which one would wait forever.
    """
    try:
        if path.is_dir():
            return FOLDER
        path.stat()
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    if not path.is_file():
        raise DataError(f"{shown(str(path))} is not a regular file.")
    name = path.name.lower()
    if is_records(name):
        return RECORDS
    if path.suffix.lower() in arrays.SUFFIXES:
        return ARRAY
    return IDX if name.endswith((".gz", ".idx")) or "-ubyte" in name else PICTURE


def is_records(name: str) -> bool:
    """Whether a file called so is one of TFRecords: `x.tfrecord`, `x.tfrecords`, `x.tfrecord-00000-of-00010`, gz."""
    return _RECORDS.fullmatch(name) is not None


def is_picture(name: str) -> bool:
    """Whether a file of a folder counts as a picture, by its name."""
    return name.lower().endswith(PICTURE_SUFFIXES)


def names_under(folder: Path) -> Iterator[str]:
    """The files under a folder in the order of their names, from there: no hidden ones, linked folders followed once.

    Raises:
        DataError: one of the folders cannot be read.
    """
    yield from sorted(files_under(folder))
