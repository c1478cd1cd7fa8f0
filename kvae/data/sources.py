"""The images under the paths that a user gives; nothing is decoded here.

A path is a folder of pictures, an array (.npy, .npz, idx), or TFRecords.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from kvae.config import TrainConfig
from kvae.data import archives, listing
from kvae.data.file_sources import Pictures, Records
from kvae.data.source import Item, Listing, Part, Source
from kvae.data.stacks import Parts, Stack
from kvae.errors import DataError
from kvae.files import arrays, idx
from kvae.files.reading import PLAIN, Reading
from kvae.files.text import shown


def open_all(config: TrainConfig) -> Source:
    """All images of a config: those of `data`, and those of `validation_data` and `test_data`.

    Raises:
        DataError: as for `open_source`; or two of them give the same split.
    """
    source = open_source(Path(config.data or ""), config.reading)
    beside = {"validation": config.validation_data, "test": config.test_data}
    others = {split: open_source(Path(path), config.reading) for split, path in beside.items() if path is not None}
    if not others:
        return source
    for split, other in others.items():
        option = f"--{split}-data"
        if split in source.given:
            raise DataError(
                f"{shown(str(source.path))} has a {split} split of its own; leave out {option}, or rename it."
            )
        if other.given:
            own = ", ".join(sorted(other.given))
            raise DataError(
                f"{option} {shown(str(other.path))} holds splits itself ({own}, ...); name only one of them."
            )
    return Joined(source, others)


def open_source(path: Path, reading: Reading = PLAIN) -> Source:
    """The images under a path.

    Args:
        path: a path as for `kvae train --data`.
        reading: how to read transparency and more than 8 bits.

    Raises:
        DataError: there is nothing, or no known kind of images; the message lists the known kinds.
    """
    kind = listing.kind_of(path)
    if kind == listing.FOLDER:
        return _open_folder(path)
    found = path.stat()
    files = [(shown(path.name), found.st_size, found.st_mtime_ns)]
    if kind == listing.RECORDS:
        return Records(path, [path], files)
    if kind == listing.ARRAY:
        return _open_array(path, files, reading)
    if kind == listing.IDX:
        return Stack(path, files, idx.open_idx(path), None, reading)
    raise DataError(
        f"cannot read images from {shown(str(path))}: expected a folder of pictures, a .npy or .npz, an idx file "
        f"(.idx, -ubyte, .gz), or TFRecords (.tfrecord)."
    )


class Joined:
    """Several sources that are one data set, each but the first a held-out split.

    Args:
        first: the training images, and perhaps held-out ones.
        others: the source of each further split.
    """

    def __init__(self, first: Source, others: dict[str, Source]) -> None:
        self._sources = [(None, first), *others.items()]
        sources = [source for _, source in self._sources]
        self.path = first.path
        self.kind = " + ".join(source.kind for source in sources)
        self.given = first.given | set(others)
        self.num_others = sum(source.num_others for source in sources)
        self.num_unlabelled = sum(source.num_unlabelled for source in sources)
        self.listing: Listing = list(first.listing)
        for split, source in others.items():
            self.listing += [(f"{split} {shown(str(source.path.resolve()))}", 0, 0), *source.listing]

    @property
    def parts(self) -> list[Part]:
        return [part for _, source in self._sources for part in source.parts]

    def items(self) -> Iterator[Item]:
        for split, source in self._sources:
            for item in source.items():
                if split is None:
                    yield item
                else:  # its name says where it is from, because both folders may have a 0.png
                    yield item._replace(name=f"{shown(source.path.name)}/{item.name}", split=split)


def _open_array(path: Path, files: Listing, reading: Reading) -> Source:
    if path.suffix.lower() == ".npy":
        return Stack(path, files, arrays.open_array(path, ()), None, reading)
    stacks = [Stack(path, files, part.images, part.labels, reading, part.split) for part in archives.parts(path)]
    return stacks[0] if len(stacks) == 1 else Parts(path, files, stacks)


def _open_folder(path: Path) -> Source:
    pictures: list[tuple[str, int, int]] = []
    shards: list[tuple[str, int, int]] = []
    num_others = 0
    for name in listing.names_under(path):
        chosen = shards if listing.is_records(name.lower()) else pictures if listing.is_picture(name) else None
        if chosen is None:
            num_others += 1
            continue
        try:
            found = os.stat(path / name)
            chosen.append((name, found.st_size, found.st_mtime_ns))
        except OSError:  # a broken link, which is skipped by name later
            chosen.append((name, 0, 0))
    if shards and pictures:
        raise DataError(f"{shown(str(path))} holds pictures and TFRecords; name a folder of one kind.")
    if shards:
        return Records(path, [path / name for name, _, _ in shards], shards, num_others)
    if not pictures:
        known = ", ".join(listing.PICTURE_SUFFIXES)
        raise DataError(
            f"{shown(str(path))} holds no pictures (files named {known}) and no TFRecords (.tfrecord). To use a .npy, "
            f".npz or idx file, give its own path."
        )
    return Pictures(path, [name for name, _, _ in pictures], pictures, num_others)
