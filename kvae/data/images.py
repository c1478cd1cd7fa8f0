"""Images out of a user's files, as a model takes them: float32 batches in [0, 1], with the name of each image."""

import copy
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kvae.errors import DataError
from kvae.files import arrays, idx, pictures
from kvae.files.picture_files import MAX_PIXELS, open_picture

Floats = NDArray[np.float32]
Shape = tuple[int, int, int]
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
"""The files of a folder that count as pictures. A file that is named by itself may have any name."""
RESAMPLING = Image.Resampling.LANCZOS
BATCH = 1024
"""Images in a batch, or fewer of large ones: this and `BATCH_BYTES` bound the memory of all that streams them."""
BATCH_BYTES = 64 * 2**20
"""Bytes that are read from a file at a time, and of a batch of float32 images; one image may be larger."""
MAX_ARRAY_BYTES = 2**27
"""Bytes of an image in an array beyond which it is refused: what it takes to resize it is a few times as much."""
MODES = {1: ("L", "1"), 3: ("RGB", "P")}
"""By a model's channels: the modes of Pillow that are taken without --resize."""


class Batch(NamedTuple):
    """Some images of a stream."""

    names: list[str]
    """The path of each, with its index in brackets where a file holds many."""
    images: Floats
    """`(batch, height, width, channels)` in [0, 1]."""


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
    """A stream of images, which can be gone through again. Make one with `open_images`."""

    parts: tuple[_Part, ...]
    batch: int = BATCH
    """Images from which on a batch is full."""

    @property
    def count(self) -> int:
        """How many images there are."""
        return sum(part.count for part in self.parts)

    @property
    def longest_name(self) -> int:
        """Characters of the longest name."""
        return max(len(part.name(part.count - 1)) for part in self.parts)

    def cut(self, stops: Sequence[int]) -> Iterator["Images"]:
        """The stream cut into pieces, each of which can be gone through by itself.

        Args:
            stops: the index before which each piece ends, rising; the next one begins there.
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
            yield Images(tuple(pieces), self.batch)

    def batches(self) -> Iterator[Batch]:
        """The images in order, in batches of about `batch`.

        Raises:
            DataError: a file that cannot be read, or does not fit the model; it is named.
        """
        names: list[str] = []
        chunks: list[Floats] = []
        for part in self.parts:
            index = 0
            for chunk in part.chunks():
                names += map(part.name, range(index, index + len(chunk)))
                index += len(chunk)
                chunks.append(chunk)
                if len(names) >= self.batch:
                    yield Batch(names, np.concatenate(chunks))
                    names, chunks = [], []
        if names:
            yield Batch(names, np.concatenate(chunks))


def open_images(paths: Sequence[Path], image_shape: Sequence[int], resize: bool = False) -> Images:
    """The images of files and folders.

    Args:
        paths: pictures; folders, whose pictures are taken in the order of their names, those of sub-folders too; .npy
            and .npz files of `(n, height, width)` or `(n, height, width, channels)`, uint8 or floats in [0, 1], an
            archive's under the name `images`; idx files, compressed or not.
        image_shape: the model's `(height, width, channels)`.
        resize: bring images of another size to the model's (the largest middle part of its proportions), and colour to
            grey or grey to colour; what shows through is black. Without it such images are refused.

    Raises:
        DataError: no such file, a folder without pictures, or an array that the model cannot take.
    """
    height, width, channels = image_shape
    shape = (height, width, channels)
    parts: list[_Part] = []
    for path in paths:
        for file in _pictures_of(path) if path.is_dir() else [path]:
            parts.append(_open(file, shape, resize))
    return Images(tuple(parts), _fitting(4 * math.prod(shape)))


def open_image(path: Path, image_shape: Sequence[int], resize: bool = False) -> Floats:
    """The one image of a file, `(1, height, width, channels)`; arguments and errors as for `open_images`."""
    images = open_images([path], image_shape, resize)
    if images.count != 1:
        raise DataError(f"{path} holds {images.count:,} images; name a file with one.")
    return next(images.batches()).images


def _pictures_of(folder: Path) -> list[Path]:
    try:
        found = sorted(
            Path(root) / name
            for root, _, names in os.walk(folder, onerror=_raise)
            for name in names
            if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith(".")
        )
    except OSError as error:
        raise DataError(f"{error.filename or folder} cannot be read: {error.strerror}.") from None
    if not found:
        raise DataError(f"{folder} holds no pictures (files named {', '.join(PICTURE_SUFFIXES)}).")
    return found


def _fitting(size: int) -> int:
    """How many images of so many bytes are taken at a time."""
    return max(1, min(BATCH, BATCH_BYTES // max(size, 1)))


def _raise(error: OSError) -> None:
    raise error


def _open(path: Path, shape: Shape, resize: bool) -> _Part:
    if path.exists() and not path.is_file():  # a pipe, say, for which one would wait forever
        raise DataError(f"{path} is no regular file.")
    if path.suffix.lower() in arrays.SUFFIXES:
        return _Stack(arrays.open_array(path, ("images",)), shape, resize)
    if path.suffix.lower() == ".gz" or "-ubyte" in path.name or path.suffix.lower() == ".idx":
        return _Stack(idx.open_idx(path), shape, resize)
    return _Picture(path, shape, resize)


@dataclass(frozen=True)
class _Picture:
    """One picture in a file that Pillow reads."""

    path: Path
    shape: Shape
    resize: bool
    count: int = 1

    def name(self, index: int) -> str:
        return str(self.path)

    def cut(self, start: int, stop: int) -> "_Picture":
        return self

    def chunks(self) -> Iterator[Floats]:
        if self.shape[-1] not in MODES:
            raise DataError(
                f"{self.path}: the model's images have {self.shape[-1]} channels; give them as .npy or .npz."
            )
        with open_picture(self.path) as picture:
            yield _pixels(picture, self.path, self.shape, self.resize)[None]


def _pixels(picture: Image.Image, path: Path, shape: Shape, resize: bool) -> Floats:
    if resize:
        picture = _fit(picture, shape)
    height, width, channels = shape
    transparent = "transparency" in picture.info
    if picture.size != (width, height) or picture.mode not in MODES[channels] or transparent:
        found = f"{picture.width} x {picture.height}, {'with transparency' if transparent else picture.mode}"
        raise DataError(
            f"{path} is a picture of {found} (width x height, mode); the model takes {width} x {height}, "
            f"{MODES[channels][0]}. With --resize it is converted."
        )
    return pictures.to_float32(np.asarray(picture.convert(MODES[channels][0]))).reshape(shape)


def _fit(picture: Image.Image, shape: Shape) -> Image.Image:
    """The picture's middle in the model's proportions, size and channels, on black."""
    height, width, channels = shape
    if "transparency" in picture.info or picture.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        solid = picture.convert("RGBA")
        picture = Image.new("RGBA", solid.size, "black")
        picture.alpha_composite(solid)
        picture = picture.convert("RGB")
    picture = picture.convert(MODES[channels][0])
    return picture if picture.size == (width, height) else ImageOps.fit(picture, (width, height), RESAMPLING)


class _Stack:
    """The images of an array."""

    def __init__(self, array: arrays.Rows, shape: Shape, resize: bool) -> None:
        found = array.shape if len(array.shape) == 4 else (*array.shape, 1)
        if array.dtype != np.uint8 and array.dtype != np.bool_ and array.dtype.kind != "f":
            raise DataError(f"{array.path} holds {array.dtype}; expected uint8, or floats in [0, 1].")
        wanted = "n x " + " x ".join(map(str, shape))
        if len(found) != 4:
            raise DataError(f"{array.path} has shape {array.shape}; expected {wanted}.")
        size = array.dtype.itemsize * math.prod(found[1:])
        if math.prod(found[1:3]) > MAX_PIXELS or size > MAX_ARRAY_BYTES:
            raise DataError(f"{array.path} holds images of {found[1:]}, which are too many pixels.")
        convertible = found[-1] in MODES and shape[-1] in MODES and min(found[1:3]) > 0
        if found[1:] != shape and not (resize and convertible):
            advice = " With --resize they are converted." if convertible else ""
            raise DataError(f"{array.path} holds images of {found[1:]}; the model takes {wanted}.{advice}")
        self._array = array
        self._shape = shape
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
            images = rows.reshape(len(rows), *self._found)
            if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 1):
                raise DataError(
                    f"{self._array.path} holds numbers between {images.min():g} and {images.max():g}; floats must be "
                    f"in [0, 1], levels of 0 to 255 uint8."
                )
            if self._found != self._shape:
                images = np.stack([self._fitted(image) for image in images])
            yield pictures.to_float32(images) if images.dtype == np.uint8 else images.astype(np.float32, copy=False)

    def _fitted(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        return np.asarray(_fit(pictures.picture(image), self._shape)).reshape(self._shape)
