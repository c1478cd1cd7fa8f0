"""Write completed images to files: a PNG grid, a .npy, an .npz or a folder of PNGs; each appears complete or not at
all."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.files import arrays, ours, output, pictures
from kvae.files.atomic import atomic_file, atomic_folder

Floats = NDArray[np.float32]
MISSING = (90, 140, 230)
"""The colour of a missing pixel in a grid: a blue that grey images do not have."""


class Completions(NamedTuple):
    """Some images that were completed."""

    names: list[str]
    seen: Floats
    """`(batch, height, width, channels)`, NaN where a pixel was missing."""
    draws: Floats
    """`(batch, n, height, width, channels)`."""
    mean: Floats
    """`(batch, height, width, channels)`."""
    numbers: Mapping[str, NDArray[Any]]
    """More about each image, `(batch,)`, by name."""


def write(
    batches: Iterable[Completions],
    count: int,
    n: int,
    image_shape: list[int],
    path: Path,
    longest_name: int,
    numbers: Mapping[str, str],
) -> None:
    """Write completed images to `path`, in the format that its name implies.

    - `.png`: a row for each image: what was seen, with missing pixels in blue, the draws, and their mean.
    - `.npy`: the means, float32 `(count, height, width, channels)`: the images with nothing missing any more.
    - `.npz`: `draws` `(count, n, height, width, channels)`, `mean`, `missing` (bool), `names`, and `numbers`.
    - a folder (no suffix): for each image `000000-mean.png`, `000000-1.png`, ..., and `names.csv`.

    Args:
        batches: the images, `count` in all or, unless `path` is a .npy, fewer.
        count: number of images.
        n: number of draws of each.
        image_shape: `[height, width, channels]`.
        path: where to write; what is there is replaced as by `kvae.files.output.write`.
        longest_name: number of characters in the longest name.
        numbers: the dtype of each of `Completions.numbers`.

    Raises:
        KvaeError: the target cannot be written, or is not one of these.
    """
    output.check_pictured(path, image_shape)
    if output.is_folder(path):
        _write_folder(batches, path)
        return
    output.check_file(path, count * (n + 2))
    if path.suffix.lower() == ".npy":
        output.write((batch.mean for batch in batches), count, image_shape, path)
    elif path.suffix.lower() == ".npz":
        shape = tuple(image_shape)
        rows = {"draws": ((n, *shape), "<f4"), "mean": (shape, "<f4"), "missing": (shape, "|b1")}
        rows |= {"names": ((), f"<U{longest_name}")} | {name: ((), dtype) for name, dtype in numbers.items()}
        arrays.write_npz(map(_columns, batches), count, rows, path, compressed=True)
    else:
        rows_of_grid = np.concatenate([row for batch in batches for row in _grid_rows(batch)])
        columns = ["seen", *(str(number) for number in range(1, n + 1)), "mean"]
        with atomic_file(path) as temporary:
            pictures.save(pictures.labelled_grid(rows_of_grid, [""] * len(rows_of_grid), columns), temporary)


def _columns(batch: Completions) -> dict[str, Any]:
    missing = np.isnan(batch.seen)
    return {"draws": batch.draws, "mean": batch.mean, "missing": missing, "names": batch.names, **batch.numbers}


def _grid_rows(batch: Completions) -> Iterator[NDArray[np.uint8]]:
    """The cells of each image's row, bytes `(1, n + 2, height, width, 3)`."""
    for seen, draws, mean in zip(batch.seen, batch.draws, batch.mean, strict=True):
        missing = np.isnan(seen)
        cells = np.concatenate([np.where(missing, 0, seen)[None], draws, mean[None]])
        row = np.stack([np.asarray(pictures.picture(cell).convert("RGB")) for cell in cells])
        row[0][missing.any(axis=-1)] = MISSING
        yield row[None]


def _write_folder(batches: Iterable[Completions], path: Path) -> None:
    rows: list[tuple[str, str]] = []
    with atomic_folder(path, output.holds_samples, "a folder that kvae wrote", last=output.MARKER) as folder:
        for batch in batches:
            for name, draws, mean in zip(batch.names, batch.draws, batch.mean, strict=True):
                number = f"{len(rows):06d}"
                rows.append((number, name))
                for part, image in [("mean", mean), *((str(index), draw) for index, draw in enumerate(draws, 1))]:
                    pictures.save(pictures.picture(image), folder / f"{number}-{part}.png")
        with (folder / output.NAMES).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            csv.writer(file).writerows([("number", "image"), *rows])
        ours.sign(folder, output.MARKER)
