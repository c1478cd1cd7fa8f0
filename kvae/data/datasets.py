"""Data sets, by name or made of a user's images: uint8 images with labels in three fixed splits.

Those that have a name (`kvae.data.named`) are checked, file by file, against their pinned sha256. A user's images are
decoded once, into the cache, and split by their content (`kvae.data.splits`).
"""

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvae.config import TrainConfig
from kvae.data import classes, decoded, download, image_cache, named, sources, splits
from kvae.data.cache import cache_dir
from kvae.data.dataset import Dataset, Split
from kvae.data.named import File, Source
from kvae.data.tally import Facts
from kvae.errors import ConfigError, DataError
from kvae.files import idx
from kvae.files.atomic import atomic_file
from kvae.files.shipped import folder

logger = logging.getLogger(__name__)


def of(
    config: TrainConfig,
    data_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    memory: int | None = None,
) -> Dataset:
    """The data set that settings name: that of `config.data`, or the one called `config.dataset`.

    Args:
        config: the settings.
        data_dir: where the files of a named data set are; see `load`.
        progress: called while a user's own images are decoded, with the number done and the total number.
        memory: bytes up to which a user's own images are loaded; by default a quarter of the free memory.

    Raises:
        ConfigError: an unknown name.
        DataError: images that cannot be found or used, or too few of them; or for a conditional model no labels that
            it could use (see `kvae.data.classes.check`). The message says what to do.
    """
    if config.data is None:
        data = load(config.dataset, data_dir)
        if config.model.conditional:
            classes.check(data)
        return data
    source = sources.open_all(config)
    folder = image_cache.prepare(source, config, progress)
    summary = decoded.read_summary(folder)
    decoded.check(summary, config)
    images = decoded.read_images(folder, memory)
    has_labels = bool(summary["class_names"])
    train, validation, test = (
        Split(
            images[name],
            decoded.read_labels(folder, name).astype(np.int64) if has_labels else None,
            decoded.Names(folder, name, len(images[name])),
        )
        for name in splits.SPLITS
    )
    data = Dataset(
        name=config.dataset,
        train=train,
        validation=validation,
        test=test,
        class_names=tuple(summary["class_names"]),
        licence=None,
        sha256=summary["sha256"],
        facts=Facts(summary["has_grey"], summary["is_rounded"]),
        folder=folder,
    )
    others = f"; {source.num_others:,} other files ignored because of their names" if source.num_others else ""
    logger.info("%s: %s%s; from %s", data.name, decoded.describe(summary), others, folder)
    if config.model.conditional:
        classes.check(data, source)
    return data


def write_record(data: Dataset, path: Path) -> None:
    """Write the name, label, split and sha256 of each of a user's images as CSV; a named data set needs no record.

    Raises:
        KvaeError: the file cannot be written, or the cache was cleared meanwhile.
    """
    if data.folder is not None:
        with atomic_file(path) as temporary:
            shutil.copyfile(data.folder / image_cache.INDEX, temporary)


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """Load a data set.

    Files (`.gz` or not) are looked for in `data_dir`, the user's cache, the operating system's copy; what none of them
    has is downloaded into the cache. Wherever they come from, they must be the same bits.

    Args:
        name: a key of `kvae.config.DATASETS`.
        data_dir: a folder that holds the idx files.

    Returns:
        The data set. Splits of the full sets are 50,000 / 10,000 / 10,000: the last 10,000 images of the training file
        are the validation split.

    Raises:
        ConfigError: an unknown name.
        DataError: a file that is missing, damaged or not the pinned bits; the message says what to do.
    """
    source = named.get(name)
    places = list(_places(name, source, data_dir))
    paths = {file: path for file in source.files if (path := _find(file, places))}
    missing = {file.name: file.sha256 for file in source.files if file not in paths}
    if missing:
        target = cache_dir() / name
        logger.info("%s: not on this machine; downloading", name)
        download.fetch(name, missing, source.urls, source.debian_package, target)
        paths |= {file: path for file in source.files if file.name in missing and (path := _find(file, [target]))}
    logger.info("%s: from %s", name, ", ".join(sorted({str(path.parent) for path in paths.values()})))
    images, labels, test_images, test_labels = (_read(name, file, paths[file]) for file in source.files)
    own, own_test = labels.astype(np.int64), test_labels.astype(np.int64)
    cut = len(images) - source.num_validation
    return Dataset(
        name=name,
        train=Split(images[:cut, ..., None], own[:cut]),
        validation=Split(images[cut:, ..., None], own[cut:]),
        test=Split(test_images[..., None], own_test),
        class_names=source.class_names,
        licence=source.licence,
        sha256=source.sha256,
        test_bits_sha256=source.test_bits_sha256,
    )


def where(name: str) -> Path | None:
    """The folder on this machine that has all files of a data set, unread; None where there is none.

    Raises:
        ConfigError: an unknown name.
    """
    source = named.get(name)
    for place in _places(name, source, None):
        if all(_find(file, [place]) for file in source.files):
            return place
    return None


def missing(name: str, data_dir: Path | None = None) -> list[str]:
    """The files of a data set that `load` would download.

    Raises:
        ConfigError: an unknown name.
        DataError: `data_dir` cannot be read.
    """
    source = named.get(name)
    places = list(_places(name, source, data_dir))
    return [file.name for file in source.files if _find(file, places) is None]


def _places(name: str, source: Source, data_dir: Path | None) -> Iterator[Path]:
    if source.shipped:
        if data_dir is not None:
            raise ConfigError(f"{name} comes with kvae: it takes no data folder (--data-dir).")
        place = folder("kvae", "data", name)
        if place is not None:
            yield place
        return
    if data_dir is not None:
        try:
            next(data_dir.iterdir(), None)
        except OSError as error:
            raise DataError(
                f"data folder {data_dir} cannot be read: {error.strerror}. Expected {source.files[0].name}.gz and the "
                f"other three files there; name another --data-dir, or leave it out to look in the usual places."
            ) from None
        yield data_dir
    yield cache_dir() / name
    if source.debian_package:
        yield Path("/usr/share/datasets") / name.replace("_", "-")


def _find(file: File, places: list[Path]) -> Path | None:
    candidates = (place / f"{file.name}{suffix}" for place in places for suffix in (".gz", ""))
    return next((path for path in candidates if path.is_file()), None)


def _read(name: str, file: File, path: Path) -> NDArray[np.uint8]:
    size = 4 + 4 * len(file.shape) + int(np.prod(file.shape))
    try:
        content = idx.read_bytes(path, limit=size)
        array = idx.parse(content, file.shape)
        digest = hashlib.sha256(content).hexdigest()
        if digest != file.sha256:
            raise DataError(f"its content has sha256 {digest[:12]}..., expected {file.sha256[:12]}...")
        return array
    except DataError as error:
        what = " x ".join(f"{size:,}" for size in file.shape)
        raise DataError(
            f"{path}: {error}. Expected the {what} bytes of {name}; delete this file or replace it, and run again."
        ) from None
