"""What the shape of an array says: images, rows of a table, or a mistake, with the line of Python that repairs it.

An array of `(n, k)` is a table: each row is an image of 1 x k with one channel, of which nothing can be pictured.
"""

import math
from collections.abc import Sequence

from kvae.config import MIN_SIZE
from kvae.files import pictures

CHANNELS = (1, 3)
"""Channels of the images that kvae trains on: grey and RGB."""
MAX_COLUMNS = 2**16
"""Maximum number of values in a row of a table, the number of pixels in the largest image."""


def as_images(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape `(n, height, width, channels)` of an array of tables, grey images or images; else the shape itself."""
    if len(shape) == 2:
        return shape[0], 1, shape[1], 1
    return (*shape, 1) if len(shape) == 3 else tuple(shape)


def maybe_flat(columns: int) -> str:
    """A hint, as a further clause, if the rows of a table could be flattened square images; else empty."""
    side = math.isqrt(columns)
    if side < MIN_SIZE or side * side != columns:
        return ""
    return f"; if its rows are flat {side} x {side} images, save x.reshape(-1, {side}, {side})"


def wrong(shape: Sequence[int]) -> str | None:
    """Why kvae cannot train on an array of this shape, in words that follow the file's name; None if it can."""
    if len(shape) == 2:
        if shape[1] > MAX_COLUMNS:
            return f"holds a table with rows of {shape[1]:,} values; expected at most {MAX_COLUMNS:,}"
        return None
    found = f"has shape {tuple(shape)}"
    if len(shape) == 4 and shape[3] not in CHANNELS and shape[1] in CHANNELS:
        return f"{found}: channels first; transpose with np.moveaxis(x, 1, -1)"
    if len(shape) == 3 and shape[2] in (*CHANNELS, 4) and min(shape[:2]) >= MIN_SIZE:
        return (
            f"{found}, which is one image of (height, width, channels), or images only {shape[2]} wide; expected many"
        )
    if len(shape) == 3 and shape[0] in CHANNELS and min(shape[1:]) >= MIN_SIZE:
        return None  # one or three grey images, too few to train on, which is said elsewhere
    if len(shape) == 4 and shape[3] == 4:
        return f"{found}, with 4 channels; drop transparency with x[..., :3]"
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in CHANNELS):
        return (
            f"{found}; expected (images, height, width), (images, height, width, channels) with 1 or 3 channels, or a "
            f"table (rows, values)"
        )
    return None


def advice(shape: Sequence[int], wanted: Sequence[int]) -> str:
    """What to do with an array that does not have the model's shape, as further sentences; empty if unknown.

    Args:
        shape: the array's shape.
        wanted: the model's `(height, width, channels)`.
    """
    height, width, channels = wanted
    if tuple(shape[1:]) == (channels, height, width) and len(shape) == 4:
        return " They are channels first: transpose with np.moveaxis(x, 1, -1)."
    if tuple(shape) in ((height, width, channels), (height, width)) and channels in CHANNELS:
        return " It is one image: add an axis with x[None]."
    if tuple(shape) == (channels, height, width) and channels > 1:
        return " It is one image, channels first: transpose with np.moveaxis(x, 0, -1)[None]."
    if len(shape) == 2 and shape[1] == height * width * channels and not pictures.is_table(wanted):
        return f" They are flat: restore them with x.reshape(-1, {height}, {width}, {channels})."
    return ""
