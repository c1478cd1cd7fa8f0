"""Samples into files: a PNG grid, .npy, .npz or a folder of PNGs; each appears whole or not at all."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae import pictures
from kvae.atomic import atomic_file, atomic_folder, check_replaceable
from kvae.errors import KvaeError

MAX_GRID = 10_000
"""Images in one grid; more would make a picture that viewers refuse."""
_OUR_FILE = re.compile(r"\d{6,}\.png")


def check_target(path: Path, n: int) -> None:
    """Raise KvaeError if `n` images cannot go to `path`; called before any is made, so that nothing is lost."""
    if path.suffix not in (".png", ".npy", ".npz", "") and not path.is_dir():
        raise KvaeError(f"{path}: the name must end in .png, .npy or .npz, or be a folder for one PNG per image.")
    if _is_folder(path):
        check_replaceable(path, _holds_samples, "a folder of samples")
    elif path.is_dir():
        raise KvaeError(f"{path} is a folder; name a file, or a folder without a suffix.")
    if path.suffix == ".png" and n > MAX_GRID:
        raise KvaeError(f"a grid holds at most {MAX_GRID} images; write {n} to .npy or a folder.")


def write(batches: Iterable[NDArray[np.float32]], n: int, image_shape: list[int], path: Path) -> None:
    """Write images to `path`, in the format that its name says.

    Args:
        batches: `n` images in all, in batches `(batch, height, width, channels)` in [0, 1]. Batches going to `.npy` or
            a folder are written as they come; memory does not grow with n.
        n: number of images.
        image_shape: `[height, width, channels]`.
        path: `.png` for one grid, `.npy` for float32 `(n, height, width, channels)`, `.npz` for the same under the
            name `images`, or a folder (no suffix) for `000000.png`, `000001.png`, ...; what stands there is replaced.

    Raises:
        KvaeError: the target cannot be written, or is not one of these.
    """
    check_target(path, n)
    if _is_folder(path):
        with atomic_folder(path, _holds_samples, "a folder of samples") as folder:
            for index, image in enumerate(image for batch in batches for image in batch):
                pictures.save(pictures.picture(image), folder / f"{index:06d}.png")
        return
    with atomic_file(path) as temporary:
        if path.suffix == ".npy":
            _write_npy(batches, (n, *image_shape), temporary)
        elif path.suffix == ".npz":
            with temporary.open("wb") as file:
                np.savez_compressed(file, images=np.concatenate(list(batches)))
        else:
            pictures.save(pictures.grid(np.concatenate(list(batches))), temporary)


def _write_npy(batches: Iterable[NDArray[np.float32]], shape: tuple[int, ...], path: Path) -> None:
    header: dict[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for batch in batches:
            file.write(batch.astype("<f4", copy=False).tobytes())


def _is_folder(path: Path) -> bool:
    return path.suffix == "" or (path.is_dir() and path.suffix not in (".png", ".npy", ".npz"))


def _holds_samples(path: Path) -> bool:
    return all(_OUR_FILE.fullmatch(entry.name) for entry in path.iterdir())
