"""The images in one file that a user names, a picture or an array, as a model takes them."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kvae.data import archives, listing, shapes
from kvae.data.decoding import MAX_ARRAY_BYTES, decode, decode_seen, outside, wrong_numbers
from kvae.data.opening import MAX_PIXELS, Unusable, quiet
from kvae.data.pixels import Header, Shape
from kvae.errors import DataError
from kvae.files import arrays, idx, pictures
from kvae.files.reading import Reading

Floats = NDArray[np.float32]
BATCH = 1024
"""Images in a batch, or fewer if they are large; this and `BATCH_BYTES` limit the memory for streaming images."""
BATCH_BYTES = 64 * 2**20
"""Maximum bytes to read from a file at a time, or to hold in a batch of float32 images; one image may be larger."""
PICTURE_CHANNELS = (1, 3)
"""Numbers of channels of models that take pictures: grey and RGB."""


class Bad(NamedTuple):
    """A picture that was skipped because it cannot be used."""

    name: str
    reason: str


class Wanted(NamedTuple):
    """How images are converted."""

    shape: Shape
    """The model's `(height, width, channels)`."""
    resize: bool
    reading: Reading
    grayscale: bool = False
    """Whether colour is converted to grey even without `resize`, as in the model's training."""


class Part(Protocol):
    """A file with one image, or many."""

    @property
    def count(self) -> int: ...

    @property
    def path(self) -> Path: ...

    def name(self, index: int) -> str: ...

    def cut(self, start: int, stop: int) -> "Part": ...

    def chunks(self) -> Iterator[Floats]: ...


class Unreadable(DataError):
    """A picture, not an array, cannot be used."""

    def __init__(self, bad: Bad) -> None:
        super().__init__(told(bad))
        self.bad = bad


def told(bad: Bad) -> str:
    return f"{bad.name}: {bad.reason}."


def fitting(size: int) -> int:
    """How many images of this many bytes to read at a time."""
    return max(1, min(BATCH, BATCH_BYTES // max(size, 1)))


def open_file(path: Path, kind: str, wanted: Wanted) -> Part:
    if kind == listing.RECORDS:
        raise DataError(f"{path} holds TFRecords, which only kvae train reads; use pictures or arrays.")
    if kind == listing.ARRAY:
        is_archive = path.suffix.lower() == ".npz"
        return Stack(archives.images_of(path) if is_archive else arrays.open_array(path, ()), wanted)
    return Stack(idx.open_idx(path), wanted) if kind == listing.IDX else Picture(path, wanted)


@dataclass(frozen=True)
class Picture:
    """One picture in a file that Pillow reads."""

    path: Path
    wanted: Wanted
    count: int = 1
    root: Path | None = None
    """The folder in which it was found, if the user named one."""

    def name(self, index: int) -> str:
        return str(self.path)

    def cut(self, start: int, stop: int) -> "Picture":
        return self

    def chunks(self) -> Iterator[Floats]:
        shape = self.wanted.shape
        if shape[-1] not in PICTURE_CHANNELS:
            raise DataError(f"{self.path}: the model's images have {shape[-1]} channels; use a .npy or .npz file.")
        if pictures.is_table(shape):
            raise DataError(f"{self.path}: the model takes rows of a table, {shape[1]} values each; use a .npy file.")
        try:
            with quiet():
                if self.wanted.reading.holes and self.wanted.reading.alpha is None:
                    found = decode_seen(self.path, *self.wanted[:3], check=self._check)
                else:
                    found = pictures.to_float32(decode(self.path, *self.wanted[:3], check=self._check))
        except Unusable as error:
            raise Unreadable(Bad(str(self.path), str(error))) from None
        yield found[None]

    def _check(self, header: Header) -> None:
        shape = self.wanted.shape
        fits = header[1:3] == shape[:2] and header.channels <= shape[-1]  # grey becomes RGB without loss
        if not (fits or self.wanted.resize or (self.wanted.grayscale and header[1:3] == shape[:2])):
            raise Unusable(
                f"it is a picture of {_described(header[1:4])}; the model takes {_described(shape)}. "
                "Use --resize to convert it"
            )


def _any(header: Header) -> None:
    """Accept every image, because all images of an array have one size, which was checked before."""


def _described(shape: Sequence[int]) -> str:
    height, width, channels = shape
    return f"{height} x {width} (height x width), {'grey' if channels == 1 else 'RGB'}"


class Stack:
    """The images of an array."""

    def __init__(self, array: arrays.Rows, wanted: Wanted) -> None:
        found = shapes.as_images(array.shape)
        shape = wanted.shape
        if wrong := wrong_numbers(array.dtype, wanted.reading):
            raise DataError(f"{array.path} {wrong}")
        text = "n x " + " x ".join(map(str, shape))
        repair = shapes.advice(array.shape, shape)
        if len(found) != 4 or (len(array.shape) == 2 and not pictures.is_table(shape)):
            raise DataError(f"{array.path} has shape {array.shape}; expected {text}.{repair}")
        size = array.dtype.itemsize * math.prod(found[1:])
        if math.prod(found[1:3]) > MAX_PIXELS or size > MAX_ARRAY_BYTES:
            raise DataError(f"{array.path} holds images of {found[1:]}, which have too many pixels.")
        convertible = found[-1] in PICTURE_CHANNELS and shape[-1] in PICTURE_CHANNELS and min(found[1:3]) > 0
        convertible = convertible and not pictures.is_table(shape) and not repair
        greyed = wanted.grayscale and found[1:3] == shape[:2]
        if found[1:] != shape and not ((wanted.resize or greyed) and convertible):
            advice = repair or (" Use --resize to convert them." if convertible else "")
            raise DataError(f"{array.path} holds images of {found[1:]}; the model takes {text}.{advice}")
        self._array = array
        self._wanted = wanted
        self._found = found[1:]
        self.first = 0
        """The index of the first image of this part in the array."""
        self.path = array.path
        self.count = self.total = found[0]

    def name(self, index: int) -> str:
        return f"{self.path}[{self.first + index}]"

    def cut(self, start: int, stop: int) -> "Stack":
        piece = copy.copy(self)
        piece.first, piece.count = self.first + start, stop - start
        return piece

    def chunks(self) -> Iterator[Floats]:
        size = fitting(max(4, self._array.dtype.itemsize) * math.prod(self._found))
        for rows in self._array.rows(size, self.first, self.first + self.count):
            yield self._floats(rows.reshape(len(rows), *self._found))

    def _floats(self, images: NDArray[Any]) -> Floats:
        if images.dtype.kind == "f":
            self._check_floats(images)
        if self._found == self._wanted.shape:
            if images.dtype.kind in "fb":
                return images.astype(np.float32, copy=False)
            if images.dtype == np.uint8:
                return pictures.to_float32(images)
        decoded = [decode(image, *self._wanted[:3], check=_any) for image in images]
        return pictures.to_float32(np.stack(decoded))

    def _check_floats(self, images: NDArray[Any]) -> None:
        values = images
        if self._wanted.reading.holes and np.isnan(images).any():
            if self._found != self._wanted.shape:
                raise DataError(
                    f"{self._array.path} has missing pixels (NaN) and another shape than the model's images."
                )
            values = images[~np.isnan(images)]
        if values.size and not (values.min() >= 0 and values.max() <= 1):
            if not np.isfinite(values).all():
                raise DataError(f"{self._array.path} holds {'' if self._wanted.reading.holes else 'NaN or '}infinity.")
            raise DataError(f"{self._array.path} {outside(float(values.min()), float(values.max()))}.")
