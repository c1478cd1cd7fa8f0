"""Read a user's images as a model takes them: float32 batches in [0, 1], with the name of each image."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kvae.bundle.manifest import Manifest
from kvae.data import image_files, listing
from kvae.data.image_files import Bad, Floats, Part, Picture, Unreadable, Wanted, open_file, told
from kvae.errors import ConfigError, DataError
from kvae.files.reading import PLAIN, Reading


class Batch(NamedTuple):
    """Some images of a stream."""

    names: list[str]
    """The path of each image, with its index in brackets if a file holds many."""
    images: Floats
    """`(batch, height, width, channels)` in [0, 1]."""


@dataclass(frozen=True)
class Images:
    """A stream of images that can be read several times. Make one with `open_images`."""

    parts: tuple[Part, ...]
    batch: int = image_files.BATCH
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
            pieces: list[Part] = []
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
            raise DataError(f"none of these {self.count:,} pictures can be used; the first: {told(self.skipped[0])}")

    def _usable(self, part: Part) -> Iterator[Floats]:
        """The images of a file; none if it is a picture that may be skipped."""
        try:
            yield from part.chunks()
        except Unreadable as error:
            self.skipped.append(error.bad)
            if len(self.skipped) <= self.max_bad and self.count > 1:
                return
            if self.max_bad == 0 or self.count == 1:
                raise DataError(f"{told(error.bad)}{self.advice and ' '}{self.advice}") from None
            raise DataError(
                f"more than {self.max_bad:,} pictures cannot be used (--max-bad); the first: {told(self.skipped[0])}"
            ) from None


class Positions:
    """Where in a stream its images are, if they are asked for in order, by name: those between them were skipped."""

    def __init__(self, images: Images) -> None:
        self._names = (part.name(index) for part in images.parts for index in range(part.count))
        self._next = 0

    def of_batch(self, names: list[str]) -> list[int]:
        """The positions of the next images of the stream that were not skipped."""
        return [self._of(name) for name in names]

    def _of(self, name: str) -> int:
        for other in self._names:
            self._next += 1
            if other == name:
                break
        return self._next - 1


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
    parts: list[Part] = []
    for path in paths:
        kind = listing.kind_of(path)
        parts += (
            [Picture(file, wanted, root=path) for file in _pictures_of(path)]
            if kind == listing.FOLDER
            else [open_file(path, kind, wanted)]
        )
    return Images(tuple(parts), image_files.fitting(4 * math.prod(wanted.shape)), max_bad)


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
    reading = Reading(reading.alpha or trained.alpha, reading.levels or trained.levels, reading.holes)
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
