"""A picture file of unknown origin as a decoded Pillow image, or one line that says why it is none.

with open_picture(Path("cat.jpg")) as picture:
    pixels = np.asarray(picture.convert("RGB"))
"""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, ImageOps, UnidentifiedImageError

from kvae.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Formats of Pillow that are read, whatever a file is called. Others have decoders that few people look at, or start
another program (EPS: Ghostscript)."""
MAX_PIXELS = 40_000_000
"""Pixels of a picture beyond which it is refused: decoding takes up to 16 bytes each, 640 MB in all."""
MAX_FILE_BYTES = 4 * MAX_PIXELS
"""Bytes of a file beyond which it is refused: no picture of `MAX_PIXELS` needs more."""
READ_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
"""Modes of Pillow of up to 8 bits a channel, all of which it can convert to L and RGB."""
DEEP_MODES = ("I", "F")
"""How the modes of more than 8 bits begin, which Pillow would clip where it should scale them."""
_OPENING = threading.Lock()


@contextmanager
def open_picture(file: Path | IO[bytes], name: str | None = None) -> Iterator[Image.Image]:
    """The one picture of a file: decoded in full, turned the way it is seen, in one of `READ_MODES`.

    What is raised in the `with` block is left alone. Threads may open pictures side by side.

    Args:
        file: its path, or an open binary file that can seek, such as `io.BytesIO` of a record's bytes.
        name: what messages call it; by default the path.

    Raises:
        DataError: no regular file, not a picture of `FORMATS`, damaged, cut short, animated, too large in bytes or
            pixels, or of more than 8 bits a channel. One line that begins with the name.
    """
    name = name or (str(file) if isinstance(file, Path) else "the picture")
    with _reported(name):
        if isinstance(file, Path):
            with _open_file(file, name) as stream:
                picture = _decoded(stream, name)
        else:
            picture = _decoded(file, name)
    with picture:
        yield picture


def _decoded(stream: IO[bytes], name: str) -> Image.Image:
    _check_size(stream, name)
    with _OPENING, warnings.catch_warnings():  # the lock: a filter is one for all threads of the process
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
        picture = Image.open(stream, formats=FORMATS)
    with picture:
        _check(picture, name)
        picture.load()
        return ImageOps.exif_transpose(picture)  # always a copy: a decoder may hold on to more memory than its picture


@contextmanager
def _reported(name: str) -> Iterator[None]:
    """What Pillow raises becomes a DataError that names the picture."""
    try:
        yield
    except DataError:
        raise
    except UnidentifiedImageError:
        raise DataError(f"{name} is no picture that kvae reads ({', '.join(FORMATS)}).") from None
    except Image.DecompressionBombError:
        raise DataError(f"{name} has too many pixels; make it smaller first.") from None
    except MemoryError:
        raise DataError(f"{name} does not fit in memory; make it smaller first.") from None
    except OSError as error:
        raise DataError(f"{name} cannot be read: {_line(error.strerror or error)}.") from None
    except Exception as error:  # what decoders raise for damaged files has no common base
        raise DataError(f"{name} is damaged: {_line(error)}.") from None


def _open_file(path: Path, name: str) -> IO[bytes]:
    if path.exists() and not path.is_file():  # a pipe, say, for which one would wait forever
        raise DataError(f"{name} is no regular file.")
    return path.open("rb")


def _check_size(stream: IO[bytes], name: str) -> None:
    """Refuse a file by its bytes."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if size == 0:
        raise DataError(f"{name} is empty; expected a picture.")
    if size > MAX_FILE_BYTES:
        raise DataError(f"{name} has {size:,} bytes; a picture may have {MAX_FILE_BYTES:,}. Make it smaller first.")


def _check(picture: Image.Image, name: str) -> None:
    """Refuse a picture by what its header says, before it is decoded."""
    if picture.width * picture.height > MAX_PIXELS:
        raise DataError(
            f"{name} has too many pixels, {picture.width} x {picture.height}; make it smaller first "
            f"(at most {MAX_PIXELS:,})."
        )
    # A photograph in the format MPO is one picture with another, such as its preview, behind it.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise DataError(f"{name} is animated, or has several pages; give it a picture at a time.")
    if picture.mode.startswith(DEEP_MODES):
        raise DataError(f"{name} has more than 8 bits a channel; convert it to 8, or give it as .npy of floats.")
    if picture.mode not in READ_MODES:
        raise DataError(f"{name} has the mode {picture.mode}; convert it to grey or RGB first.")


def _line(error: object) -> str:
    return " ".join(str(error).split())[:150]
