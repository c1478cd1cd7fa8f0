"""List the files under a user's folder, whatever links and names it holds."""

import os
from collections.abc import Iterator
from pathlib import Path

from kvae.errors import DataError
from kvae.files.text import shown


def files_under(folder: Path) -> Iterator[str]:
    """The files under a folder, as relative paths, without hidden ones.

    Links are followed, but each folder is entered only once, because a link to a parent folder would never end.

    Raises:
        DataError: one of the folders cannot be read; skipping it would lose files silently.
    """
    waiting, entered = [""], set()
    while waiting:
        under = waiting.pop()
        try:
            place = os.stat(folder / under)
            if (place.st_dev, place.st_ino) in entered:
                continue
            entered.add((place.st_dev, place.st_ino))
            with os.scandir(folder / under) as found:
                entries = sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda e: e.name)
        except OSError as error:
            raise DataError(f"{shown(str(folder / under))} cannot be read: {error.strerror}.") from None
        folders = [os.path.join(under, entry.name) for entry in entries if _is_folder(entry)]
        yield from (os.path.join(under, entry.name) for entry in entries if not _is_folder(entry))
        waiting += reversed(folders)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
