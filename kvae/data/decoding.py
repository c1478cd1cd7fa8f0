"""A picture of a user's own becomes uint8 pixels, or a reason why it cannot be used. No file can do more than that.

What could lose something unseen is not converted: 16 bits a channel, CMYK, palettes but those of GIF (all of whose
pictures have one, of 8-bit RGB), transparency, the frames of an animation. Grey becomes RGB where a data set has both,
which loses nothing.
"""

import contextlib
import math
import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from kvae.config import MAX_SIZE, MIN_SIZE
from kvae.data.images import RESAMPLING
from kvae.files import pictures
from kvae.files.picture_files import MAX_FILE_BYTES, MAX_PIXELS

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
"""The formats that are read, whatever a file is called: a reader that is not called cannot be tricked."""
MODES = {"L": 1, "1": 1, "RGB": 3}
"""The modes of Pillow that are taken, and the channels they have."""
LARGE = 2**23
"""Pixels from which on pictures are decoded one at a time, for the sake of memory."""
TOO_MANY = f"it has more than {MAX_PIXELS:,} pixels"
ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""

Content = Path | bytes | NDArray[Any]
"""A file, an encoded picture, or the array `(height, width, channels)` of one: uint8, bool, or floats in [0, 1]."""
Shape = tuple[int, int, int]
_large = threading.Lock()
_REASONS = {
    "P": "it has a palette",
    "PA": "it has a palette",
    "LA": "it is transparent",
    "RGBA": "it is transparent",
    "La": "it is transparent",
    "RGBa": "it is transparent",
    "CMYK": "it is CMYK",
    "I": "it has more than 8 bits a channel",
    "F": "it has more than 8 bits a channel",
}


class Unusable(Exception):
    """Why a picture cannot be used, in words that follow its name and a colon."""


class Header(NamedTuple):
    """What is known of a picture before its pixels are."""

    format: str
    height: int
    width: int
    channels: int


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of Pillow while the block runs, in any thread: what matters in them is found out by `decode`."""
    Image.init()  # all formats, before threads look for them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def probe(content: Content) -> Header:
    """What a picture's first bytes say, or an array's shape.

    Raises:
        Unusable: what they say, or that they cannot be read, makes it unfit.
    """
    if isinstance(content, np.ndarray):
        return Header(f"array of {content.dtype}", *content.shape)
    with _opened(content) as picture:
        return _header(picture)


def decode(content: Content, shape: Shape, resize: bool) -> NDArray[np.uint8]:
    """The pixels of a picture.

    Args:
        content: where they are.
        shape: `(height, width, channels)` of the result; colour is made grey, and grey is made RGB, to fit it.
        resize: bring pictures of another size to this one: the largest middle part of its proportions, by Lanczos.

    Raises:
        Unusable: there are none, or not of this size.
    """
    if isinstance(content, np.ndarray):
        return _of_array(content, shape, resize)
    with _opened(content) as picture:
        header = _header(picture)
        _check_size(header.height, header.width, shape, resize)
        with _large if picture.width * picture.height > LARGE else contextlib.nullcontext():
            picture.load()
            if _orientation(picture) != 1:
                picture = ImageOps.exif_transpose(picture)
            _check_size(picture.height, picture.width, shape, resize)  # a camera's mark may stand at a file's end
            return _fitted(picture, shape)


def _of_array(array: NDArray[Any], shape: Shape, resize: bool) -> NDArray[np.uint8]:
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise Unusable("it holds NaN or infinity")
        if array.min() < 0 or array.max() > 1:
            raise Unusable("it holds floats that are not in [0, 1] (save levels of 0 to 255 as uint8)")
        array = pictures.to_uint8(array)
    if array.shape == shape:
        return array
    _check_size(array.shape[0], array.shape[1], shape, resize)
    return _fitted(pictures.picture(array), shape)


def _fitted(picture: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    height, width, channels = shape
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), RESAMPLING)
    return np.asarray(picture, np.uint8).reshape(shape)


def check_extent(height: int, width: int, resize: bool) -> str | None:
    """What is wrong with an image's height and width, whatever size its data set has."""
    if min(height, width) < MIN_SIZE:
        return f"it is less than {MIN_SIZE} pixels high or wide"
    if height * width > MAX_PIXELS:
        return TOO_MANY
    if max(height, width) > MAX_SIZE and not resize:
        return f"it is more than {MAX_SIZE} pixels high or wide (see --image-size)"
    return None


def _check_size(height: int, width: int, shape: Shape, resize: bool) -> None:
    if wrong := check_extent(height, width, resize):
        raise Unusable(wrong)
    if not resize and (height, width) != shape[:2]:
        raise Unusable(f"it is not {shape[0]} x {shape[1]} (height x width), as most are (see --image-size)")


@contextmanager
def _opened(content: Path | bytes) -> Iterator[Image.Image]:
    try:
        if isinstance(content, Path):
            found = os.stat(content)
            if not stat.S_ISREG(found.st_mode):  # a pipe, say, for which one would wait forever
                raise Unusable("it is no regular file")
            size = found.st_size
        else:
            size = len(content)
        if not size:
            raise Unusable("it is empty")
        if size > MAX_FILE_BYTES:
            raise Unusable(f"it has more than {MAX_FILE_BYTES:,} bytes")
        with Image.open(content if isinstance(content, Path) else BytesIO(content), formats=FORMATS) as picture:
            yield picture
    except Unusable:
        raise
    except UnidentifiedImageError:
        raise Unusable(f"it is no picture of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise Unusable(TOO_MANY) from None
    except OSError as error:
        raise Unusable(f"it cannot be read: {error.strerror or error}") from None
    except Exception as error:  # whatever Pillow lets through of a damaged file: it must end nothing but this picture
        raise Unusable(f"it is damaged: {' '.join(str(error).split())[:100]}") from None


def _header(picture: Image.Image) -> Header:
    if math.prod(picture.size) > MAX_PIXELS:
        raise Unusable(TOO_MANY)
    if picture.format != "MPO" and getattr(picture, "is_animated", False):  # MPO: a camera's JPEG with a preview
        raise Unusable("it is animated")
    if _is_deep(picture):
        raise Unusable(_REASONS["I"])
    if "transparency" in picture.info:
        raise Unusable(_REASONS["LA"])
    channels = _gif_channels(picture) if (picture.format, picture.mode) == ("GIF", "P") else MODES.get(picture.mode)
    if channels is None:
        raise Unusable(_REASONS.get(picture.mode, f"it has the mode {picture.mode}"))
    early = picture.format != "PNG" or "exif" in picture.info  # or else Pillow would decode the PNG to look for it
    sides = (picture.width, picture.height) if early and _orientation(picture) >= 5 else (picture.height, picture.width)
    return Header("JPEG" if picture.format == "MPO" else str(picture.format), *sides, channels)


def _gif_channels(picture: Image.Image) -> int:
    """1 where all colours of the palette are grey."""
    palette = bytes(picture.palette.palette) if picture.palette else b""
    return 1 if palette[::3] == palette[1::3] == palette[2::3] else 3


def _is_deep(picture: Image.Image) -> bool:
    """More than 8 bits a channel, which Pillow reads a mode for, or drops to 8 as it decodes a colour PNG.

    In other formats 16 bits may be those of a pixel, as in a BMP of 5, 6 and 5 a channel.
    """
    tiles = getattr(picture, "tile", []) if picture.format == "PNG" else []
    return picture.mode.startswith(("I;", "I", "F")) or any(";16" in str(tile[3]) for tile in tiles)


def _orientation(picture: Image.Image) -> int:
    """How the picture is to be turned, 1 for not at all: also where what a camera wrote beside it is damaged."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # of the picture itself this says nothing
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1
