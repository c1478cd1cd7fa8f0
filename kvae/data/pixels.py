"""Convert an opened picture to grey or RGB pixels of 8 bits: one rule, for training and every other verb.

Nothing is lost silently: transparency needs a background colour from the user, and 16 bits need a range of levels. CMYK
is refused. Opaque transparency channels, palettes and orientations are converted without loss.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from kvae.data.opening import Unusable
from kvae.files import pictures
from kvae.files.reading import Reading

GREY_MODES = ("1", "L", "LA", "La")
COLOUR_MODES = ("RGB", "RGBA", "RGBa", "RGBX")
DEEP_MODES = ("I", "F")
"""First letters of the modes with more than 8 bits, which Pillow would clip instead of scaling."""
RESAMPLING = Image.Resampling.LANCZOS
ORIENTATION = 0x0112
"""The EXIF tag for how a camera was held."""
BITS_PER_SAMPLE = 258
"""The TIFF tag for the bits of each channel."""
WHITE = 65535
"""The level to which Pillow scales white in a PGM of more than 8 bits."""
TOO_DEEP = "it has more than 8 bits per channel (see --levels)"
NO_NUMBERS = "it holds NaN or infinity"
Shape = tuple[int, int, int]


class Header(NamedTuple):
    """What is known about a picture before its pixels are decoded."""

    format: str
    height: int
    width: int
    channels: int
    is_row: bool = False
    """Whether it is the row of a table, which has any width, and cannot be resized."""
    is_float: bool = False
    """Whether it is one of an array of floats, which are rounded to 8-bit levels."""


def header(picture: Image.Image, reading: Reading) -> Header:
    """The header of an opened picture.

    Raises:
        Unusable: the picture cannot be used because of its colours or its bits per channel.
    """
    deep = picture.mode.startswith(DEEP_MODES)
    if not deep and _bits(picture) > 8:
        raise Unusable("it has colour with 16 bits per channel; save it with 8")
    if deep:
        if reading.levels is None:
            raise Unusable(TOO_DEEP)
    elif picture.mode not in (*GREY_MODES, *COLOUR_MODES, "P", "PA"):
        raise Unusable(f"it is {picture.mode}; save it as grey or RGB")
    early = picture.format != "PNG" or "exif" in picture.info  # otherwise Pillow would decode the PNG to look for it
    turned = early and orientation(picture) >= 5
    height, width = (picture.width, picture.height) if turned else (picture.height, picture.width)
    name = "JPEG" if picture.format == "MPO" else str(picture.format)
    return Header(name, height, width, 1 if is_grey(picture) else 3)


def is_grey(picture: Image.Image) -> bool:
    """Whether a picture has no colours, or a palette of only greys."""
    if picture.mode in ("P", "PA"):
        palette = bytes(picture.palette.palette) if picture.palette else b""
        step = len(picture.palette.mode) if picture.palette else 3
        return palette[::step] == palette[1::step] == palette[2::step]
    return picture.mode in GREY_MODES or picture.mode.startswith(DEEP_MODES)


def upright(picture: Image.Image) -> Image.Image:
    """The picture, rotated as it should be seen."""
    return picture if orientation(picture) == 1 else ImageOps.exif_transpose(picture)


def orientation(picture: Image.Image) -> int:
    """The EXIF orientation of a picture; 1, which means no rotation, also if its EXIF data is damaged."""
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # the picture itself may still be fine
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def greatest_level(picture: Image.Image) -> int | None:
    """The level of white in the file of a picture that is not decoded yet, if Pillow scales its levels to 65535."""
    for decoder, _, _, args in _tiles(picture):
        if decoder in ("ppm", "ppm_plain") and isinstance(args, tuple):
            return int(args[1])
    return None


def flat(picture: Image.Image, reading: Reading, top: int | None = None) -> Image.Image:
    """A decoded picture, converted to the mode L or RGB.

    Args:
        picture: the picture.
        reading: how to read transparency and more than 8 bits.
        top: its `greatest_level`.

    Raises:
        Unusable: the picture has transparent pixels, or more than 8 bits, and `reading` does not say how to read them.
    """
    if picture.mode.startswith(DEEP_MODES):
        levels = np.asarray(picture)
        return Image.fromarray(to_bytes(levels if top is None else np.rint(levels * (top / WHITE)), reading))
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
    """Levels of more than 8 bits as bytes: scaled linearly between the two of `reading.levels`, and clipped outside.

    Raises:
        Unusable: `reading` has no levels, or some levels are not finite.
    """
    if reading.levels is None:
        raise Unusable(TOO_DEEP)
    if not np.isfinite(levels).all():
        raise Unusable(NO_NUMBERS)
    low, high = reading.levels
    return pictures.to_uint8((levels.astype(np.float64) - low) / (high - low))


def holes(picture: Image.Image) -> NDArray[np.bool_]:
    """Where a decoded picture is transparent, `(height, width)`.

    Raises:
        Unusable: a pixel is transparent in part, so that it is neither there nor missing.
    """
    if "transparency" not in picture.info and picture.mode not in ("LA", "La", "PA", "RGBA", "RGBa"):
        return np.zeros((picture.height, picture.width), np.bool_)
    opacity = np.asarray(picture.convert("RGBA").getchannel("A"))
    found: NDArray[np.bool_] = opacity == 0
    if not (found | (opacity == 255)).all():
        raise Unusable("some pixels are partly transparent; a missing pixel is fully transparent (see --alpha)")
    return found


def fitted(picture: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """The pixels of a picture of mode L or RGB in a shape: centre-cropped to its aspect ratio, resized by Lanczos."""
    height, width, channels = shape
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), RESAMPLING)
    return np.asarray(picture, np.uint8).reshape(shape)


def _bits(picture: Image.Image) -> int:
    """Bits per channel in the file of a picture that is not decoded yet; Pillow keeps only 8 bits of colours."""
    if picture.format == "TIFF":
        return max(getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE, (1,)))
    if picture.format == "PPM":
        return (greatest_level(picture) or 255).bit_length()
    # In other formats, 16 bits may be per pixel, as in a BMP with channels of 5, 6 and 5 bits.
    return 16 if picture.format == "PNG" and any(";16" in str(args) for _, _, _, args in _tiles(picture)) else 8


def _tiles(picture: Image.Image) -> list[Any]:
    """Where Pillow will find the pixels of a picture, and the decoder and arguments it will use."""
    tiles: list[Any] = getattr(picture, "tile", [])
    return tiles
