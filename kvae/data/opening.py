"""Open an untrusted picture file safely, for training and every other verb.

The formats are a fixed list; sizes are limited before anything is decoded; pipes and devices are refused without
waiting; whatever Pillow raises becomes one line.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from kvae.files import regular
from kvae.files.text import printable

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats of Pillow that are read, whatever a file is called. Other formats have decoders that few people review, or
start another program (EPS starts Ghostscript)."""
MAX_PIXELS = 40_000_000
"""Maximum number of pixels of a picture; decoding takes up to 16 bytes each, 640 MB in all."""
MAX_FILE_BYTES = 4 * MAX_PIXELS
"""Maximum size of a file in bytes; no picture of `MAX_PIXELS` needs more."""


class Unusable(Exception):
    """Why a picture cannot be used; the message follows the picture's name and a colon."""


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore Pillow's warnings in all threads while the block runs; this module checks what matters itself."""
    Image.init()  # loads all formats, before threads need them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


@contextmanager
def opened(content: Path | bytes) -> Iterator[Image.Image]:
    """A picture whose header has been read, but not its pixels.

    Args:
        content: a file, or an encoded picture.

    Raises:
        Unusable: it is not a picture of a known format, or cannot be used; also if the block fails to decode it.
    """
    try:
        _check_bytes(_size(content))
        with Image.open(content if isinstance(content, Path) else BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Unusable(_too_many())
            # A photograph in the MPO format is one picture followed by others, such as its preview.
            if picture.format != "MPO" and getattr(picture, "is_animated", False):
                raise Unusable("it is animated, or has several pages")
            yield picture
    except Unusable:
        raise
    except UnidentifiedImageError:
        raise Unusable(f"it is not a picture of a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError:
        raise Unusable(_too_many()) from None
    except MemoryError:
        raise Unusable("it does not fit in memory") from None
    except OSError as error:
        raise Unusable(f"it cannot be read: {error.strerror or printable(error, 100)}") from None
    except Exception as error:  # Pillow can raise anything on a damaged file, which must affect only this picture
        raise Unusable(f"it is damaged: {printable(error, 100)}") from None


def _size(content: Path | bytes) -> int:
    if not isinstance(content, Path):
        return len(content)
    regular.check(content)
    return content.stat().st_size


def _check_bytes(size: int) -> None:
    if not size:
        raise Unusable("it is empty")
    if size > MAX_FILE_BYTES:
        raise Unusable(f"it has more than {MAX_FILE_BYTES:,} bytes")


def _too_many() -> str:
    return f"it has more than {MAX_PIXELS:,} pixels"
