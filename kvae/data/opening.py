"""A stranger's picture file, opened so that it can do no more than be a picture: for training and every other verb.

The formats are a fixed list; sizes are bounded before anything is decoded; pipes and devices are not waited for;
whatever Pillow raises becomes one line.
"""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from kvae.files.text import printable

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats of Pillow that are read, whatever a file is called. Others have decoders that few people look at, or start
another program (EPS: Ghostscript)."""
MAX_PIXELS = 40_000_000
"""Pixels of a picture beyond which it is refused: decoding takes up to 16 bytes each, 640 MB in all."""
MAX_FILE_BYTES = 4 * MAX_PIXELS
"""Bytes of a file beyond which it is refused: no picture of `MAX_PIXELS` needs more."""


class Unusable(Exception):
    """Why a picture cannot be used, in words that follow its name and a colon."""


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of Pillow while the block runs, in any thread: what matters in them is found out here."""
    Image.init()  # all formats, before threads look for them
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


@contextmanager
def opened(content: Path | bytes) -> Iterator[Image.Image]:
    """A picture whose header is read, and whose pixels are not yet.

    Args:
        content: a file, or an encoded picture.

    Raises:
        Unusable: not a picture, or not one that is read; also for what goes wrong as the block decodes it.
    """
    try:
        _check_bytes(_size(content))
        with Image.open(content if isinstance(content, Path) else BytesIO(content), formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Unusable(_too_many())
            # A photograph in the format MPO is one picture with another, such as its preview, behind it.
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
    except Exception as error:  # whatever Pillow lets through of a damaged file: it must end nothing but this picture
        raise Unusable(f"it is damaged: {printable(error, 100)}") from None


def _size(content: Path | bytes) -> int:
    if not isinstance(content, Path):
        return len(content)
    found = os.stat(content)
    if not stat.S_ISREG(found.st_mode):  # a pipe, say, for which one would wait forever
        raise Unusable("it is not a regular file")
    return found.st_size


def _check_bytes(size: int) -> None:
    if not size:
        raise Unusable("it is empty")
    if size > MAX_FILE_BYTES:
        raise Unusable(f"it has more than {MAX_FILE_BYTES:,} bytes")


def _too_many() -> str:
    return f"it has more than {MAX_PIXELS:,} pixels"
