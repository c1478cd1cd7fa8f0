"""Images as pictures: grids and PNG files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvae.errors import KvaeError

GAP = 2
"""Pixels between the images of a grid."""
MIN_CELL = 56
"""Images smaller than this are enlarged by a whole factor in a grid, so that one can see them."""


def to_uint8(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Floats in [0, 1] as bytes 0 to 255, rounded; values outside are clipped."""
    return np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)


def picture(image: NDArray[Any]) -> Image.Image:
    """One image `(height, width, channels)`, floats in [0, 1] or bytes, as a Pillow image: grey (1 channel) or RGB (3).

    Raises:
        KvaeError: another number of channels.
    """
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    channels = pixels.shape[-1]
    if channels not in (1, 3):
        raise KvaeError(f"a picture has 1 or 3 channels; these images have {channels}. Write .npy or .npz instead.")
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def grid(images: NDArray[Any], columns: int | None = None) -> Image.Image:
    """A grid of images on white, filled row by row.

    Args:
        images: `(n, height, width, channels)`, floats in [0, 1] or bytes.
        columns: images per row; by default as many as make the grid square (64 images: 8 by 8).
    """
    n, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    pixels = images if images.dtype == np.uint8 else to_uint8(images)
    canvas = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, channels), 255, np.uint8)
    for index, image in enumerate(pixels):
        top = GAP + (index // columns) * (height + GAP)
        left = GAP + (index % columns) * (width + GAP)
        canvas[top : top + height, left : left + width] = image
    factor = max(1, round(MIN_CELL / max(height, width)))
    return picture(canvas.repeat(factor, axis=0).repeat(factor, axis=1))


def reconstructions(originals: NDArray[Any], decoded: NDArray[Any], columns: int) -> Image.Image:
    """A grid with each original above its reconstruction; images that do not fill a row are left out.

    Args:
        originals: `(n, height, width, channels)`, floats in [0, 1] or bytes.
        decoded: their reconstructions, of the same shape and type.
        columns: images per row, or n where that is less.
    """
    columns = min(columns, len(originals))
    rows = [
        images[first : first + columns]
        for first in range(0, len(originals) - columns + 1, columns)
        for images in (originals, decoded)
    ]
    return grid(np.concatenate(rows), columns)


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG, whatever the name of `path` ends with."""
    image.save(path, format="PNG")
