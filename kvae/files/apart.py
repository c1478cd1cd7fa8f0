"""Keep what is written apart from what is read: never over an input or in its place, and never into a folder of inputs.

Files are compared by what they are (device and inode), not by how they are spelled, so that links of either kind,
`..`, and a file system that ignores case make no difference.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kvae.errors import KvaeError
from kvae.files.text import shown

Identity = tuple[int, int]


class _Found(NamedTuple):
    path: str
    identity: Identity
    is_folder: bool


def check(out: Path | None, *read: Path | None, name: str = "--out") -> None:
    """Raise KvaeError if writing `out` would replace something that is read, or add a file to a folder that is read.

    Args:
        out: the file or folder to be written, which need not exist; None is nothing.
        read: files and folders that are read, with everything in them; None is nothing.
        name: the option or variable that set `out`, as the message shows it.
    """
    if out is None:
        return
    place = _place(out)
    around = {identity for folder in place.parents if (identity := _identity(folder))}
    itself = _identity(place)
    # A link in a folder that is replaced is only removed, and what it leads to stays.
    replaced = {itself} | {found.identity for found in _below(place, follow=False)} if itself else set()
    for path in read:
        for found in _below(path) if path is not None else ():
            if found.identity in replaced:
                what = "is" if found.identity == itself else "holds"
                raise KvaeError(f"{_shown(out)} {what} an input ({shown(found.path)}). Choose another {name}.")
            if found.is_folder and found.identity in around:
                raise KvaeError(
                    f"{_shown(out)} is in {shown(found.path)}, which is read: it would become one of the inputs, or "
                    f"replace one. Choose another {name}."
                )


def _place(path: Path) -> Path:
    """Where a path leads, as the writers follow it: `new/../a` is `a` even if there is no folder `new`."""
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link to itself: the writer says so
        return path


def _below(path: Path, follow: bool = True) -> Iterator[_Found]:
    """A file; or a folder and everything under it, hidden files and, to `follow` them, what links lead to included."""
    first = _stat(path)
    if first is None:
        return
    yield first
    waiting, entered = [first] if first.is_folder else [], set()
    while waiting:
        folder = waiting.pop()
        if folder.identity in entered:
            continue
        entered.add(folder.identity)
        for entry in _entries(folder.path):
            if (follow or not os.path.islink(entry)) and (found := _stat(Path(entry))) is not None:
                yield found
                if found.is_folder:
                    waiting.append(found)


def _entries(folder: str) -> Iterable[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries]
    except OSError:  # its reader says what is wrong
        return []


def _stat(path: Path) -> _Found | None:
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # missing, or a null byte
        return None
    return _Found(str(path), (found.st_dev, found.st_ino), os.path.isdir(path))


def _identity(path: Path) -> Identity | None:
    found = _stat(path)
    return found and found.identity


def _shown(path: Path) -> str:
    return shown(str(path))
