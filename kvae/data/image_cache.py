"""Decoded images on disk: the results of `kvae.data.preparation` for a path, once for each state of its files and each
setting.

A folder of the cache, which is either complete or missing, holds

    train.npy  validation.npy  test.npy    uint8 (n, height, width, channels)
    train_labels.npy  ...                  the class of each image, from 0
    index.csv                              name, label, split and sha256 of each image, in the order of the arrays
    skipped.csv                            name and reason of each image that could not be used
    summary.json                           facts about all images, and the sha256 of each file above
    checked.json                           when these files were last found right

A folder whose files are not the ones that were written is made anew (`kvae.data.cache_files`).
One process prepares the images while others wait for it. They use a lock next to the folder, which the kernel releases
if its holder dies.
"""

import contextlib
import csv
import hashlib
import json
import logging
import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kvae.config import TrainConfig
from kvae.data import cache_files, preparation, splits
from kvae.data.cache import cache_dir
from kvae.data.pixels import Shape
from kvae.data.preparation import Plan
from kvae.data.source import Source
from kvae.data.splits import SPLITS
from kvae.data.tally import Skipped, Tally
from kvae.errors import DataError, KvaeError
from kvae.files import apart, locks, npy
from kvae.files.atomic import atomic_folder, remove_abandoned
from kvae.files.text import shown

logger = logging.getLogger(__name__)

VERSION = 3
"""Increase this with every change that gives the same images other pixels, splits or files."""
SUMMARY, INDEX, SKIPPED = "summary.json", "index.csv", "skipped.csv"
INDEX_FIELDS = ("name", "label", "split", "sha256")
Progress = Callable[[int, int], None]


def prepare(source: Source, config: TrainConfig, progress: Progress | None = None) -> Path:
    """The folder with the decoded images of a source, which is made if it does not exist.

    Args:
        source: the images.
        config: `image_size`, `grayscale` and `split_seed` say how to convert them, `max_bad` how many may be skipped.
        progress: called with how many images are done, and how many there are.

    Raises:
        DataError: more than `max_bad` images cannot be used, or none can, or the disk has no space for them.
        KvaeError: the cache cannot be written to, or lies in the folder of the images.
    """
    folder = cache_dir() / "images" / _key(source, config)
    if fault(folder) is not None:
        read = [path for path in config.own_paths if not _is_hidden_in(path, cache_dir())]
        apart.check(cache_dir(), *read, name="KVAE_CACHE_DIR")
        with _alone(folder):
            wrong = fault(folder)  # another process may have made it in the meantime
            if wrong is not None:
                if folder.exists():
                    logger.warning("the decoded images in %s are damaged (%s); they are decoded again", folder, wrong)
                _make(folder, source, config, progress)
    return folder


def fault(folder: Path) -> str | None:
    """What is wrong with a folder of the cache, in a few words; None if it is as `prepare` made it."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return f"{SUMMARY} cannot be read"
    if not isinstance(summary, dict) or not cache_files.is_sealed(summary):
        return f"{SUMMARY} has changed"
    if summary.get("version") != VERSION:
        return f"{SUMMARY} is of another version"
    changed = cache_files.changed(folder, summary["files"])
    return changed and f"{changed} has changed"


def _is_hidden_in(folder: Path, place: Path) -> bool:
    """Whether a place is in a hidden folder of another folder, whose images are then not read."""
    inside = place.resolve()
    return inside.is_relative_to(folder.resolve()) and any(
        part.startswith(".") for part in inside.relative_to(folder.resolve()).parts
    )


def _is_ours(folder: Path) -> bool:
    """Whether a folder of the cache holds nothing but what `prepare` writes."""
    names = {SUMMARY, INDEX, SKIPPED, cache_files.STAMPS, *_array_files()}
    return {entry.name for entry in folder.iterdir()} <= names


def _array_files() -> list[str]:
    return [name for split in SPLITS for name in (f"{split}.npy", f"{split}_labels.npy")]


def _key(source: Source, config: TrainConfig) -> str:
    """A hash of the path, of the names, sizes and times of the files, and of the settings that matter."""
    settings = [VERSION, shown(str(source.path.resolve())), config.size, config.grayscale, config.split_seed]
    settings += [config.alpha, config.levels]
    found = hashlib.sha256(json.dumps(settings).encode())
    for entry in source.listing:
        found.update(json.dumps(entry).encode())
    return found.hexdigest()[:32]


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of the cache, and remove what dead processes have left in the cache."""
    advice = "Set KVAE_CACHE_DIR to another folder."
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KvaeError(f"cannot write {folder.parent}: {error.strerror}. {advice}") from None
    with locks.awaited(
        _lock_file(folder), lambda: logger.info("another process decodes these images; waiting for it"), advice
    ):
        remove_abandoned(folder.parent)
        yield


def _lock_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _make(folder: Path, source: Source, config: TrainConfig, progress: Progress | None) -> None:
    plan = preparation.survey(source, config)
    preparation.check_bad(source, plan.unfit, config, plan)
    shape = preparation.shape_of(source, plan)
    _check_room(folder.parent, plan.count, shape)
    tally = Tally()
    with atomic_folder(folder, _is_ours, "a folder of kvae's cache", durable=True) as temporary:
        with contextlib.ExitStack() as stack:
            writers = {split: stack.enter_context(_Writer(temporary / f"{split}.npy", shape)) for split in SPLITS}
            index = csv.writer(stack.enter_context((temporary / INDEX).open("w", newline="", encoding="utf-8")))
            index.writerow(INDEX_FIELDS)
            for done, image in enumerate(stack.enter_context(preparation.images(source, config, plan)), 1):
                tally.add(image)
                if isinstance(image, Skipped):
                    preparation.check_bad(source, tally.skipped, config, plan)
                else:
                    writers[image.split].append(image.pixels)
                    label = "" if image.label is None else image.label
                    index.writerow((image.name, label, image.split, image.digest.hex()))
                if progress is not None:
                    progress(done, plan.count)
        _write_labels(temporary, tally)
        with (temporary / SKIPPED).open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([Skipped._fields, *tally.skipped])
        files = cache_files.hashes(temporary, [INDEX, SKIPPED, *_array_files()])
        summary = cache_files.sealed(_summary(shape, tally, plan) | {"files": files})
        (temporary / SUMMARY).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _check_room(folder: Path, count: int, shape: Shape) -> None:
    needed = count * math.prod(shape)
    free = shutil.disk_usage(folder).free
    if needed > free:
        old = sum(path.stat().st_size for path in folder.glob("*/*") if path.is_file())
        kept = f" Its older folders take {_size(old)}, and can be deleted." if old else ""
        raise DataError(
            f"{count:,} decoded images of {' x '.join(map(str, shape))} take {_size(needed)}, "
            f"but {folder} has only {_size(free)} left. Set KVAE_CACHE_DIR to another folder, or make the images "
            f"smaller with --image-size.{kept}"
        )


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class _Writer:
    """A .npy that images are appended to."""

    def __init__(self, path: Path, shape: Shape) -> None:
        self._path = path
        self._shape = shape
        self._count = 0

    def __enter__(self) -> "_Writer":
        self._file: IO[bytes] = self._path.open("wb")
        self._start = self._write_header()
        return self

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Append an image."""
        self._file.write(np.ascontiguousarray(pixels).data)
        self._count += 1

    def __exit__(self, *error: object) -> None:
        with self._file:
            self._file.seek(0)
            if self._write_header() != self._start:  # numpy leaves space for the number of rows to grow
                raise KvaeError(f"cannot write {self._path}: its header has become too long.")

    def _write_header(self) -> int:
        npy.write_header(self._file, "|u1", (self._count, *self._shape))
        return self._file.tell()


def _write_labels(folder: Path, tally: Tally) -> None:
    """Write the class of each image, in the order of the split's images; all are 0 if there are no labels."""
    classes = {label: number for number, label in enumerate(tally.classes)}
    dtype = np.min_scalar_type(max(len(classes) - 1, 0))
    for split in SPLITS:
        labels = [
            classes.get(label, 0)  # type: ignore[arg-type]  # without classes, every label is None
            for label, (_, own) in zip(tally.labels, tally.digests, strict=True)
            if own == split
        ]
        np.save(folder / f"{split}_labels.npy", np.array(labels, dtype))


def _summary(shape: Shape, tally: Tally, plan: Plan) -> dict[str, Any]:
    return {
        "version": VERSION,
        "image_shape": list(shape),
        "splits": tally.count(),
        "sha256": splits.sha256(tally.digests),
        "class_names": [str(label) for label in tally.classes],
        "num_skipped": len(tally.skipped),
        "num_duplicates": tally.num_duplicates,
        "num_across": tally.num_across,
        "num_conflicts": tally.num_conflicts,
        "has_grey": tally.has_grey,
        "is_rounded": plan.is_rounded,
        "brightest": tally.brightest,
    }
