"""What a path is: one rule, for training and every other verb, for what is a picture, an array or a record."""

import re
from collections.abc import Iterator
from pathlib import Path

from kvae.errors import DataError
from kvae.files import arrays, regular
from kvae.files.folders import files_under
from kvae.files.text import shown

PICTURE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
"""Suffixes of the files in a folder that count as pictures. A file that the user names itself may have any name."""
_RECORDS = re.compile(r".*\.tfrecords?(-\d+-of-\d+)?(\.gz)?", re.DOTALL)
FOLDER, ARRAY, IDX, RECORDS, PICTURE = "folder", "array", "idx", "records", "picture"


def kind_of(path: Path) -> str:
    """Whether a path is a `FOLDER`, or, judging by its name, an `ARRAY`, `IDX` file, `RECORDS`, or else a `PICTURE`.

    Raises:
        DataError: the path does not exist, or is a pipe or a device, which a reader could wait for forever.
    """
    try:
        if path.is_dir():
            return FOLDER
        regular.check(path)
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(str(path))} cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    name = path.name.lower()
    if is_records(name):
        return RECORDS
    if path.suffix.lower() in arrays.SUFFIXES:
        return ARRAY
    return IDX if name.endswith((".gz", ".idx")) or "-ubyte" in name else PICTURE


def is_records(name: str) -> bool:
    """Whether a name is that of TFRecords: `x.tfrecord`, `x.tfrecords`, `x.tfrecord-00000-of-00010`, also `.gz`."""
    return _RECORDS.fullmatch(name) is not None


def is_picture(name: str) -> bool:
    """Whether a file in a folder counts as a picture, judging by its name."""
    return name.lower().endswith(PICTURE_SUFFIXES)


def names_under(folder: Path) -> Iterator[str]:
    """The files under a folder, as sorted relative paths, without hidden ones; each linked folder is followed once.

    Raises:
        DataError: one of the folders cannot be read.
    """
    yield from sorted(files_under(folder))
