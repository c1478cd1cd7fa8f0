"""Write samples to files: a PNG grid, a .npy, an .npz or a folder of PNGs; each appears complete or not at all."""

import math
import shutil
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from kvae.errors import KvaeError
from kvae.files import npy, pictures
from kvae.files.atomic import atomic_file, atomic_folder

SUFFIXES = (".png", ".npy", ".npz")
"""Suffixes of the files; a name without a suffix is a folder."""
MAX_ROW = 16
"""Images per row in a grid of reconstructions; more images make longer rows, so that the grid stays square."""
MAX_GRID = 10_000
"""Maximum number of images in one grid, because viewers refuse larger pictures."""
MARKER = ".kvae-samples"
"""The file that marks a folder of samples as made by kvae, so that a later call may replace it."""


def write(
    batches: Iterable[NDArray[np.float32]], n: int, image_shape: list[int], path: Path, columns: int | None = None
) -> None:
    """Write images to `path`, in the format that its name implies.

    Args:
        batches: `n` images in all, in batches `(batch, height, width, channels)` in [0, 1]. They are written as they
            arrive (except in a grid, which has a limit), so that memory does not grow with n.
        n: number of images.
        image_shape: `[height, width, channels]`.
        path: `.png` for one grid, `.npy` for float32 `(n, height, width, channels)`, `.npz` for the same under the
            name `images`, or a folder (no suffix) for `000000.png`, `000001.png`, ...; an existing file is replaced,
            an existing folder only if an earlier call wrote it and nothing was added.
        columns: images per row of a grid; see `kvae.files.pictures.grid`.

    Raises:
        KvaeError: the target cannot be written, or is not one of these.
    """
    _check_pictured(path, image_shape)
    if _is_folder(path):
        with atomic_folder(path, _holds_samples, "a folder that kvae sample wrote") as folder:
            for index, image in enumerate(image for batch in batches for image in batch):
                pictures.save(pictures.picture(image), folder / f"{index:06d}.png")
            (folder / MARKER).write_text(f"{n}\n")
        return
    _check_file(path, n)
    with atomic_file(path) as temporary:
        if path.suffix.lower() == ".png":
            pictures.save(pictures.grid(np.concatenate(list(batches)), columns), temporary)
            return
        shape = (n, *image_shape)
        room = shutil.disk_usage(temporary.parent).free
        if 4 * math.prod(shape) > room:
            raise KvaeError(f"{path} needs {4 * math.prod(shape):,} bytes, but the disk has only {room:,} left.")
        if path.suffix.lower() == ".npy":
            with temporary.open("wb") as file:
                _write_npy(batches, shape, file)
        else:
            with (
                zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
                archive.open("images.npy", "w", force_zip64=True) as file,
            ):
                _write_npy(batches, shape, file)


def write_reconstructions(
    pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]], n: int, image_shape: list[int], path: Path
) -> None:
    """Write reconstructions like `write`; in a grid, each is below its original.

    Args:
        pairs: originals and reconstructions, batch by batch, `n` images in all.
        n: number of images.
        image_shape: `[height, width, channels]`.
        path: where to write; see `write`.

    Raises:
        KvaeError: the target cannot be written, or is not one of these.
    """
    _check_pictured(path, image_shape)
    if path.suffix.lower() != ".png":
        write((decoded for _, decoded in pairs), n, image_shape, path)
        return
    _check_file(path, 2 * n)
    originals, decoded = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    columns = max(MAX_ROW, math.ceil(math.sqrt(2 * n)))
    with atomic_file(path) as temporary:
        pictures.save(pictures.reconstructions(originals, decoded, columns), temporary)


def _check_pictured(path: Path, image_shape: list[int]) -> None:
    if pictures.is_table(image_shape) and path.suffix.lower() not in (".npy", ".npz"):
        raise KvaeError(
            f"{path}: this model's images are rows of a table, {image_shape[1]} values each, which are not pictured; "
            f"name a .npy or .npz with --out."
        )


def _check_file(path: Path, n: int) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise KvaeError(
            f"{path}: the name must end in .png, .npy or .npz, or have no suffix, for a folder with one PNG per image."
        )
    if path.is_dir():
        raise KvaeError(f"{path} is a folder; give the name of a file, or of a folder without a suffix.")
    if path.suffix.lower() == ".png" and n > MAX_GRID:
        raise KvaeError(f"a grid holds at most {MAX_GRID} images; write {n} to .npy or a folder.")


def _write_npy(batches: Iterable[NDArray[np.float32]], shape: tuple[int, ...], file: IO[bytes]) -> None:
    npy.write_header(file, "<f4", shape)
    for batch in batches:
        file.write(batch.astype("<f4", copy=False).tobytes())


def _is_folder(path: Path) -> bool:
    return not path.suffix or (path.is_dir() and path.suffix.lower() not in SUFFIXES)


def _holds_samples(path: Path) -> bool:
    """Whether an earlier call made the folder, and it still holds exactly the images of that call."""
    try:
        count = int((path / MARKER).read_text())
    except (OSError, ValueError):
        return False
    names = {entry.name for entry in path.iterdir()}
    return len(names) == count + 1 and all(f"{index:06d}.png" in names for index in range(count))
