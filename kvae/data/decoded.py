"""Read the decoded images that `kvae.data.image_cache` stores: into memory, or mapped from the disk."""

import csv
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from tokenize import TokenError
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from kvae.config import TrainConfig
from kvae.data import preparation, splits, tally
from kvae.data.image_cache import INDEX, SUMMARY
from kvae.data.splits import SPLITS
from kvae.errors import DataError
from kvae.files.text import printable, shown
from kvae.machine import memory

MEMORY_SHARE = 0.25
"""All images are loaded if they take at most this share of the available memory."""

UNREADABLE = (OSError, ValueError, EOFError, MemoryError, OverflowError, SyntaxError, TokenError)
"""What numpy raises for a damaged .npy."""

SUMMARY_FIELDS = {
    "image_shape": list, "splits": dict, "sha256": str, "class_names": list, "num_skipped": int, "num_duplicates": int,
    "num_across": int, "num_conflicts": int, "has_grey": bool, "is_rounded": bool, "brightest": int,
}  # fmt: skip
"""The fields that a summary must have, and their types."""


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary that `kvae.data.image_cache` wrote about the images in a folder.

    Raises:
        DataError: it cannot be read, or lacks a field.
    """
    try:
        found = dict(json.loads((folder / SUMMARY).read_text(encoding="utf-8")))
        for name, kind in SUMMARY_FIELDS.items():
            if not isinstance(found.get(name), kind):
                raise ValueError(f"{SUMMARY} has no {name}")
        if set(found["splits"]) != set(SPLITS) or not all(isinstance(count, int) for count in found["splits"].values()):
            raise ValueError(f"{SUMMARY} has the wrong splits")
        return found
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(folder, error) from None


def check(summary: dict[str, Any], config: TrainConfig) -> None:
    """Raise DataError if more images were skipped than the config allows, or too few are left for three splits."""
    path, skipped = shown(config.data or ""), summary["num_skipped"]
    if skipped > config.max_bad:
        raise DataError(
            f"{path}: {skipped:,} images cannot be used, more than the {config.max_bad:,} of --max-bad. "
            f"See them all with {preparation.inspect_command(config)}."
        )
    if wrong := tally.nearly_black(summary["brightest"]):
        raise DataError(f"{path}: {wrong}.")
    if not splits.are_enough(summary["splits"]):
        found = ", ".join(f"{number:,} {split}" for split, number in summary["splits"].items())
        why = f" {skipped:,} cannot be used: {preparation.inspect_command(config)} says why." if skipped else ""
        raise DataError(
            f"{path}: too few images for three splits ({found}); the validation and test splits each get a tenth if "
            f"they are not given, and need at least {splits.MIN_HELD_OUT} images each. Add images, or try another "
            f"--split-seed.{why}"
        )


def describe(summary: dict[str, Any]) -> str:
    """A summary as one line of text."""
    counts = ", ".join(f"{number:,} {split}" for split, number in summary["splits"].items())
    line = f"images of {' x '.join(map(str, summary['image_shape']))}, {counts}"
    if summary["num_skipped"]:
        line += f"; {summary['num_skipped']:,} skipped (kvae data inspect says why)"
    if summary["num_duplicates"]:
        line += f"; {summary['num_duplicates']:,} equal to an earlier one"
    if summary["num_across"]:
        line += f", {summary['num_across']:,} of them in another split"
    if summary["num_conflicts"]:
        line += f", {summary['num_conflicts']:,} of them with another label"
    return line


def read_images(folder: Path, limit: int | None = None) -> dict[str, NDArray[np.uint8]]:
    """The images of each split: arrays in memory if all of them fit into `limit` bytes, else mapped from the disk.

    Raises:
        DataError: they cannot be read.
    """
    if limit is None:
        limit = int(MEMORY_SHARE * memory.available())
    try:
        with np.errstate(over="ignore"):  # of a shape that a damaged header declares
            mapped = {split: np.load(folder / f"{split}.npy", mmap_mode="r", allow_pickle=False) for split in SPLITS}
        if sum(array.nbytes for array in mapped.values()) > limit:
            return mapped
        return {split: np.array(array) for split, array in mapped.items()}
    except UNREADABLE as error:
        raise _damaged(folder, error) from None


def read_labels(folder: Path, split: str) -> NDArray[Any]:
    """The class of each image of a split.

    Raises:
        DataError: they cannot be read.
    """
    try:
        with np.errstate(over="ignore"):
            found: NDArray[Any] = np.load(folder / f"{split}_labels.npy", allow_pickle=False)
        return found
    except UNREADABLE as error:
        raise _damaged(folder, error) from None


class Names(Sequence[str]):
    """The names of a split's images, which are read when first used, because that is rare and they may be many.

    Args:
        folder: the folder of the cache.
        split: the split.
        count: how many images the split has.
    """

    def __init__(self, folder: Path, split: str, count: int) -> None:
        self._folder = folder
        self._split = split
        self._count = count

    @cached_property
    def _names(self) -> list[str]:
        try:
            with (self._folder / INDEX).open(newline="", encoding="utf-8") as file:
                return [row["name"] for row in csv.DictReader(file) if row["split"] == self._split]
        except (OSError, ValueError, KeyError, csv.Error) as error:
            raise _damaged(self._folder, error) from None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return self._names[index]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)


def _damaged(folder: Path, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or printable(error, 100) or type(error).__name__
    return DataError(f"the decoded images in {folder} cannot be read ({reason}); delete this folder and run again.")
