"""Lossless compression: general programs, picture formats and kvae, on the same images in one run, whole files.

    python benchmarks/compression.py BUNDLE                     # the 10,000 test images of Fashion-MNIST
    python benchmarks/compression.py BUNDLE --images FOLDER     # your own pictures, at the model's size

It prints a table in Markdown. Rates are bits per dimension (per pixel and channel) of whole files, everything included.
The model is needed to decompress, and its size is stated beside its row. Speeds are worth something only on a quiet
machine; kvae works on one core, and its compression decodes what it wrote.
"""

import argparse
import bz2
import gzip
import io
import lzma
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvae.bundle.locate import locate
from kvae.bundle.manifest import Manifest
from kvae.compression import compress, decompressed
from kvae.data import datasets
from kvae.data.images import open_images
from kvae.files.pictures import picture, to_uint8

Bytes = NDArray[np.uint8]
EXTREME = 9 | lzma.PRESET_EXTREME
MAX_WEBP = 16383
"""The most pixels that WebP has in either direction."""


class Row(NamedTuple):
    """A way to compress, and what came of it."""

    name: str
    size: int
    compressing: float
    """Seconds."""
    decompressing: float
    remark: str = ""


def general(name: str, images: Bytes, there: Callable[[bytes], bytes], back: Callable[[bytes], bytes]) -> Row:
    """All pixels as one stream of bytes."""
    content = images.tobytes()
    started = time.perf_counter()
    found = there(content)
    done = time.perf_counter()
    assert back(found) == content
    return Row(f"{name}, the whole set", len(found), done - started, time.perf_counter() - done)


def pictures(format: str, images: Bytes, **settings: object) -> Row:
    """A picture file for each image."""
    started = time.perf_counter()
    files = [_saved(picture(image), format, settings) for image in images]
    done = time.perf_counter()
    for file, image in zip(files, images, strict=True):
        assert np.array_equal(_loaded(file, image.shape), image)
    return Row(f"{format}, a file per image", sum(map(len, files)), done - started, time.perf_counter() - done)


def sheet(format: str, images: Bytes, **settings: object) -> Row:
    """One picture of all images, in rows."""
    count, height, width, channels = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    padded = np.zeros((rows * columns, height, width, channels), np.uint8)
    padded[:count] = images
    whole = padded.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    whole = whole.reshape(rows * height, columns * width, channels)
    started = time.perf_counter()
    file = _saved(picture(whole), format, settings)
    done = time.perf_counter()
    assert np.array_equal(_loaded(file, whole.shape), whole)
    return Row(f"{format}, one sheet", len(file), done - started, time.perf_counter() - done)


def _saved(image: Image.Image, format: str, settings: dict[str, object]) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **settings)
    return file.getvalue()


def _loaded(content: bytes, shape: tuple[int, ...]) -> Bytes:
    Image.MAX_IMAGE_PIXELS = None  # a sheet is large
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("L" if shape[-1] == 1 else "RGB")).reshape(shape)


def ours(model: Path, images: Bytes, coding: str, portable: bool = False) -> Row:
    """kvae compress."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.kvz"
        started = time.perf_counter()
        found = compress(model, images, path, coding, portable)
        done = time.perf_counter()
        assert np.array_equal(np.concatenate([part for part, _ in decompressed(path, model)]), images)
        name = f"kvae, {coding}{', portable' if portable else ''}"
        remark = f"−ELBO {found.elbo_bits_per_dim:.3f}"
        if coding == "cross-entropy":
            remark = f"distortion + H(q, p) {found.distortion_bits_per_dim + found.cross_entropy_bits_per_dim:.3f}"
        return Row(name, path.stat().st_size, done - started, time.perf_counter() - done, remark)


def table(rows: list[Row], images: Bytes, model_size: int) -> str:
    """The rows in Markdown."""
    lines = [
        "| | bytes | bits per dimension | with the model | compress, images/s | decompress, images/s | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        size = row.size + (model_size if row.name.startswith("kvae") else 0)
        rates = f"{8 * row.size / images.size:.3f} | {8 * size / images.size:.3f}"
        speeds = f"{len(images) / row.compressing:,.0f} | {len(images) / row.decompressing:,.0f}"
        lines.append(f"| {row.name} | {row.size:,} | {rates} | {speeds} | {row.remark} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a bundle or a run, of 8-bit images")
    parser.add_argument("--images", type=Path, help="a folder of pictures or an array, resized to the model's size")
    parser.add_argument("--count", type=int, help="only so many of them")
    arguments = parser.parse_args()
    model = locate(arguments.model)
    manifest = Manifest.read(model)
    if arguments.images is None:
        images = datasets.load("fashion_mnist").test.images
    else:
        stream = open_images([arguments.images], manifest.image_shape, resize=True)
        images = np.concatenate([to_uint8(batch.images) for batch in stream.batches()])
    images = np.ascontiguousarray(images[: arguments.count])
    model_size = sum(path.stat().st_size for path in model.glob("*.onnx"))
    print(f"{len(images):,} images of {' x '.join(map(str, images.shape[1:]))}, {images.size:,} bytes of pixels")
    print(f"the model's graphs: {model_size:,} bytes\n", flush=True)
    fits = math.ceil(math.sqrt(len(images))) * max(images.shape[1:3]) <= MAX_WEBP
    makers: list[Callable[[], Row]] = [
        lambda: general("gzip -9", images, lambda content: gzip.compress(content, 9), gzip.decompress),
        lambda: general("bz2 -9", images, bz2.compress, bz2.decompress),
        lambda: general("xz -9e", images, lambda content: lzma.compress(content, preset=EXTREME), lzma.decompress),
        lambda: pictures("PNG", images, optimize=True),
        lambda: pictures("WebP", images, lossless=True, quality=100, method=6),
        lambda: sheet("PNG", images, optimize=True),
        *([lambda: sheet("WebP", images, lossless=True, quality=100, method=6)] if fits else []),
        lambda: ours(model, images, "bits-back"),
        lambda: ours(model, images, "cross-entropy"),
        lambda: ours(model, images, "bits-back", portable=True),
    ]  # fmt: skip
    rows = []
    for maker in makers:
        rows.append(maker())
        print(rows[-1].name, file=sys.stderr, flush=True)
    print(table(rows, images, model_size))


if __name__ == "__main__":
    main()
