"""How an opened picture becomes grey or RGB pixels of 8 bits: one rule, for training and every other verb.

What would lose something unseen is not done unasked: transparency takes a colour to stand on, 16 bits a range of
levels. CMYK is refused. Opaque transparency channels, palettes and orientations lose nothing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kvae.data.opening import Unusable
from kvae.files import pictures

GREY_MODES = ("1", "L", "LA", "La")
COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX")
DEEP_MODES = ("I", "F")
"""How the modes of more than 8 bits begin, which Pillow would clip instead of scaling them."""
RESAMPLING = Image.Resampling.LANCZOS
ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""
Shape = tuple[int, int, int]


class Reading(NamedTuple):
    """What a user decided about pictures that cannot be read without a decision."""

    alpha: str | None = None
    """The colour below transparent pixels, "white" or "black"; None refuses them."""
    levels: tuple[int, int] | None = None
    """Of pictures of more than 8 bits, the levels that become black and white; None refuses them."""


class Header(NamedTuple):
    """What is known of a picture before its pixels are."""

    format: str
    height: int
    width: int
    channels: int


def header(picture: Image.Image, reading: Reading) -> Header:
    """What an opened picture says of itself.

    Raises:
        Unusable: its colours, or its depth, make it unfit.
    """
    if _is_deep_colour(picture):
        raise Unusable("it has 16 bits a channel and colour; save it with 8")
    if picture.mode.startswith(DEEP_MODES):
        if reading.levels is None:
            raise Unusable("it has more than 8 bits a channel (see --levels)")
    elif picture.mode not in (*GREY_MODES, *COLOUR_MODES, "P", "PA"):
        raise Unusable(f"it is {picture.mode}; save it as grey or RGB")
    early = picture.format != "PNG" or "exif" in picture.info  # or else Pillow would decode the PNG to look for it
    turned = early and orientation(picture) >= 5
    height, width = (picture.width, picture.height) if turned else (picture.height, picture.width)
    name = "JPEG" if picture.format == "MPO" else str(picture.format)
    return Header(name, height, width, 1 if is_grey(picture) else 3)


def is_grey(picture: Image.Image) -> bool:
    """Whether a picture has no colours, or a palette of greys alone."""
    if picture.mode in ("P", "PA"):
        palette = bytes(picture.palette.palette) if picture.palette else b""
        step = len(picture.palette.mode) if picture.palette else 3
        return palette[::step] == palette[1::step] == palette[2::step]
    return picture.mode in GREY_MODES or picture.mode.startswith(DEEP_MODES)


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned the way it is seen."""
    return picture if orientation(picture) == 1 else ImageOps.exif_transpose(picture)


def orientation(picture: Image.Image) -> int:
    """How the picture is to be turned, 1 for not at all: also if what a camera wrote beside it is damaged."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # of the picture itself this says nothing
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def flat(picture: Image.Image, reading: Reading) -> Image.Image:
    """A decoded picture in the mode L or RGB.

    Raises:
        Unusable: transparent pixels, and no colour for them.
    """
    if picture.mode.startswith(DEEP_MODES):
        return Image.fromarray(to_bytes(np.asarray(picture), reading))
    mode = "L" if is_grey(picture) else "RGB"
    if "transparency" not in picture.info and picture.mode not in ("LA", "La", "PA", "RGBA", "RGBa"):
        return picture.convert(mode)
    solid = picture.convert("RGBA")
    lowest, _ = solid.getchannel("A").getextrema()
    if lowest == 255:
        return solid.convert("RGB").convert(mode)
    if reading.alpha is None:
        raise Unusable("it is transparent (see --alpha)")
    below = Image.new("RGBA", solid.size, reading.alpha)
    below.alpha_composite(solid)
    return below.convert("RGB").convert(mode)


def to_bytes(levels: NDArray[np.generic], reading: Reading) -> NDArray[np.uint8]:
    """Levels of more than 8 bits as bytes: linear between the two of `reading.levels`, and cut off outside.

    Raises:
        Unusable: no levels are given.
    """
    if reading.levels is None:
        raise Unusable("it has more than 8 bits a channel (see --levels)")
    low, high = reading.levels
    return pictures.to_uint8((levels.astype(np.float64) - low) / (high - low))


def fitted(picture: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """The pixels of a picture of mode L or RGB in a shape: its largest middle part of these proportions, by Lanczos."""
    height, width, channels = shape
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), RESAMPLING)
    return np.asarray(picture, np.uint8).reshape(shape)


def _is_deep_colour(picture: Image.Image) -> bool:
    """Whether it has 16 bits a channel that Pillow drops to 8 as it decodes, as it does of colour PNGs.

    In other formats 16 bits may be those of a pixel, as in a BMP of 5, 6 and 5 a channel.
    """
    tiles = getattr(picture, "tile", []) if picture.format == "PNG" else []
    return not picture.mode.startswith(DEEP_MODES) and any(";16" in str(tile[3]) for tile in tiles)
