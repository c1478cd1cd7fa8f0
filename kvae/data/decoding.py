"""Decode the pixels of an image from a file, an encoded picture, or an array; or say why it cannot be used."""

import contextlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.config import MAX_SIZE, MIN_SIZE
from kvae.data import pixels
from kvae.data.opening import MAX_PIXELS, Unusable, opened
from kvae.data.pixels import Header, Shape
from kvae.files import pictures
from kvae.files.reading import PLAIN, Reading
from kvae.files.text import printable
from kvae.numbers import rescaled

MAX_ARRAY_BYTES = 2**27
"""Maximum size of an image in an array, in bytes; resizing takes a few times as much."""
LARGE = 2**23
"""Pictures with more pixels are decoded one at a time, to save memory."""
Content = Path | bytes | NDArray[Any]
"""A file, an encoded picture, or an array `(height, width, channels)`: uint8, bool, floats in [0, 1], or, with
`Reading.levels`, other integers."""
Check = Callable[[Header], None]
_large = threading.Lock()


def wrong_numbers(dtype: np.dtype[Any], reading: Reading) -> str | None:
    """Why the numbers of an array cannot be images, in words that follow its name; None if they can."""
    if dtype.kind == "f" or dtype in (np.uint8, np.bool_) or (dtype.kind in "iu" and reading.levels is not None):
        return None
    repair = ""
    if dtype.kind in "iu":
        repair = ", or with --levels other integers. Save levels from 0 to 255 with x.astype(np.uint8)"
    return f"holds {printable(dtype)}; expected uint8, or floats in [0, 1]{repair}."


def outside(low: float, high: float) -> str:
    """What is wrong with floats from `low` to `high`, which are not all in [0, 1], in words that follow a name."""
    return f"holds floats from {low:.9g} to {high:.9g}, outside [0, 1]: use {rescaled(low, high)}"


def probe(content: Content, reading: Reading = PLAIN) -> Header:
    """The header of a picture, read from its first bytes, or of an array, from its shape.

    Raises:
        Unusable: the header cannot be read, or shows that the image cannot be used.
    """
    if isinstance(content, np.ndarray):
        height, width, channels = content.shape
        return Header(f"array of {content.dtype}", height, width, channels)
    with opened(content) as picture:
        return pixels.header(picture, reading)


def decode(
    content: Content, shape: Shape, resize: bool, reading: Reading = PLAIN, check: Check | None = None
) -> NDArray[np.uint8]:
    """The pixels of an image.

    Args:
        content: the image.
        shape: `(height, width, channels)` of the result; colour is converted to grey, or grey to RGB, to fit it.
        resize: resize pictures of another size, by Lanczos; other aspect ratios are centre-cropped.
        reading: how to read transparency and more than 8 bits.
        check: raises if a header shows that the image is not wanted; by default, if kvae cannot train on its size, or
            if, without `resize`, its size is not that of `shape`.

    Raises:
        Unusable: the image cannot be decoded, or has the wrong size.
    """
    check = check or partial(_check_size, shape=shape, resize=resize)
    if isinstance(content, np.ndarray):
        return _of_array(content, shape, reading, check)
    with opened(content) as picture:
        found = pixels.header(picture, reading)
        check(found)
        with _large if picture.width * picture.height > LARGE else contextlib.nullcontext():
            top = pixels.greatest_level(picture)
            picture.load()
            turned = pixels.upright(picture)
            check(found._replace(height=turned.height, width=turned.width))  # the orientation may be at the file's end
            return pixels.fitted(pixels.flat(turned, reading, top), shape)


def decode_seen(path: Path, shape: Shape, resize: bool, reading: Reading, check: Check) -> NDArray[np.float32]:
    """A picture's pixels as floats in [0, 1], with NaN where it is transparent; arguments as for `decode`.

    Raises:
        Unusable: as `decode`; or it is transparent and would have to be resized, which would mix what is there with
            what is missing.
    """
    with opened(path) as picture:
        check(pixels.header(picture, reading))
        picture.load()
        gone = pixels.holes(pixels.upright(picture))
    found = pictures.to_float32(decode(path, shape, resize, reading._replace(alpha="black"), check))
    if gone.any() and gone.shape != shape[:2]:
        raise Unusable("it has missing (transparent) pixels and another size than the model's images: resize it first")
    if gone.any():
        found[gone] = np.nan
    return found


def _of_array(array: NDArray[Any], shape: Shape, reading: Reading, check: Check) -> NDArray[np.uint8]:
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = pixels.to_bytes(array, reading)
    elif array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise Unusable(pixels.NO_NUMBERS)
        if array.min() < 0 or array.max() > 1:
            raise Unusable("it " + outside(float(array.min()), float(array.max())))
        array = pictures.to_uint8(array)
    if array.shape == shape:
        return array
    check(probe(array))
    return pixels.fitted(pictures.picture(array), shape)


def check_extent(found: Header, resize: bool) -> str | None:
    """What is wrong with the height and width of an image for training, regardless of the size of its data set."""
    if found.is_row:
        return "the rows of a table cannot be resized (--image-size)" if resize else None
    if min(found.height, found.width) < MIN_SIZE:
        return f"it is less than {MIN_SIZE} pixels high or wide"
    if found.height * found.width > MAX_PIXELS:
        return f"it has more than {MAX_PIXELS:,} pixels"
    if max(found.height, found.width) > MAX_SIZE and not resize:
        return f"it is more than {MAX_SIZE} pixels high or wide (see --image-size)"
    return None


def _check_size(header: Header, shape: Shape, resize: bool) -> None:
    if wrong := check_extent(header, resize):
        raise Unusable(wrong)
    if not resize and header[1:3] != shape[:2]:
        raise Unusable(f"it is not {shape[0]} x {shape[1]} (height x width) like most images (see --image-size)")
