"""Read a user's images as a model takes them: float32 batches in [0, 1], with the name of each image."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kvae.data import listing
from kvae.data.decoding import MAX_ARRAY_BYTES, decode, wrong_numbers
from kvae.data.opening import MAX_PIXELS, Unusable, quiet
from kvae.data.pixels import Header, Shape
from kvae.errors import DataError
from kvae.files import arrays, idx, pictures
from kvae.files.reading import PLAIN, Reading

Floats = NDArray[np.float32]
BATCH = 1024
"""Images in a batch, or fewer if they are large; this and `BATCH_BYTES` limit the memory for streaming images."""
BATCH_BYTES = 64 * 2**20
"""Maximum bytes to read from a file at a time, or to hold in a batch of float32 images; one image may be larger."""
PICTURE_CHANNELS = (1, 3)
"""Numbers of channels of models that take pictures: grey and RGB."""


class Batch(NamedTuple):
    """Some images of a stream."""

    names: list[str]
    """The path of each image, with its index in brackets if a file holds many."""
    images: Floats
    """`(batch, height, width, channels)` in [0, 1]."""


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


class _Part(Protocol):
    """A file with one image, or many."""

    @property
    def count(self) -> int: ...

    @property
    def path(self) -> Path: ...

    def name(self, index: int) -> str: ...

    def cut(self, start: int, stop: int) -> "_Part": ...

    def chunks(self) -> Iterator[Floats]: ...


@dataclass(frozen=True)
class Images:
    """A stream of images that can be read several times. Make one with `open_images`."""

    parts: tuple[_Part, ...]
    batch: int = BATCH
    """Number of images at which a batch is full."""
    max_bad: int = 0
    """How many pictures may be skipped because they cannot be used; more are an error."""
    advice: str = ""
    """What to do about a picture that cannot be used, if none may be skipped."""
    is_piece: bool = False
    """Whether these are some of the images of a larger stream, all of which may be skipped."""
    skipped: list[Bad] = field(default_factory=list, compare=False)
    """The pictures that the last pass skipped."""

    @property
    def count(self) -> int:
        """How many images there are, those that will be skipped included."""
        return sum(part.count for part in self.parts)

    @property
    def longest_name(self) -> int:
        """Number of characters in the longest name."""
        return max(len(part.name(part.count - 1)) for part in self.parts)

    def cut(self, stops: Sequence[int]) -> Iterator["Images"]:
        """The stream cut into pieces, each of which can be read by itself.

        Args:
            stops: the index after the last image of each piece, in ascending order; the next piece starts there.
        """
        parts, before, start = iter(self.parts), 0, 0  # `before`: images of the parts before `part`
        part = next(parts)
        for stop in stops:
            pieces: list[_Part] = []
            while start < stop:
                if start == before + part.count:
                    before, part = start, next(parts)
                end = min(stop, before + part.count)
                pieces.append(part.cut(start - before, end - before))
                start = end
            yield Images(tuple(pieces), self.batch, self.max_bad, is_piece=True)

    def batches(self) -> Iterator[Batch]:
        """The images in order, in batches of about `batch`, without those of `skipped`.

        Raises:
            DataError: an array cannot be read, or does not fit the model; or more than `max_bad` pictures do, or all.
        """
        self.skipped.clear()
        names: list[str] = []
        chunks: list[Floats] = []
        for part in self.parts:
            index = 0
            for chunk in self._usable(part):
                names += map(part.name, range(index, index + len(chunk)))
                index += len(chunk)
                chunks.append(chunk)
                if len(names) >= self.batch:
                    yield Batch(names, np.concatenate(chunks))
                    names, chunks = [], []
        if names:
            yield Batch(names, np.concatenate(chunks))
        elif len(self.skipped) == self.count and not self.is_piece:
            raise DataError(f"none of these {self.count:,} pictures can be used; the first: {_told(self.skipped[0])}")

    def _usable(self, part: _Part) -> Iterator[Floats]:
        """The images of a file; none if it is a picture that may be skipped."""
        try:
            yield from part.chunks()
        except _Unreadable as error:
            self.skipped.append(error.bad)
            if len(self.skipped) <= self.max_bad and self.count > 1:
                return
            if self.max_bad == 0 or self.count == 1:
                raise DataError(f"{_told(error.bad)}{self.advice and ' '}{self.advice}") from None
            raise DataError(
                f"more than {self.max_bad:,} pictures cannot be used (--max-bad); the first: {_told(self.skipped[0])}"
            ) from None


class _Unreadable(DataError):
    """A picture, not an array, cannot be used."""

    def __init__(self, bad: Bad) -> None:
        super().__init__(_told(bad))
        self.bad = bad


def _told(bad: Bad) -> str:
    return f"{bad.name}: {bad.reason}."


def open_images(
    paths: Sequence[Path],
    image_shape: Sequence[int],
    resize: bool = False,
    reading: Reading = PLAIN,
    max_bad: int = 0,
) -> Images:
    """The images of files and folders, read as `kvae train --data` reads them.

    Only floats in arrays differ: here they stay as they are, while a training rounds them to 8-bit levels.

    Args:
        paths: pictures; folders, whose pictures are read in the order of their names, including those in sub-folders;
            .npy and .npz files of `(n, height, width)` or `(n, height, width, channels)`, uint8 or floats in [0, 1],
            in an archive under the name `images`; idx files, compressed or not.
        image_shape: the model's `(height, width, channels)`.
        resize: resize images to the model's size, centre-cropping other aspect ratios, and convert colour to grey or
            grey to colour. Without it such images are refused.
        reading: how to read transparency and more than 8 bits.
        max_bad: how many pictures may be skipped because they cannot be used; by default none.

    Raises:
        DataError: a file does not exist, a folder has no pictures, or the model cannot take an array.
    """
    height, width, channels = image_shape
    wanted = Wanted((height, width, channels), resize, reading)
    parts: list[_Part] = []
    for path in paths:
        kind = listing.kind_of(path)
        parts += (
            [_Picture(file, wanted) for file in _pictures_of(path)]
            if kind == listing.FOLDER
            else [_open(path, kind, wanted)]
        )
    return Images(tuple(parts), _fitting(4 * math.prod(wanted.shape)), max_bad)


def open_image(path: Path, image_shape: Sequence[int], resize: bool = False, reading: Reading = PLAIN) -> Floats:
    """The one image of a file, `(1, height, width, channels)`; arguments and errors as for `open_images`."""
    images = open_images([path], image_shape, resize, reading)
    if images.count != 1:
        raise DataError(f"{path} holds {images.count:,} images; name a file with only one.")
    return next(images.batches()).images


def _pictures_of(folder: Path) -> list[Path]:
    found = [folder / name for name in listing.names_under(folder) if listing.is_picture(name)]
    if not found:
        raise DataError(f"{folder} holds no pictures (files named {', '.join(listing.PICTURE_SUFFIXES)}).")
    return found


def _fitting(size: int) -> int:
    """How many images of this many bytes to read at a time."""
    return max(1, min(BATCH, BATCH_BYTES // max(size, 1)))


def _open(path: Path, kind: str, wanted: Wanted) -> _Part:
    if kind == listing.RECORDS:
        raise DataError(f"{path} holds TFRecords, which only kvae train reads; use pictures or arrays.")
    if kind == listing.ARRAY:
        return _Stack(arrays.open_array(path, ("images",)), wanted)
    return _Stack(idx.open_idx(path), wanted) if kind == listing.IDX else _Picture(path, wanted)


@dataclass(frozen=True)
class _Picture:
    """One picture in a file that Pillow reads."""

    path: Path
    wanted: Wanted
    count: int = 1

    def name(self, index: int) -> str:
        return str(self.path)

    def cut(self, start: int, stop: int) -> "_Picture":
        return self

    def chunks(self) -> Iterator[Floats]:
        shape = self.wanted.shape
        if shape[-1] not in PICTURE_CHANNELS:
            raise DataError(f"{self.path}: the model's images have {shape[-1]} channels; use a .npy or .npz file.")
        try:
            with quiet():
                pixels = decode(self.path, *self.wanted, check=self._check)
        except Unusable as error:
            raise _Unreadable(Bad(str(self.path), str(error))) from None
        yield pictures.to_float32(pixels)[None]

    def _check(self, header: Header) -> None:
        shape = self.wanted.shape
        fits = header[1:3] == shape[:2] and header.channels <= shape[-1]  # grey becomes RGB without loss
        if not (fits or self.wanted.resize):
            raise Unusable(
                f"it is a picture of {_described(header[1:])}; the model takes {_described(shape)}. "
                "Use --resize to convert it"
            )


def _any(header: Header) -> None:
    """Accept every image, because all images of an array have one size, which was checked before."""


def _described(shape: Sequence[int]) -> str:
    height, width, channels = shape
    return f"{height} x {width} (height x width), {'grey' if channels == 1 else 'RGB'}"


class _Stack:
    """The images of an array."""

    def __init__(self, array: arrays.Rows, wanted: Wanted) -> None:
        found = array.shape if len(array.shape) == 4 else (*array.shape, 1)
        shape = wanted.shape
        if wrong := wrong_numbers(array.dtype, wanted.reading):
            raise DataError(f"{array.path} {wrong}")
        text = "n x " + " x ".join(map(str, shape))
        if len(found) != 4:
            raise DataError(f"{array.path} has shape {array.shape}; expected {text}.")
        size = array.dtype.itemsize * math.prod(found[1:])
        if math.prod(found[1:3]) > MAX_PIXELS or size > MAX_ARRAY_BYTES:
            raise DataError(f"{array.path} holds images of {found[1:]}, which have too many pixels.")
        convertible = found[-1] in PICTURE_CHANNELS and shape[-1] in PICTURE_CHANNELS and min(found[1:3]) > 0
        if found[1:] != shape and not (wanted.resize and convertible):
            advice = " Use --resize to convert them." if convertible else ""
            raise DataError(f"{array.path} holds images of {found[1:]}; the model takes {text}.{advice}")
        self._array = array
        self._wanted = wanted
        self._found = found[1:]
        self._first = 0
        self.path = array.path
        self.count = found[0]

    def name(self, index: int) -> str:
        return f"{self.path}[{self._first + index}]"

    def cut(self, start: int, stop: int) -> "_Stack":
        piece = copy.copy(self)
        piece._first, piece.count = self._first + start, stop - start
        return piece

    def chunks(self) -> Iterator[Floats]:
        size = _fitting(max(4, self._array.dtype.itemsize) * math.prod(self._found))
        for rows in self._array.rows(size, self._first, self._first + self.count):
            yield self._floats(rows.reshape(len(rows), *self._found))

    def _floats(self, images: NDArray[Any]) -> Floats:
        if images.dtype.kind == "f" and not (images.min() >= 0 and images.max() <= 1):
            raise DataError(
                f"{self._array.path} holds numbers between {images.min():g} and {images.max():g}; floats must be "
                f"in [0, 1], and levels from 0 to 255 must be uint8."
            )
        if self._found == self._wanted.shape:
            if images.dtype.kind in "fb":
                return images.astype(np.float32, copy=False)
            if images.dtype == np.uint8:
                return pictures.to_float32(images)
        decoded = [decode(image, *self._wanted, check=_any) for image in images]
        return pictures.to_float32(np.stack(decoded))
