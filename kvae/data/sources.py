"""The images under a path that a user gives, each with a name and perhaps a label.

The path is a folder of pictures, an array (.npy, .npz, idx), or TFRecords (`kvae.data.records`). Nothing is decoded
here.
"""

import contextlib
import math
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from kvae.data import decoding, listing, records
from kvae.data.decoding import Content
from kvae.data.pixels import Header
from kvae.errors import DataError
from kvae.files import arrays, idx
from kvae.files.reading import PLAIN, Reading
from kvae.files.text import shown

CHUNK_BYTES = 2**22
"""Bytes of an array that are read at a time."""
MAX_LABEL_BYTES = 1024
"""Maximum size of a label in an array, in bytes."""

Label = str | int


class Item(NamedTuple):
    """One image."""

    name: str
    label: Label | None
    content: Content


class Source(Protocol):
    """The images under a path, which can be read several times."""

    path: Path
    kind: str
    """What the path is, in a word or two."""
    listing: list[tuple[str, int, int]]
    """Each file's name under the path, its bytes, and when it was written (ns); it changes if the images change."""
    count: int | None
    """How many images there are; None if that is known only after reading them all."""
    header: Header | None
    """The header that all images share; None if each is a separate picture."""
    num_others: int
    """Files of a folder that are ignored because of their names."""
    num_unlabelled: int
    """Pictures of a folder that are not in a sub-folder although others are: then none has a label."""
    image_bytes: int
    """Bytes of memory that an image takes before it is decoded; 0 if it stays in its file."""

    def items(self) -> Iterator[Item]:
        """The images, in the order of their names."""
        ...


def open_source(path: Path, reading: Reading = PLAIN) -> Source:
    """The images under a path.

    Args:
        path: a path as for `kvae train --data`.
        reading: how to read transparency and more than 8 bits.

    Raises:
        DataError: there is nothing, or no known kind of images; the message lists the known kinds.
    """
    kind = listing.kind_of(path)
    if kind == listing.FOLDER:
        return _open_folder(path)
    found = path.stat()
    files = [(shown(path.name), found.st_size, found.st_mtime_ns)]
    if kind == listing.RECORDS:
        return Records(path, [path], files)
    if kind == listing.ARRAY:
        return Stack(path, files, arrays.open_array(path, ("images",)), _labels(path), reading)
    if kind == listing.IDX:
        return Stack(path, files, idx.open_idx(path), None, reading)
    raise DataError(
        f"cannot read images from {shown(str(path))}: expected a folder of pictures, a .npy or .npz, an idx file "
        f"(.idx, -ubyte, .gz), or TFRecords (.tfrecord)."
    )


@dataclass
class Pictures:
    """A folder of pictures. Its sub-folders are the labels if every picture is in one."""

    path: Path
    files: list[str]
    listing: list[tuple[str, int, int]]
    num_others: int
    kind: str = "folder of pictures"
    header: Header | None = None
    image_bytes: int = 0
    count: int | None = field(init=False)
    num_unlabelled: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.files)
        at_top = sum(os.sep not in name for name in self.files)
        self.num_unlabelled = at_top if at_top < self.count else 0
        self._labelled = not at_top

    def items(self) -> Iterator[Item]:
        for name in self.files:
            label = shown(name.partition(os.sep)[0]) if self._labelled else None
            yield Item(shown(name), label, self.path / name)


@dataclass
class Records:
    """Shards of TFRecords."""

    path: Path
    shards: list[Path]
    listing: list[tuple[str, int, int]]
    num_others: int = 0
    kind: str = "TFRecords"
    header: Header | None = None
    count: int | None = None
    num_unlabelled: int = 0
    image_bytes: int = 0

    def items(self) -> Iterator[Item]:
        for shard in self.shards:
            name = shown(shard.name if shard == self.path else os.path.relpath(shard, self.path))
            for index, (content, label) in enumerate(records.read(shard)):
                yield Item(f"{name}[{index}]", label, content)


class Stack:
    """The images of an array.

    Raises:
        DataError: the array does not hold images, or does not have one label for each.
    """

    num_others = num_unlabelled = 0

    def __init__(
        self,
        path: Path,
        files: list[tuple[str, int, int]],
        array: arrays.Rows,
        labels: arrays.Rows | None,
        reading: Reading = PLAIN,
    ) -> None:
        name = shown(str(path))
        shape = array.shape if len(array.shape) == 4 else (*array.shape, 1)
        if wrong := decoding.wrong_numbers(array.dtype, reading):
            raise DataError(f"{name} {wrong}")
        if len(shape) != 4 or shape[3] not in (1, 3):
            raise DataError(
                f"{name} has shape {array.shape}; expected (images, height, width), or (images, height, width, "
                f"channels) with 1 or 3 channels."
            )
        if wrong := decoding.check_extent(*shape[1:3], resize=True):
            raise DataError(f"{name}: {wrong}.")
        self.image_bytes = array.dtype.itemsize * math.prod(shape[1:])
        if self.image_bytes > decoding.MAX_ARRAY_BYTES:
            raise DataError(f"{name} holds images of {shape[1:]} {array.dtype}, which are too large.")
        self.path = path
        self.kind = "idx file" if isinstance(array, idx.IdxFile) else f"{path.suffix.lower()} file"
        self.listing = files
        self.count: int | None = shape[0]
        self._shape = shape[1:]
        self.header: Header | None = Header(f"array of {array.dtype}", *self._shape)
        self._array = array
        self._labels = None if labels is None else _read_labels(name, labels, shape[0])

    def items(self) -> Iterator[Item]:
        index = 0
        shape = self._shape
        name = shown(self.path.name)
        for rows in self._array.rows(max(1, CHUNK_BYTES // self.image_bytes)):
            for image in rows.reshape(len(rows), *shape):
                yield Item(f"{name}[{index}]", None if self._labels is None else self._labels[index], image)
                index += 1


def _labels(path: Path) -> arrays.Rows | None:
    """The array `labels` of an archive that has been opened before; None if there is none."""
    if path.suffix.lower() != ".npz":
        return None
    with contextlib.suppress(OSError, zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        if "labels.npy" in archive.namelist():
            return arrays.open_array(path, ("labels",))
    return None


def _read_labels(name: str, labels: arrays.Rows, count: int) -> list[Label]:
    fits = labels.dtype.kind in "iuU" and labels.dtype.itemsize <= MAX_LABEL_BYTES
    if labels.shape != (count,) or not fits:
        raise DataError(
            f"{name} holds labels of type {labels.dtype} and shape {labels.shape}; expected an integer or a text for "
            f"each of its {count:,} images."
        )
    found = [label for rows in labels.rows(CHUNK_BYTES // labels.dtype.itemsize) for label in rows.tolist()]
    return [shown(label) if isinstance(label, str) else label for label in found]


def _open_folder(path: Path) -> Source:
    pictures: list[tuple[str, int, int]] = []
    shards: list[tuple[str, int, int]] = []
    num_others = 0
    for name in listing.names_under(path):
        chosen = shards if listing.is_records(name.lower()) else pictures if listing.is_picture(name) else None
        if chosen is None:
            num_others += 1
            continue
        try:
            found = os.stat(path / name)
            chosen.append((name, found.st_size, found.st_mtime_ns))
        except OSError:  # a broken link, which is skipped by name later
            chosen.append((name, 0, 0))
    if shards and pictures:
        raise DataError(f"{shown(str(path))} holds pictures and TFRecords; name a folder of one kind.")
    if shards:
        return Records(path, [path / name for name, _, _ in shards], shards, num_others)
    if not pictures:
        known = ", ".join(listing.PICTURE_SUFFIXES)
        raise DataError(
            f"{shown(str(path))} holds no pictures (files named {known}) and no TFRecords (.tfrecord). To use a .npy, "
            f".npz or idx file, give its own path."
        )
    return Pictures(path, [name for name, _, _ in pictures], pictures, num_others)
