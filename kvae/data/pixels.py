"""How an opened picture becomes grey or RGB pixels of 8 bits: one rule, for training and every other verb.

What would lose something unseen is not done unasked: transparency takes a colour to stand on, 16 bits a range of
levels. CMYK is refused. Opaque transparency channels, palettes and orientations lose nothing.
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
"""How the modes of more than 8 bits begin, which Pillow would clip instead of scaling them."""
RESAMPLING = Image.Resampling.LANCZOS
ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held."""
BITS_PER_SAMPLE = 258
"""The TIFF tag of the bits of each channel."""
WHITE = 65535
"""What Pillow makes of the greatest level of a PGM of more than 8 bits."""
TOO_DEEP = "it has more than 8 bits a channel (see --levels)"
NO_NUMBERS = "it holds NaN or infinity"
Shape = tuple[int, int, int]


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
    deep = picture.mode.startswith(DEEP_MODES)
    if not deep and _bits(picture) > 8:
        raise Unusable("it has 16 bits a channel and colour; save it with 8")
    if deep:
        if reading.levels is None:
            raise Unusable(TOO_DEEP)
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


def greatest_level(picture: Image.Image) -> int | None:
    """The level of white in the file of a picture that is not decoded yet, if Pillow stretches its levels to 65535."""
    for decoder, _, _, args in _tiles(picture):
        if decoder in ("ppm", "ppm_plain") and isinstance(args, tuple):
            return int(args[1])
    return None


def flat(picture: Image.Image, reading: Reading, top: int | None = None) -> Image.Image:
    """A decoded picture in the mode L or RGB.

    Args:
        picture: the picture.
        reading: what is done about transparency and more than 8 bits.
        top: its `greatest_level`.

    Raises:
        Unusable: transparent pixels, and no colour for them.
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
    """Levels of more than 8 bits as bytes: linear between the two of `reading.levels`, and cut off outside.

    Raises:
        Unusable: no levels are given, or they are no numbers.
    """
    if reading.levels is None:
        raise Unusable(TOO_DEEP)
    if not np.isfinite(levels).all():
        raise Unusable(NO_NUMBERS)
    low, high = reading.levels
    return pictures.to_uint8((levels.astype(np.float64) - low) / (high - low))


def fitted(picture: Image.Image, shape: Shape) -> NDArray[np.uint8]:
    """The pixels of a picture of mode L or RGB in a shape: its largest middle part of these proportions, by Lanczos."""
    height, width, channels = shape
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (width, height):
        picture = ImageOps.fit(picture, (width, height), RESAMPLING)
    return np.asarray(picture, np.uint8).reshape(shape)


def _bits(picture: Image.Image) -> int:
    """Bits a channel in the file of a picture that is not decoded yet: of colour Pillow drops all but 8."""
    if picture.format == "TIFF":
        return max(getattr(picture, "tag_v2", {}).get(BITS_PER_SAMPLE, (1,)))
    if picture.format == "PPM":
        return (greatest_level(picture) or 255).bit_length()
    # In other formats 16 bits may be those of a pixel, as in a BMP of 5, 6 and 5 a channel.
    return 16 if picture.format == "PNG" and any(";16" in str(args) for _, _, _, args in _tiles(picture)) else 8


def _tiles(picture: Image.Image) -> list[Any]:
    """Where Pillow will find the pixels of a picture, and with which decoder and arguments."""
    tiles: list[Any] = getattr(picture, "tile", [])
    return tiles
