"""Whether a folder is as kvae wrote it, to the last hash: only such a folder is ever replaced."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

LINE = re.compile(r"([0-9a-f]{64})  (.+)")
"""A line of a list, as the program sha256sum writes it: the hash, and the file's path in the folder."""


def sign(folder: Path, marker: str) -> None:
    """Write a list of all files in a folder with their sha256 into the file `marker` in it."""
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in sorted(_files(folder))]
    (folder / marker).write_text("".join(lines), encoding="utf-8", newline="\n")


def is_signed(folder: Path, marker: str) -> bool:
    """Whether a folder is as it was when `sign` was called."""
    try:
        if not stat.S_ISREG((folder / marker).lstat().st_mode):
            return False
        lines = (folder / marker).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    found = [LINE.fullmatch(line) for line in lines]
    if not all(found):
        return False
    hashes = {match[2]: match[1] for match in found if match}
    return all(os.path.lexists(folder / name) for name in hashes) and holds_only(folder, hashes, marker)


def holds_only(folder: Path, hashes: Mapping[str, str], besides: str) -> bool:
    """Whether a folder holds nothing but files with these hashes: no other file or folder, no link, no changed file.

    Args:
        folder: the folder.
        hashes: sha256 by the path in the folder, with "/" between its parts. Files may be missing.
        besides: one file more, whose hash is not known.
    """
    folders = {name.rpartition("/")[0] for name in hashes}
    try:
        for name in _files(folder, folders):
            if name != besides and (name not in hashes or _sha256(folder / name) != hashes[name]):
                return False
    except OSError:  # also of `_files`, for what is neither a file nor one of the folders
        return False
    return True


def _files(folder: Path, folders: set[str] | None = None, under: str = "") -> Iterator[str]:
    """The paths of the files in a folder; OSError for a link, a pipe, or a sub-folder not among `folders`."""
    with os.scandir(folder / under) as entries:
        found = list(entries)
    for entry in found:
        name = f"{under}/{entry.name}" if under else entry.name
        if entry.is_dir(follow_symlinks=False) and (folders is None or _is_of(name, folders)):
            yield from _files(folder, folders, name)
        elif entry.is_file(follow_symlinks=False):
            yield name
        else:
            raise OSError(f"{name} is not a file")


def _is_of(name: str, folders: set[str]) -> bool:
    return any(folder == name or folder.startswith(f"{name}/") for folder in folders)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
