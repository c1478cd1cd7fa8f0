"""Reads members of a zip that a stranger may have made, by the rules for files: by one name, whole, within bounds."""

import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO

from kvae.errors import BundleError
from kvae.files.text import printable

MAX_MEMBERS = 1000
MAX_RATIO, FREE_BYTES = 100, 16 * 2**20
"""A member with more than `FREE_BYTES` may have at most `MAX_RATIO` times its compressed size. Trained weights hardly
compress at all."""


class Zip:
    """The files in a zip. Make one with `opened`."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._archive = archive
        self._name = name
        self.members = _members(archive.infolist(), name)
        """The files by their names, which have "/" between folders."""

    def read(self, member: str, limit: int) -> bytes:
        """The content of a file.

        Raises:
            BundleError: it is not there, has more than `limit` bytes, is encrypted, is a link, or is a zip bomb.
        """
        name, entry = f"{printable(member)} in {self._name}", self.members.get(member)
        if entry is None:
            raise BundleError(f"cannot read {name}: it is not there.")
        if entry.flag_bits & 1:
            raise BundleError(f"cannot read {name}: it is encrypted. Make the zip without a password.")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise BundleError(f"cannot read {name}: it is not a regular file.")
        if entry.file_size > limit:
            raise BundleError(f"{name} has {entry.file_size:,} bytes; expected at most {limit:,}.")
        if entry.file_size > max(FREE_BYTES, MAX_RATIO * entry.compress_size):
            raise BundleError(
                f"{name} has {entry.file_size:,} bytes, but takes {entry.compress_size:,} in the zip: a bundle's files "
                f"do not compress to less than a {MAX_RATIO}th."
            )
        with self._archive.open(entry) as file:
            return file.read(entry.file_size)


@contextmanager
def opened(file: IO[bytes], name: str) -> Iterator[Zip]:
    """A zip, for reading while the block runs.

    Args:
        file: the zip.
        name: what messages call it.

    Raises:
        BundleError: it is damaged, or holds too many files or names that could mean two files; also from within the
            block, if a member is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            yield Zip(archive, name)
    # zipfile raises all of these for damaged zips: it checks little itself.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError, OverflowError) as error:
        raise BundleError(f"{name} cannot be read as a zip: {printable(error)}. Copy or make it again.") from None


def _members(entries: list[zipfile.ZipInfo], name: str) -> dict[str, zipfile.ZipInfo]:
    if len(entries) > MAX_MEMBERS:
        raise BundleError(f"{name} holds {len(entries):,} files; expected at most {MAX_MEMBERS:,}.")
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        path = entry.orig_filename  # `filename` ends at a null character, and has "/" for other separators
        if path.startswith("/") or ".." in PurePosixPath(path).parts or any(sign in path for sign in "\\:\0"):
            raise BundleError(f"{name} holds a file named '{printable(path)}', outside of its folder. Make it again.")
        if path in found:
            raise BundleError(f"{name} holds two files named '{printable(path)}'. Make it again.")
        found[path] = entry
    return found
