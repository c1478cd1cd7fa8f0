"""The pixels of an image, wherever it stands: an encoded picture, a file, or an array; or why it cannot be used."""

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

LARGE = 2**23
"""Pixels from which on pictures are decoded one at a time, for the sake of memory."""
Content = Path | bytes | NDArray[Any]
"""A file, an encoded picture, or the array `(height, width, channels)` of one: uint8, bool, floats in [0, 1], or other
integers with `Reading.levels`."""
Check = Callable[[Header], None]
_large = threading.Lock()


def probe(content: Content, reading: Reading = PLAIN) -> Header:
    """What a picture's first bytes say, or an array's shape.

    Raises:
        Unusable: what they say, or that they cannot be read, makes it unfit.
    """
    if isinstance(content, np.ndarray):
        return Header(f"array of {content.dtype}", *content.shape)
    with opened(content) as picture:
        return pixels.header(picture, reading)


def decode(
    content: Content, shape: Shape, resize: bool, reading: Reading = PLAIN, check: Check | None = None
) -> NDArray[np.uint8]:
    """The pixels of a picture.

    Args:
        content: where they are.
        shape: `(height, width, channels)` of the result; colour is made grey, and grey is made RGB, to fit it.
        resize: bring pictures of another size to this one: the largest middle part of its proportions, by Lanczos.
        reading: what is done about transparency and more than 8 bits.
        check: raises for a header whose pixels are not wanted; by default for those of other sizes than kvae trains on,
            and without `resize` than this one.

    Raises:
        Unusable: there are none, or not of this size.
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
            check(found._replace(height=turned.height, width=turned.width))  # its mark may stand at the end
            return pixels.fitted(pixels.flat(turned, reading, top), shape)


def _of_array(array: NDArray[Any], shape: Shape, reading: Reading, check: Check) -> NDArray[np.uint8]:
    if array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = pixels.to_bytes(array, reading)
    elif array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise Unusable(pixels.NO_NUMBERS)
        if array.min() < 0 or array.max() > 1:
            raise Unusable("it holds floats that are not in [0, 1] (save levels of 0 to 255 as uint8)")
        array = pictures.to_uint8(array)
    if array.shape == shape:
        return array
    check(probe(array))
    return pixels.fitted(pictures.picture(array), shape)


def check_extent(height: int, width: int, resize: bool) -> str | None:
    """What is wrong with the height and width of an image to train on, whatever size its data set has."""
    if min(height, width) < MIN_SIZE:
        return f"it is less than {MIN_SIZE} pixels high or wide"
    if height * width > MAX_PIXELS:
        return f"it has more than {MAX_PIXELS:,} pixels"
    if max(height, width) > MAX_SIZE and not resize:
        return f"it is more than {MAX_SIZE} pixels high or wide (see --image-size)"
    return None


def _check_size(header: Header, shape: Shape, resize: bool) -> None:
    if wrong := check_extent(header.height, header.width, resize):
        raise Unusable(wrong)
    if not resize and header[1:3] != shape[:2]:
        raise Unusable(f"it is not {shape[0]} x {shape[1]} (height x width), as most are (see --image-size)")
