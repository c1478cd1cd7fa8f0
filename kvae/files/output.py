"""Write samples to files: a PNG grid, a .npy, an .npz or a folder of PNGs; each appears complete or not at all."""

import math
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.errors import KvaeError
from kvae.files import npy, ours, pictures
from kvae.files.atomic import atomic_file, atomic_folder

SUFFIXES = (".png", ".npy", ".npz")
"""Suffixes of the files; a name without a suffix is a folder."""
MAX_ROW = 16
"""Images per row in a grid of reconstructions; more images make longer rows, so that the grid stays square."""
MAX_GRID = 10_000
"""Maximum number of images in one grid, because viewers refuse larger pictures."""
MAX_SIDE = 16_384
"""Maximum height and width, in pixels, of an enlarged picture."""
LABELS = 2**16
"""Labels written at a time."""
MARKER = ".kvae-samples"
"""The list of the files in a folder of samples, with their hashes: a later call may replace the folder if it is
unchanged. One that an earlier kvae wrote has only their number here, and stays."""
NAMES = "names.csv"
"""The file in a folder of reconstructions that says which image each is of."""


class Labels(NamedTuple):
    """The class of each of some images."""

    names: Sequence[str]
    """The names of all classes."""
    numbers: Callable[[], NDArray[np.int64] | None]
    """Returns the number of each image's, `(n,)`; called when there is known to be room for them."""


def write(
    batches: Iterable[NDArray[np.float32]],
    n: int,
    image_shape: list[int],
    path: Path,
    columns: int | None = None,
    rows: Sequence[str] | None = None,
    labels: Labels | None = None,
    scale: int | None = None,
) -> None:
    """Write images to `path`, in the format that its name implies.

    Args:
        batches: `n` images in all, in batches `(batch, height, width, channels)` in [0, 1]. They are written as they
            arrive (except in a grid, which has a limit), so that memory does not grow with n.
        n: number of images.
        image_shape: `[height, width, channels]`.
        path: `.png` for one grid, `.npy` for float32 `(n, height, width, channels)`, `.npz` for the same under the
            name `images` (and with `labels` the names of their classes under `labels`), or a folder (no suffix) for
            `000000.png`, `000001.png`, ...; an existing file is replaced, an existing folder only if an earlier call
            wrote it and nothing was added or changed.
        columns: images per row of a grid; see `kvae.files.pictures.grid`.
        rows: the label of each row of a grid, for whole rows.
        labels: the class of each image, which an .npz keeps.
        scale: the factor by which pictures are enlarged, each pixel to a square; by default a grid is made large
            enough to see, and the PNGs of a folder have the model's pixels.

    Raises:
        KvaeError: the target cannot be written, or is not one of these; or scale is below 1, makes a picture larger
            than `MAX_SIDE`, or is given for numbers.
    """
    check_pictured(path, image_shape)
    across = 1 if is_folder(path) else n // len(rows) if rows else columns or math.ceil(math.sqrt(n))
    _check_scale(scale, image_shape, path, across, 1 if is_folder(path) else math.ceil(n / across))
    if is_folder(path):
        _write_folder(batches, path, scale or 1)
        return
    check_file(path, n)
    with atomic_file(path) as temporary:
        if path.suffix.lower() == ".png":
            images = np.concatenate(list(batches))
            if rows is None:
                pictures.save(pictures.grid(images, columns, scale), temporary)
                return
            cells = images.reshape(len(rows), -1, *images.shape[1:])
            pictures.save(pictures.labelled_grid(cells, rows, [""] * cells.shape[1], scale), temporary)
            return
        shape = (n, *image_shape)
        room = shutil.disk_usage(temporary.parent).free
        if 4 * math.prod(shape) > room:
            raise KvaeError(f"{path} needs {4 * math.prod(shape):,} bytes, but the disk has only {room:,} left.")
        if path.suffix.lower() == ".npy":
            with temporary.open("wb") as file:
                _write_npy(batches, shape, file)
        else:
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
                with archive.open("images.npy", "w", force_zip64=True) as file:
                    _write_npy(batches, shape, file)
                if labels is not None:
                    with archive.open("labels.npy", "w", force_zip64=True) as file:
                        _write_labels(labels, file)


def write_exactly(batches: Iterable[NDArray[np.uint8]], n: int, image_shape: list[int], path: Path) -> None:
    """Write bytes to a .npy `(n, height, width, channels)` or a folder of PNGs, like `write`.

    Args:
        batches: `n` images in all, in batches.
        n: number of images.
        image_shape: `[height, width, channels]`.
        path: where to write; a folder has no suffix.

    Raises:
        KvaeError: the target cannot be written, or is neither.
    """
    check_pictured(path, image_shape)
    if is_folder(path):
        _write_folder(batches, path)
        return
    if path.suffix.lower() != ".npy":
        raise KvaeError(f"{path}: the name must end in .npy, or have no suffix, for a folder with one PNG per image.")
    check_file(path, n)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        npy.write_header(file, "|u1", (n, *image_shape))
        for batch in batches:
            file.write(batch.tobytes())


Reconstructed = tuple[NDArray[np.float32], NDArray[np.float32], list[str]]
"""Some images, their reconstructions, and their names."""


def write_reconstructions(
    batches: Iterable[Reconstructed], n: int, image_shape: list[int], path: Path, longest_name: int
) -> None:
    """Write reconstructions like `write`; in a grid, each is below its original.

    An .npz has the names of the originals too, and a folder the file `NAMES` with them, so that fewer than `n` can be
    told apart.

    Args:
        batches: `n` images in all or, unless `path` is a .npy, fewer.
        n: number of images.
        image_shape: `[height, width, channels]`.
        path: where to write; see `write`.
        longest_name: number of characters in the longest name.

    Raises:
        KvaeError: the target cannot be written, or is not one of these.
    """
    check_pictured(path, image_shape)
    if is_folder(path):
        names: list[str] = []

        def decoded_ones() -> Iterator[NDArray[np.float32]]:
            for _, images, found in batches:
                names.extend(found)
                yield images

        _write_folder(decoded_ones(), path, names=names)
        return
    if path.suffix.lower() == ".npz":
        from kvae.files import arrays  # here and below, because sampling does not need it

        check_file(path, n)
        rows = {"images": (tuple(image_shape), "<f4"), "names": ((), f"<U{longest_name}")}
        found: Iterator[dict[str, Any]] = ({"images": decoded, "names": names} for _, decoded, names in batches)
        arrays.write_npz(found, n, rows, path, compressed=True)
        return
    if path.suffix.lower() != ".png":
        write((decoded for _, decoded, _ in batches), n, image_shape, path)
        return
    check_file(path, 2 * n)
    originals, decoded = (np.concatenate(parts) for parts in list(zip(*batches, strict=True))[:2])
    columns = max(MAX_ROW, math.ceil(math.sqrt(2 * len(decoded))))
    with atomic_file(path) as temporary:
        pictures.save(pictures.reconstructions(originals, decoded, columns), temporary)


def check_pictured(path: Path, image_shape: list[int]) -> None:
    """Raise KvaeError if images are rows of a table, and `path` is not a file of numbers."""
    if pictures.is_table(image_shape) and path.suffix.lower() not in (".npy", ".npz"):
        raise KvaeError(
            f"{path}: this model's images are rows of a table, {image_shape[1]} values each, which are not pictured; "
            f"name a .npy or .npz with --out."
        )


def _check_scale(scale: int | None, image_shape: list[int], path: Path, columns: int, rows: int) -> None:
    """Raise KvaeError for an enlargement that is out of range, or of what is no picture.

    Args:
        scale: the factor; None for none.
        image_shape: `[height, width, channels]`.
        path: where the pictures are written.
        columns: images beside one another in a picture.
        rows: images below one another.
    """
    if scale is None:
        return
    if path.suffix.lower() in (".npy", ".npz"):
        raise KvaeError(f"scale enlarges pictures, but {path.name} holds numbers; name a .png or a folder.")
    side = max(rows * (image_shape[0] + pictures.GAP), columns * (image_shape[1] + pictures.GAP))
    if scale != 1 and not 1 <= scale <= max(1, MAX_SIDE // side):
        raise KvaeError(f"scale must be from 1 to {max(1, MAX_SIDE // side)} for these pictures; got {scale}.")


def _write_folder(batches: Iterable[NDArray[Any]], path: Path, scale: int = 1, names: list[str] | None = None) -> None:
    """Write images to a folder; with `names`, which grow with the batches, also which image each file is of."""
    with atomic_folder(path, holds_samples, "a folder that kvae sample wrote", last=MARKER) as folder:
        files: list[str] = []
        for image in (image for batch in batches for image in batch):
            files.append(f"{len(files):06d}.png")
            pictures.save(pictures.picture(pictures.enlarged(image, scale)), folder / files[-1])
        if names is not None:
            import csv

            with (folder / NAMES).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                csv.writer(file).writerows([("file", "image"), *zip(files, names, strict=True)])
        ours.sign(folder, MARKER)


def check_file(path: Path, n: int) -> None:
    """Raise KvaeError if `path` cannot be a file with `n` images."""
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


def _write_labels(labels: Labels, file: IO[bytes]) -> None:
    names, numbers = np.array(labels.names, "<U"), np.asarray(labels.numbers())
    npy.write_header(file, names.dtype.str, numbers.shape)
    for first in range(0, len(numbers), LABELS):
        file.write(names[numbers[first : first + LABELS]].tobytes())


def is_folder(path: Path) -> bool:
    """Whether `path` is to be a folder with a PNG for each image."""
    return not path.suffix or (path.is_dir() and path.suffix.lower() not in SUFFIXES)


def holds_samples(path: Path) -> bool:
    """Whether an earlier call made the folder, and it holds only the images of that call, as they were."""
    return ours.is_signed(path, MARKER)
