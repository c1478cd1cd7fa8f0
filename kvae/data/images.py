"""Read a user's images as a model takes them: float32 batches in [0, 1], with the name of each image."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.manifest import Manifest
from kvae.data import archives, listing, shapes
from kvae.data.decoding import MAX_ARRAY_BYTES, decode, outside, wrong_numbers
from kvae.data.opening import MAX_PIXELS, Unusable, quiet
from kvae.data.pixels import Header, Shape
from kvae.errors import ConfigError, DataError
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
    grayscale: bool = False
    """Whether colour is converted to grey even without `resize`, as in the model's training."""


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
    grayscale: bool = False,
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
        grayscale: convert colour to grey, even without `resize`.
        max_bad: how many pictures may be skipped because they cannot be used; by default none.

    Raises:
        DataError: a file does not exist, a folder has no pictures, or the model cannot take an array.
    """
    height, width, channels = image_shape
    wanted = Wanted((height, width, channels), resize, reading, grayscale and channels == 1)
    parts: list[_Part] = []
    for path in paths:
        kind = listing.kind_of(path)
        parts += (
            [_Picture(file, wanted) for file in _pictures_of(path)]
            if kind == listing.FOLDER
            else [_open(path, kind, wanted)]
        )
    return Images(tuple(parts), _fitting(4 * math.prod(wanted.shape)), max_bad)


def open_for(
    manifest: Manifest, paths: Sequence[Path], resize: bool = False, reading: Reading = PLAIN, max_bad: int = 0
) -> Images:
    """The images of files and folders, read as the images that a model was trained on.

    What `kvae train` was told about `--image-size`, `--grayscale`, `--alpha` and `--levels` holds here too, unless
    `reading` says otherwise.

    Args:
        manifest: that of the model's bundle.
        paths: as for `open_images`, like the other arguments and the errors.
    """
    resized, grayscale, trained = training_reading(manifest)
    reading = Reading(reading.alpha or trained.alpha, reading.levels or trained.levels)
    return open_images(paths, manifest.image_shape, resize or resized, reading, grayscale, max_bad)


def training_reading(manifest: Manifest) -> tuple[bool, bool, Reading]:
    """Whether a model's training resized its images, whether it converted them to grey, and how it read pictures.

    A bundle may be a stranger's: settings that are not those of `kvae train` count as not given.
    """
    found = manifest.training
    alpha = found.get("alpha") if found.get("alpha") in ("white", "black") else None
    levels = found.get("levels")
    try:
        reading = Reading.of(alpha, levels if isinstance(levels, str) else None)
    except ConfigError:
        reading = Reading(alpha)
    return found.get("image_size") is not None, found.get("grayscale") is True, reading


def open_image(path: Path, image_shape: Sequence[int], resize: bool = False, reading: Reading = PLAIN) -> Floats:
    """The one image of a file, `(1, height, width, channels)`; arguments and errors as for `open_images`."""
    return _only(open_images([path], image_shape, resize, reading), path)


def open_image_for(manifest: Manifest, path: Path, resize: bool = False, reading: Reading = PLAIN) -> Floats:
    """The one image of a file, `(1, height, width, channels)`; arguments and errors as for `open_for`."""
    return _only(open_for(manifest, [path], resize, reading), path)


def _only(images: Images, path: Path) -> Floats:
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
        is_archive = path.suffix.lower() == ".npz"
        return _Stack(archives.images_of(path) if is_archive else arrays.open_array(path, ()), wanted)
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
        if pictures.is_table(shape):
            raise DataError(f"{self.path}: the model takes rows of a table, {shape[1]} values each; use a .npy file.")
        try:
            with quiet():
                pixels = decode(self.path, *self.wanted[:3], check=self._check)
        except Unusable as error:
            raise _Unreadable(Bad(str(self.path), str(error))) from None
        yield pictures.to_float32(pixels)[None]

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


class _Stack:
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
            if not np.isfinite(images).all():
                raise DataError(f"{self._array.path} holds NaN or infinity.")
            raise DataError(f"{self._array.path} {outside(float(images.min()), float(images.max()))}.")
        if self._found == self._wanted.shape:
            if images.dtype.kind in "fb":
                return images.astype(np.float32, copy=False)
            if images.dtype == np.uint8:
                return pictures.to_float32(images)
        decoded = [decode(image, *self._wanted[:3], check=_any) for image in images]
        return pictures.to_float32(np.stack(decoded))
