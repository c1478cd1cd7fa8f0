"""Read TFRecords of `tf.train.Example`, each with an encoded picture and perhaps a label, by TensorFlow."""

import gzip
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kvae.data.opening import MAX_FILE_BYTES
from kvae.errors import DataError
from kvae.files import regular
from kvae.files.text import printable, shown

PICTURE_KEYS = ("image/encoded", "image", "image_raw")
"""The features that may hold the bytes of the picture; the first one present is used."""
LABEL_KEYS = ("image/class/label", "label")
MAX_RECORD_BYTES = MAX_FILE_BYTES + 2**20
"""Maximum size of a record in bytes: that of a picture, plus space for other features."""


def read(path: Path) -> Iterator[tuple[bytes, int | None]]:
    """The pictures of a file, in order, with their labels.

    Raises:
        DataError: the file is damaged, or a record does not hold a picture.
    """
    _check_lengths(path)
    import tensorflow as tf  # here, because only these files need it

    compression = "GZIP" if path.suffix.lower() == ".gz" else ""
    count = 0
    try:
        for record in tf.data.TFRecordDataset(os.fsencode(path), compression).as_numpy_iterator():
            yield _parse(tf.train.Example, record, f"{shown(str(path))}[{count}]")
            count += 1
    except tf.errors.OpError as error:
        reason = re.sub(
            r"\{\{.*?\}\}|\[Op:.*", "", str(error.message), flags=re.DOTALL
        )  # removes TensorFlow's code locations
        raise _damaged(path, count, printable(reason, 80)) from None


def _check_lengths(path: Path) -> None:
    """Raise DataError if a record claims to be too long: TensorFlow would allocate the memory for it, and crash."""
    count = 0
    try:
        regular.check(path)
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            while len(header := file.read(12)) == 12:  # the length, little-endian, and its checksum
                length = int.from_bytes(header[:8], "little")
                if length > MAX_RECORD_BYTES:
                    raise _damaged(path, count, f"the next has {length:,} bytes, expected at most {MAX_RECORD_BYTES:,}")
                file.seek(length + 4, os.SEEK_CUR)
                count += 1
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or printable(error, 80)
        raise DataError(f"{shown(str(path))} cannot be read: {reason}.") from None


def _damaged(path: Path, count: int, reason: str) -> DataError:
    return DataError(f"{shown(str(path))} is damaged or cut short after {count:,} records: {reason}.")


def _parse(example_type: Any, record: bytes, name: str) -> tuple[bytes, int | None]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it comes with TensorFlow

    try:
        features = example_type.FromString(record).features.feature
    except DecodeError:
        raise DataError(f"{name} is not a tf.train.Example.") from None
    found: Sequence[bytes] = next((features[key].bytes_list.value for key in PICTURE_KEYS if key in features), [])
    if len(found) != 1:
        raise DataError(
            f"{name} holds no encoded picture in {', '.join(PICTURE_KEYS)}; its features are "
            f"{', '.join(sorted(features)[:8]) or 'none'}."
        )
    labels: Sequence[int] = next((features[key].int64_list.value for key in LABEL_KEYS if key in features), [])
    return found[0], labels[0] if len(labels) == 1 else None
