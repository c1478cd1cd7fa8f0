"""TFRecords of `tf.train.Example`: an encoded picture each, and a label where there is one. TensorFlow reads them."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kvae.errors import DataError

PICTURE_KEYS = ("image/encoded", "image", "image_raw")
"""The features that may hold the picture's bytes; the first that is there does."""
LABEL_KEYS = ("image/class/label", "label")
_NAME = re.compile(r".*\.tfrecords?(-\d+-of-\d+)?(\.gz)?", re.DOTALL)


def is_records(name: str) -> bool:
    """Whether a file called so is one of TFRecords: `x.tfrecord`, `x.tfrecords`, `x.tfrecord-00000-of-00010`, gz."""
    return _NAME.fullmatch(name) is not None


def read(path: Path) -> Iterator[tuple[bytes, int | None]]:
    """The pictures of a file in their order, with their labels.

    Raises:
        DataError: a damaged file, or records that hold no picture.
    """
    import tensorflow as tf  # for these files alone

    compression = "GZIP" if path.suffix.lower() == ".gz" else ""
    count = 0
    try:
        for record in tf.data.TFRecordDataset(os.fsencode(path), compression).as_numpy_iterator():
            yield _parse(tf.train.Example, record, f"{path}[{count}]")
            count += 1
    except tf.errors.OpError as error:
        raise DataError(
            f"{path} is damaged, or cut short, after {count:,} records: {' '.join(str(error.message).split())[:80]}."
        ) from None


def _parse(example_type: Any, record: bytes, name: str) -> tuple[bytes, int | None]:
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it comes with TensorFlow

    try:
        features = example_type.FromString(record).features.feature
    except DecodeError:
        raise DataError(f"{name} is no tf.train.Example.") from None
    found: Sequence[bytes] = next((features[key].bytes_list.value for key in PICTURE_KEYS if key in features), [])
    if len(found) != 1:
        raise DataError(
            f"{name} holds no encoded picture under {', '.join(PICTURE_KEYS)}; its features are "
            f"{', '.join(sorted(features)[:8]) or 'none'}."
        )
    labels: Sequence[int] = next((features[key].int64_list.value for key in LABEL_KEYS if key in features), [])
    return found[0], labels[0] if len(labels) == 1 else None
