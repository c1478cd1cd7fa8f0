"""Where a result must not be written: into the folders that images are read from, since it would become one of them."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from kvae.errors import KvaeError
from kvae.files.text import shown

Place = tuple[int, int]
"""Device and inode of a folder: the same for all its names, however links and letter case differ."""


def check_outside(out: Path, inputs: Iterable[Path], what: str = "--out") -> None:
    """Raise KvaeError if `out` is an input, lies in a folder that is read, or holds an input.

    Args:
        out: a file or folder that may not exist yet.
        inputs: files and folders of images.
        what: how the user named `out`, for the message.
    """
    for path in inputs:
        real, read = (Path(os.path.realpath(place)) for place in (out, path))
        if path.is_dir() and not {place for place in map(_place, (real, *real.parents)) if place}.isdisjoint(
            set(_places(path))
        ):
            raise KvaeError(
                f"{shown(str(out))} lies in {shown(str(path))}, whose images are read: what is written there would "
                f"become data. Choose another {what}."
            )
        if real in (read, *read.parents):
            raise KvaeError(
                f"{shown(str(path))}, which is read, lies in {shown(str(out))}, which would be written. Choose another "
                f"{what}."
            )


def _places(folder: Path) -> Iterator[Place]:
    """A folder, and all folders that are read with it, those behind links too."""
    entered: set[Place] = set()
    for root, folders, _ in os.walk(folder, followlinks=True):
        place = _place(Path(root))
        if place is None or place in entered:
            folders.clear()
            continue
        entered.add(place)
        yield place
        folders[:] = [name for name in folders if not name.startswith(".")]


def _place(path: Path) -> Place | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
