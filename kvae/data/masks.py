"""Which pixels of images are missing: a mask in a file, one for each image, or a box."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.data import decoding, listing
from kvae.data.image_files import Picture
from kvae.data.images import Images
from kvae.data.opening import Unusable, quiet
from kvae.data.pixels import Header
from kvae.errors import DataError, KvaeError
from kvae.files import arrays, idx
from kvae.files.text import printable

Bools = NDArray[np.bool_]
OfPosition = Callable[[int], Bools]
"""The mask of the image at a position of a stream, `(height, width, 1)`: True is missing."""
MEANING = "A mask is white where pixels are missing, and black where they are seen"


class Box(NamedTuple):
    """A rectangle of missing pixels."""

    left: int
    top: int
    width: int
    height: int

    def mask(self, height: int, width: int) -> Bools:
        """The mask of images of this size.

        Raises:
            KvaeError: the box is empty, or not within the images.
        """
        right, bottom = self.left + self.width, self.top + self.height
        if min(self.left, self.top) < 0 or min(self.width, self.height) < 1 or right > width or bottom > height:
            raise KvaeError(
                f"--box {','.join(map(str, self))} (left, top, width, height) is not within the model's images, which "
                f"are {width} wide and {height} high."
            )
        found = np.zeros((height, width, 1), np.bool_)
        found[self.top : bottom, self.left : right] = True
        return found


def open_masks(path: Path, images: Images, height: int, width: int) -> OfPosition:
    """The masks of a stream of images.

    Args:
        path: a picture or an array of one mask for all; an array of a mask for each image, `(n, height, width)`; or a
            folder of pictures with a mask for each image: of the same name, whatever the suffix, if the images are
            pictures, and in the order of the names if they are an array. White, 255, 1 and True are missing.
        images: the stream; its images that will be skipped have masks too.
        height: of the model's images, and of the masks.
        width: likewise.

    Raises:
        DataError: a mask cannot be read, has another size or other levels than black and white, or is missing.
    """
    kind = listing.kind_of(path)
    if kind == listing.FOLDER:
        return _of_folder(path, images, height, width)
    if kind == listing.RECORDS:
        raise DataError(f"{path} holds TFRecords; a mask is a picture, an array, or a folder of pictures.")
    if kind == listing.PICTURE:
        one = _picture(path, height, width)
        return lambda position: one
    opened = idx.open_idx(path) if kind == listing.IDX else _array(path)
    shape, sizes = opened.shape, ((height, width), (height, width, 1), *([(width,)] if height == 1 else []))
    if shape in sizes:
        one = _binary(np.concatenate(list(opened.rows(shape[0]))), path).reshape(height, width, 1)
        return lambda position: one
    if shape[1:] not in sizes:
        raise DataError(
            f"{path} has shape {printable(shape)}; expected a mask of {height} x {width} (height x width) like the "
            f"model's images, or one for each of the {images.count:,} images."
        )
    if shape[0] != images.count:
        raise DataError(f"{path} holds {shape[0]:,} masks for {images.count:,} images; expected one for each.")
    each = [_binary(rows, path).reshape(-1, height, width, 1) for rows in opened.rows(1024)]
    every = np.concatenate(each)
    return lambda position: every[position]


def _array(path: Path) -> arrays.ArrayFile:
    return arrays.open_array(path, ("mask", "masks", "images"))


def _of_folder(path: Path, images: Images, height: int, width: int) -> OfPosition:
    names = [name for name in listing.names_under(path) if listing.is_picture(name)]
    if not names:
        raise DataError(f"{path} holds no pictures (files named {', '.join(listing.PICTURE_SUFFIXES)}).")
    if not all(isinstance(part, Picture) for part in images.parts):
        if len(names) != images.count:
            raise DataError(f"{path} holds {len(names):,} masks for {images.count:,} images; expected one for each.")
        return lambda position: _picture(path / names[position], height, width)
    by_stem = {Path(name).with_suffix(""): name for name in names}
    stems = [_stem(part) for part in images.parts if isinstance(part, Picture)]
    lost = [stem for stem in stems if stem not in by_stem]
    if lost:
        raise DataError(
            f"{path} has no mask named {printable(str(lost[0]))}.*: a picture's mask has its name, with any suffix "
            f"({len(lost):,} of {len(stems):,} are missing)."
        )
    return lambda position: _picture(path / by_stem[stems[position]], height, width)


def _stem(part: Picture) -> Path:
    """What a picture's mask is named: its path below the folder that the user named, without the suffix."""
    return (Path(part.path.name) if part.root is None else part.path.relative_to(part.root)).with_suffix("")


def _picture(path: Path, height: int, width: int) -> Bools:
    def check(found: Header) -> None:
        if found[1:3] != (height, width):
            raise Unusable(
                f"it is a mask of {found.height} x {found.width} (height x width); the model's images are {height} x "
                f"{width}"
            )

    try:
        with quiet():
            return _binary(decoding.decode(path, (height, width, 1), resize=False, check=check), path)
    except Unusable as error:
        raise DataError(f"{path}: {error}.") from None


def _binary(levels: NDArray[np.generic], path: Path) -> Bools:
    """Levels as a mask: 0 and 255, 0 and 1, or bools."""
    values = np.unique(levels)
    if levels.dtype.kind not in "buif" or not (np.isin(values, (0, 1)).all() or np.isin(values, (0, 255)).all()):
        found = printable(", ".join(str(value) for value in values[:4]), 80) + (", ..." if len(values) > 4 else "")
        raise DataError(f"{path} is not black and white: it has the levels {found}. {MEANING}.")
    return levels != 0
