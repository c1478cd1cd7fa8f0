"""Real pictures for the tests: patches of a colour photograph, and grey images with labels."""

import os
import struct
import zlib
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from kvae.data import datasets

PATCH = (24, 32)
"""Height and width of a patch."""
SUFFIXES = (".png", ".jpg", ".webp")


def photograph() -> Image.Image:
    """Grace Hopper, 1984, by James S. Davis for the US Navy: in the public domain, and shipped by matplotlib."""
    return Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg")


def patches(count: int) -> list[Image.Image]:
    """RGB patches of 24 x 32 (height x width) of the photograph; 400 of them are all different."""
    photo, (height, width) = photograph(), PATCH
    columns = photo.width // width
    return [
        photo.crop((left, top, left + width, top + height))
        for index in range(count)
        for left, top in [(index % columns * width, index // columns * height)]
    ]


def write_colour_folder(folder: Path, count: int = 300, labels: tuple[str, ...] = ()) -> Path:
    """Write patches as PNG, JPEG and WebP in turn, named `0000.png` and so on; with labels, in sub-folders in turn."""
    for index, patch in enumerate(patches(count)):
        place = folder / labels[index % len(labels)] if labels else folder
        place.mkdir(parents=True, exist_ok=True)
        patch.save(place / f"{index:04d}{SUFFIXES[index % len(SUFFIXES)]}")
    return folder


def grey_images(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Images `(count, 28, 28)` of Fashion-MNIST, uint8, and their labels."""
    train = datasets.load("fashion_mnist_mini").train
    return train.images[:count, ..., 0], train.labels[:count]


def write_grey_folder(folder: Path, count: int = 300) -> Path:
    """Write grey PNGs, with one sub-folder per class, named after the class."""
    names = datasets.load("fashion_mnist_mini").class_names
    for index, (image, label) in enumerate(zip(*grey_images(count), strict=True)):
        place = folder / names[label].replace("/", "-")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{index:04d}.png")
    return folder


def png(header: bytes, pixels: bytes) -> bytes:
    """A PNG made from the 13 bytes of its header and its filtered rows, without checking that they agree."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    parts = (b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def write_bad(folder: Path) -> dict[str, str]:
    """Write one picture of each kind that cannot be used with those of 24 x 32; the reason for each, by its name."""
    folder.mkdir(parents=True, exist_ok=True)
    one, other = patches(2)
    height, width = PATCH
    whole = BytesIO()
    one.save(whole, "PNG")
    palette = one.convert("P")
    palette.save(folder / "transparent.gif", transparency=palette.getpixel((0, 0)))
    clear = one.convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    clear.save(folder / "rgba.png")
    clear.save(folder / "rgba.webp", lossless=True)
    clear.convert("LA").save(folder / "la.png")
    grey = one.convert("L")
    grey.save(folder / "key.png", transparency=grey.getpixel((0, 0)))
    one.convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(np.full(PATCH, 40_000, np.uint16)).save(folder / "deep.png")
    rows = b"".join(b"\0" + bytes(6 * width) for _ in range(height))
    (folder / "deep_rgb.png").write_bytes(png(struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0), rows))
    (folder / "bomb.png").write_bytes(png(struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), bytes(1000)))
    screen, frame = struct.pack("<HHBBB", 65_000, 65_000, 0, 0, 0), struct.pack("<HHHHB", 0, 0, 65_000, 65_000, 0)
    (folder / "bomb.gif").write_bytes(b"GIF89a" + screen + b"," + frame + b"\x08\x02\x00\x01\x00;")
    one.save(folder / "animated.gif", save_all=True, append_images=[other])
    one.save(folder / "animated.webp", save_all=True, append_images=[other])
    one.save(folder / "animated.png", save_all=True, append_images=[other])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    (folder / "eps.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n")
    (folder / "cut.png").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    for suffix in (".jpg", ".webp"):
        one.save(folder / f"cut{suffix}")
        content = (folder / f"cut{suffix}").read_bytes()
        (folder / f"cut{suffix}").write_bytes(content[: len(content) * 3 // 4])
    one.resize((300, 24)).save(folder / "large.png")
    one.resize((4, 24)).save(folder / "small.png")
    one.resize((24, 24)).save(folder / "other_size.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "dangling.png").symlink_to("nowhere")
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "device.png").symlink_to("/dev/zero")
    reasons = {
        "transparent": ["rgba.png", "rgba.webp", "la.png", "key.png", "transparent.gif"],
        "CMYK": ["cmyk.jpg"],
        "more than 8 bits per channel": ["deep.png"],
        "colour with 16 bits per channel": ["deep_rgb.png"],
        "more than 40,000,000 pixels": ["bomb.png", "bomb.gif"],
        "animated": ["animated.gif", "animated.webp", "animated.png"],
        "empty": ["empty.png"],
        "not a picture of a known format": ["text.png", "eps.png"],
        "truncated|damaged|cannot be read": ["cut.png", "cut.jpg", "cut.webp"],
        "more than 256 pixels": ["large.png"],
        "less than 8 pixels": ["small.png"],
        "not 24 x 32": ["other_size.png"],
        "not a regular file": ["pipe.png", "device.png"],
        "No such file": ["dangling.png"],
        "Too many levels of symbolic links": ["itself.png"],
    }
    return {name: reason for reason, names in reasons.items() for name in names}
