"""Untrusted picture files are decoded and upright, or refused in one line."""

import os
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from kvae.data import opening
from kvae.data.opening import Unusable
from kvae.data.pixels import flat, header, upright
from kvae.files.reading import Reading

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
COLOUR = Image.fromarray(PIXELS)


def encoded(picture=COLOUR, kind="PNG", **settings):
    file = BytesIO()
    picture.save(file, kind, **settings)
    return file.getvalue()


@contextmanager
def open_picture(content):
    """The picture of a file or of bytes, decoded and upright."""
    with opening.quiet(), opening.opened(content) as picture:
        header(picture, Reading())
        picture.load()
        yield flat(upright(picture), Reading())


def refused(content, message):
    with pytest.raises(Unusable, match=message) as caught, open_picture(content):
        pass
    assert "\n" not in str(caught.value)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "PPM"])
def test_every_format_gives_the_pixels(tmp_path, kind):
    """According to its content, whatever the file's name."""
    content = encoded(kind=kind, **{"lossless": True} if kind == "WEBP" else {})
    (tmp_path / "a.jpg").write_bytes(content)
    for file in (tmp_path / "a.jpg", content):
        with open_picture(file) as picture:
            np.testing.assert_array_equal(np.asarray(picture), PIXELS)


def test_a_photograph_is_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate it clockwise
    for kind in ("PNG", "TIFF"):
        with open_picture(encoded(kind=kind, exif=exif)) as picture:
            np.testing.assert_array_equal(np.asarray(picture), np.rot90(PIXELS, -1))


def test_a_photograph_with_a_preview_is_one_picture():
    """Cameras write it as an MPO, in which Pillow counts two frames."""
    content = encoded(kind="MPO", save_all=True, append_images=[COLOUR.resize((2, 2))], quality=95)
    with Image.open(BytesIO(content)) as found:
        assert found.n_frames == 2
    with open_picture(content) as picture:
        assert picture.size == (4, 6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_more_than_one_frame_is_refused(kind):
    grey = COLOUR.convert("L")
    content = encoded(grey, kind, save_all=True, append_images=[grey.transpose(Image.Transpose.ROTATE_180)])
    refused(content, "is animated, or has several pages")


def test_formats_that_start_programs_are_not_read():
    """Pillow gives an EPS file to Ghostscript."""
    eps = encoded(kind="EPS")
    with Image.open(BytesIO(eps)) as found:
        assert found.format == "EPS"
    for content in (eps, encoded(kind="PDF"), encoded(kind="ICO"), b"hello", bytes(100)):
        refused(content, r"not a picture of a known format \(PNG, JPEG")


def test_more_than_eight_bits_and_unknown_colours_are_refused():
    deep = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    for content in (encoded(deep), encoded(deep, "TIFF"), encoded(Image.fromarray(np.ones((2, 2), "f4")), "TIFF")):
        refused(content, "more than 8 bits per channel .*--levels")
    refused(encoded(Image.new("LAB", (2, 2)), "TIFF"), "it is LAB")


def test_a_file_cut_short_is_refused():
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"):
        content = encoded(COLOUR.resize((60, 40)), kind)
        for length in (len(content) // 3, len(content) * 9 // 10):
            refused(content[:length], "not a picture|is damaged|cannot be read")
    refused(b"", "it is empty")


def test_a_file_or_picture_that_is_too_large_is_refused_before_it_is_read(monkeypatch):
    content = encoded()
    monkeypatch.setattr(opening, "MAX_PIXELS", 23)
    refused(content, "more than 23 pixels")
    monkeypatch.setattr(opening, "MAX_FILE_BYTES", len(content) - 1)
    refused(content, f"more than {len(content) - 1} bytes")


@pytest.mark.parametrize("size", [(7000, 7000), (12000, 12000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (0, 5)])
def test_a_header_with_too_many_pixels_is_refused(size):
    """Between kvae's limit, the limit at which Pillow warns, and the limit at which it refuses."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    refused(content, "more than [0-9,]+ pixels|not a picture|cannot be read|is damaged")


def test_the_largest_picture_stays_within_memory(tmp_path):
    """A file of 100 bytes with the largest picture allowed, in the format whose decoder uses most memory."""
    width, height = 8000, opening.MAX_PIXELS // 8000
    Image.new("RGBA", (width, height), (9, 8, 7, 255)).save(tmp_path / "a.webp", lossless=True, method=0)
    code = (
        "import sys\nfrom pathlib import Path\nfrom kvae.data.images import open_images\n"
        "(batch,) = open_images([Path(sys.argv[1])], (8, 8, 3), resize=True).batches()\n"
        "assert batch.images.shape == (1, 8, 8, 3)\n"
        "print([line for line in open('/proc/self/status') if line.startswith('VmHWM')][0].split()[1])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.webp"], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 1e9


def test_threads_read_in_parallel():
    """No thread gets the picture of another."""
    contents = [encoded(Image.new("L", (8, 8), level)) for level in range(100)]

    def level(content):
        with opening.opened(content) as picture:
            return int(np.asarray(picture)[0, 0])

    with opening.quiet(), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(level, contents)) == list(range(100))


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for name, message in {"pipe.png": "is not a regular file", "missing.png": "cannot be read: No such file"}.items():
        refused(tmp_path / name, message)


def test_a_picture_that_does_not_fit_in_memory_is_refused():
    """A memory limit simulates a small machine; in a process of its own, because it cannot be undone."""
    code = (
        "import resource, sys\nfrom io import BytesIO\nfrom PIL import Image\nfrom kvae.data import opening\n"
        "file = BytesIO()\nImage.new('RGB', (6000, 6000)).save(file, 'PNG')\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 10**8, used + 10**8))\n"
        "try:\n    with opening.opened(file.getvalue()) as picture: picture.load()\n"
        "except opening.Unusable as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "does not fit in memory" in done.stdout
