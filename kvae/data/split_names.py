"""Names that stand for splits: folders `train`, `val` and `test`, and arrays `x_train` or `test_images` in an archive.

One rule for everything that a user may bring: what is called a split is a split, and never a label.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from kvae.errors import DataError
from kvae.files.text import shown

SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "validation", "valid": "validation", "validation": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""The split that each name stands for, in lower case."""
FURTHER = re.compile(r"[ _-]?(set|data|images|imgs)?[ _-]?\d*$")
"""What a split's name may end in: `test_set`, `train2017`."""
IMAGE_NAMES = ("images", "image", "x", "data")
LABEL_NAMES = ("labels", "label", "y", "target", "targets")
"""Names of the arrays of images and of labels in an archive, in lower case; the first one present is used."""


def split_named(name: str) -> str | None:
    """The split that a name stands for, whatever its case; None if it stands for none."""
    plain = name.lower()
    return SPLIT_NAMES.get(plain) or SPLIT_NAMES.get(FURTHER.sub("", plain, count=1))


def of_folders(path: Path, names: Iterable[str]) -> dict[str, str]:
    """The split of each folder in a folder; empty if the folders are labels, or there are none.

    Args:
        path: the folder.
        names: the images in it, as relative paths.

    Raises:
        DataError: some folders have the names of splits and others do not, or those that have them lie deeper; a split
            has two folders, or one without images; or there is no training split. What is meant is then for the user
            to say.
    """
    names = list(names)
    tops = {name.partition(os.sep)[0] if os.sep in name else "" for name in names}
    found = {top: split for top in sorted(tops) if (split := split_named(top))}
    if not found:
        _check_deeper(path, names)
        return {}
    name, told = shown(str(path)), ", ".join(map(shown, found))
    if others := sorted(tops - set(found)):
        beside = ", ".join(shown(other) if other else "images of its own" for other in others[:5])
        raise DataError(
            f"{name} holds {told}, named like splits, beside {beside}: its folders must be either splits or labels. "
            f"Rename or move one kind, or give one folder to --data and another to --test-data."
        )
    for split in set(found.values()):
        if len(same := [top for top in found if found[top] == split]) > 1:
            raise DataError(f"{name} has two folders for the {split} split: {', '.join(map(shown, same))}. Join them.")
    with os.scandir(path) as entries:
        empty = [entry.name for entry in entries if split_named(entry.name) and entry.is_dir()]
    if empty := [top for top in empty if top not in found]:
        raise DataError(
            f"{name} has a folder {shown(empty[0])} for the {split_named(empty[0])} split that holds no images of its "
            f"own. Fill or remove it."
        )
    if "train" not in found.values():
        first = next(iter(found))
        raise DataError(
            f"{name} holds {told}, named like splits, but no train folder. Add one, or train on {shown(first)} alone "
            f"with --data {shown(str(path / first))}."
        )
    return found


def _check_deeper(path: Path, names: list[str]) -> None:
    """Raise DataError if splits lie within the folders of a folder, where they would be lost: `images/train/0.png`."""
    found: dict[str, set[str]] = {}  # the names of splits in each inner folder
    for name in names:
        *folders, _ = name.split(os.sep)
        for depth, folder in enumerate(folders):
            if split_named(folder):
                found.setdefault(os.sep.join(folders[:depth]), set()).add(folder)
    told = sorted(set().union(*found.values()))
    if not {"train"} < {split_named(folder) for folder in told}:
        return
    above = next(iter(found))
    repair = (
        f"give --data {shown(str(path / above))}"
        if len(found) == 1
        else f"put them first: {shown(told[0])}/{shown(above)}"
    )
    raise DataError(
        f"{shown(str(path))} holds {', '.join(map(shown, told))}, named like splits, but within other folders, as if "
        f"each folder were a label; {repair}."
    )


def of_shard(name: str) -> str | None:
    """The split in the name of a file of TFRecords, such as `mnist-test.tfrecord-00000-of-00001`; None without one."""
    stem = Path(name).name.lower().partition(".tfrecord")[0]
    return split_named(stem.replace("_", "-").rpartition("-")[2])


def of_array(name: str, kinds: tuple[str, ...]) -> str | None:
    """The split of an array named like `x_train` or `train_images`, if it is one of `kinds`; None for other names."""
    one, bar, other = name.lower().partition("_")
    for kind, split in ((one, other), (other, one)):
        if bar and kind in kinds and split in SPLIT_NAMES:
            return SPLIT_NAMES[split]
    return None
