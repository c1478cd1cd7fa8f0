"""Images in files of their own: a folder of pictures, or shards of TFRecords (`kvae.data.records`)."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kvae.data import records, split_names
from kvae.data.pixels import Header
from kvae.data.source import Item, Listing, Part, as_given, held_out
from kvae.errors import DataError
from kvae.files.text import shown


class _Whole:
    """What a source of files is besides: one part, whose pixels need no check of their range."""

    @property
    def parts(self: Part) -> list[Part]:
        return [self]

    def check_numbers(self) -> None:
        pass


@dataclass
class Pictures(_Whole):
    """A folder of pictures. Its sub-folders are splits, or the labels if every picture is in one."""

    path: Path
    files: list[str]
    listing: Listing
    num_others: int
    kind: str = "folder of pictures"
    header: Header | None = None
    image_bytes: int = 0
    count: int | None = field(init=False)
    num_unlabelled: int = field(init=False)
    given: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.count = len(self.files)
        self._splits = split_names.of_folders(self.path, self.files)
        self.given = held_out(self._splits.values())
        depth = 1 if self._splits else 0  # of the folders that are labels
        at_top = sum(name.count(os.sep) <= depth for name in self.files)
        self.num_unlabelled = at_top if at_top < self.count else 0
        self._label_at = None if at_top else depth

    def items(self) -> Iterator[Item]:
        for name in self.files:
            folders = name.split(os.sep)
            label = None if self._label_at is None else shown(folders[self._label_at])
            yield Item(shown(name), label, self.path / name, as_given(self._splits.get(folders[0])))


@dataclass
class Records(_Whole):
    """Shards of TFRecords. They have splits if the shards' folders, or else their names, are those of splits."""

    path: Path
    shards: list[Path]
    listing: Listing
    num_others: int = 0
    kind: str = "TFRecords"
    header: Header | None = None
    count: int | None = None
    num_unlabelled: int = 0
    image_bytes: int = 0
    given: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._splits: dict[Path, str] = {}
        if self.shards != [self.path]:
            self._splits = _splits_of_shards(self.path, self.shards)
        self.given = held_out(self._splits.values())

    def items(self) -> Iterator[Item]:
        for shard in self.shards:
            name = shown(shard.name if shard == self.path else os.path.relpath(shard, self.path))
            for index, (content, label) in enumerate(records.read(shard)):
                yield Item(f"{name}[{index}]", label, content, as_given(self._splits.get(shard)))


def _splits_of_shards(path: Path, shards: list[Path]) -> dict[Path, str]:
    names = {shard: os.path.relpath(shard, path) for shard in shards}
    if folders := split_names.of_folders(path, names.values()):
        return {shard: folders[name.partition(os.sep)[0]] for shard, name in names.items()}
    found = {shard: split for shard, name in names.items() if (split := split_names.of_shard(name))}
    if not found:
        return {}
    if len(found) < len(shards) or "train" not in found.values():
        raise DataError(
            f"{shown(str(path))}: some TFRecords are named like splits ({shown(next(iter(found)).name)}), but not all, "
            f"or none is for training. Name a folder with one kind."
        )
    return found
