"""Images as pictures: grids and PNG files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvae.errors import KvaeError

GAP = 2
"""Pixels between the images of a grid."""
FONT_SIZE = 14
"""Font size, in pixels, of the labels of a grid."""
CELL, SMALL_CELL = 112, 56
"""Images smaller than this are enlarged by an integer factor in a grid, so that they are visible: to about 112 pixels
in a grid of at most `MAX_LARGE` images, else to about 56, so that the whole of it can be seen."""
MAX_LARGE = 256


def to_uint8(images: NDArray[Any]) -> NDArray[np.uint8]:
    """Floats in [0, 1] as bytes from 0 to 255, rounded; values outside are clipped."""
    return np.rint(np.clip(images, 0.0, 1.0) * 255.0).astype(np.uint8)


def to_float32(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bytes as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def is_table(image_shape: Sequence[int]) -> bool:
    """Whether images of `(height, width, channels)` are the rows of a table, which are not pictured."""
    return image_shape[0] == 1


def picture(image: NDArray[Any]) -> Image.Image:
    """One image `(height, width, channels)`, floats in [0, 1] or bytes, as a Pillow image: grey (1 channel) or RGB (3).

    Raises:
        KvaeError: the image has another number of channels.
    """
    pixels = image if image.dtype == np.uint8 else to_uint8(image)
    channels = pixels.shape[-1]
    if channels not in (1, 3):
        raise KvaeError(f"a picture has 1 or 3 channels, but these images have {channels}. Write .npy or .npz instead.")
    return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)


def enlarged(pixels: NDArray[Any], factor: int) -> NDArray[Any]:
    """`(height, width, channels)` with a square of `factor` x `factor` for each pixel."""
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def grid(images: NDArray[Any], columns: int | None = None, scale: int | None = None) -> Image.Image:
    """A grid of images on white, filled row by row.

    Args:
        images: `(n, height, width, channels)`, floats in [0, 1] or bytes.
        columns: images per row; by default the grid is square (64 images: 8 by 8).
        scale: the factor by which all is enlarged; by default see `CELL`.
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
    factor = scale or max(1, round((CELL if n <= MAX_LARGE else SMALL_CELL) / max(height, width)))
    return picture(enlarged(canvas, factor))


def reconstructions(originals: NDArray[Any], decoded: NDArray[Any], columns: int) -> Image.Image:
    """A grid with each original above its reconstruction.

    Args:
        originals: `(n, height, width, channels)`, floats in [0, 1] or bytes.
        decoded: their reconstructions, of the same shape and type.
        columns: images per row, or n if that is less.
    """
    columns = min(columns, len(originals))
    missing = -len(originals) % columns
    white = np.full((missing, *originals.shape[1:]), 255 if originals.dtype == np.uint8 else 1, originals.dtype)
    rows = [np.concatenate([images, white]).reshape(-1, columns, *images.shape[1:]) for images in (originals, decoded)]
    return grid(np.stack(rows, axis=1).reshape(-1, *originals.shape[1:]), columns)


def labelled_grid(
    images: NDArray[Any], rows: Sequence[str], columns: Sequence[str], scale: int | None = None
) -> Image.Image:
    """A grid with a label to the left of each row and above each column.

    Args:
        images: `(rows, columns, height, width, channels)`, floats in [0, 1] or bytes.
        rows: a short label per row.
        columns: a shorter label per column.
        scale: as for `grid`.
    """
    from PIL import ImageDraw, ImageFont  # takes 4 ms, and sampling does not need it

    num_rows, num_columns = images.shape[:2]
    inner = grid(images.reshape(-1, *images.shape[2:]), num_columns, scale).convert("RGB")
    font = ImageFont.load_default(FONT_SIZE)
    left = max(math.ceil(font.getlength(text)) for text in rows) + 2 * FONT_SIZE
    top = 2 * FONT_SIZE
    canvas = Image.new("RGB", (left + inner.width, top + inner.height), "white")
    canvas.paste(inner, (left, top))
    draw = ImageDraw.Draw(canvas)
    for index, text in enumerate(rows):
        middle = top + (index + 0.5) * inner.height / num_rows
        draw.text((left - FONT_SIZE / 2, middle), text, "black", font, anchor="rm")
    for index, text in enumerate(columns):
        draw.text((left + (index + 0.5) * inner.width / num_columns, top / 2), text, "black", font, anchor="mm")
    return canvas


def save(image: Image.Image, path: Path) -> None:
    """Write a PNG, whatever the suffix of `path`."""
    image.save(path, format="PNG")
