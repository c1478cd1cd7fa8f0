"""The images of an array, or of the arrays of an archive that are its splits."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from kvae.data import decoding, labels, shapes
from kvae.data.pixels import Header
from kvae.data.source import CHUNK_BYTES, Item, Listing, Part, as_given
from kvae.errors import DataError
from kvae.files import arrays, idx
from kvae.files.reading import PLAIN, Reading
from kvae.files.text import shown


class Stack:
    """The images of an array, or the rows of a table.

    Args:
        path: the file.
        files: its `listing`.
        array: the images.
        own_labels: their labels.
        reading: how to read more than 8 bits.
        split: the split that the file says they are in.

    Raises:
        DataError: the array does not hold images, or does not have one label for each.
    """

    num_others = num_unlabelled = 0

    def __init__(
        self,
        path: Path,
        files: Listing,
        array: arrays.Rows,
        own_labels: arrays.Rows | None,
        reading: Reading = PLAIN,
        split: str | None = None,
    ) -> None:
        member = getattr(array, "member", None)
        self._name = shown(str(path) if split is None else f"{path}[{member}]")
        if wrong := shapes.wrong(array.shape):
            raise DataError(f"{self._name} {wrong}.")
        if wrong := decoding.wrong_numbers(array.dtype, reading):
            raise DataError(f"{self._name} {wrong}")
        shape = shapes.as_images(array.shape)
        self.is_table = len(array.shape) == 2
        name = f"{'table' if self.is_table else 'array'} of {array.dtype}"
        _, height, width, channels = shape
        is_float = array.dtype.kind == "f"
        self.header: Header | None = Header(name, height, width, channels, self.is_table, is_float)
        if wrong := decoding.check_extent(self.header, resize=not self.is_table):
            raise DataError(f"{self._name}: {wrong}.")
        self.image_bytes = array.dtype.itemsize * math.prod(shape[1:])
        if self.image_bytes > decoding.MAX_ARRAY_BYTES:
            raise DataError(f"{self._name} holds images of {shape[1:]} {array.dtype}, which are too large.")
        self.path = path
        kind = "idx file" if isinstance(array, idx.IdxFile) else f"{path.suffix.lower()} file"
        self.kind = f"table in a{'n' if kind[0] == 'i' else ''} {kind}" if self.is_table else kind
        self.listing = files
        self.count: int | None = shape[0]
        self.split = as_given(split)
        self.given: frozenset[str] = frozenset()
        self._shape = shape[1:]
        self._array = array
        self._item_name = shown(path.name if split is None else f"{path.name}/{member}")
        self.has_labels = own_labels is not None
        self._labels = None if own_labels is None else labels.read(self._name, own_labels, shape[0])

    @property
    def parts(self) -> list[Part]:
        return [self]

    def check_numbers(self) -> None:
        if self._array.dtype.kind != "f":
            return
        low, high = np.inf, -np.inf
        for rows in self._array.rows(max(1, CHUNK_BYTES // self.image_bytes)):
            finite = rows[np.isfinite(rows)]  # an image with other numbers is skipped by itself
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        if low < 0 or high > 1:
            by_column = " for each column, (x - x.min(0)) / (x.max(0) - x.min(0))" if self.is_table else ""
            raise DataError(f"{self._name} {decoding.outside(low, high)}{', or' * bool(by_column)}{by_column}.")

    def items(self) -> Iterator[Item]:
        index = 0
        for rows in self._array.rows(max(1, CHUNK_BYTES // self.image_bytes)):
            for image in rows.reshape(len(rows), *self._shape):
                label = None if self._labels is None else self._labels[index]
                yield Item(f"{self._item_name}[{index}]", label, image, self.split)
                index += 1


class Parts:
    """The splits of an archive."""

    num_others = 0

    def __init__(self, path: Path, files: Listing, stacks: list[Stack]) -> None:
        self.path = path
        self.kind = f"{stacks[0].kind} of splits"
        self.listing = files
        bare = [stack.count or 0 for stack in stacks if not stack.has_labels]
        self.num_unlabelled = sum(bare) if len(bare) < len(stacks) else 0
        self.given = frozenset(stack.split for stack in stacks if stack.split is not None)
        self._stacks = stacks

    @property
    def parts(self) -> list[Part]:
        return list(self._stacks)

    def items(self) -> Iterator[Item]:
        for stack in self._stacks:
            yield from stack.items()
