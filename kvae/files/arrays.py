"""Arrays in .npy and .npz files, read and written a few rows at a time; pickles are refused."""

import io
import math
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kvae.errors import DataError
from kvae.files.atomic import atomic_file
from kvae.files.text import printable

SUFFIXES = (".npy", ".npz")
MAX_DIRECTORY = 2**20
"""Bytes of the list of an archive's members: some ten thousand."""
Array = NDArray[Any]


class Rows(Protocol):
    """An array in a file, whose rows are read when they are asked for: an `ArrayFile`, a `kvae.files.idx.IdxFile`."""

    @property
    def path(self) -> Path: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def rows(self, count: int, start: int = 0, stop: int | None = None) -> Iterator[Array]: ...


@dataclass(frozen=True)
class ArrayFile:
    """An array in a file, whose rows are read when they are asked for. Make one with `open_array`."""

    path: Path
    member: str | None
    """Its name in an .npz archive."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def rows(self, count: int, start: int = 0, stop: int | None = None) -> Iterator[Array]:
        """The array, `count` rows at a time: all of it, or from row `start` to before `stop`.

        In a compressed archive what stands before `start` is read, too.

        Raises:
            DataError: the file ends before the array does, or is damaged.
        """
        stop = self.shape[0] if stop is None else stop
        row = self.dtype.itemsize * math.prod(self.shape[1:])
        with _reported(self.path), _opened(self.path, self.member) as file:
            _read_header(file)
            file.seek(start * row, os.SEEK_CUR)
            for first in range(start, stop, count):
                number = min(count, stop - first)
                content = file.read(number * row)
                if len(content) != number * row:
                    raise DataError(f"{self.path} is cut short: it ends in row {first + len(content) // max(row, 1)}.")
                yield np.frombuffer(content, self.dtype).reshape(number, *self.shape[1:])


def open_array(path: Path, names: tuple[str, ...]) -> ArrayFile:
    """An array of a .npy file, or of an .npz archive.

    Args:
        path: the file.
        names: which array of an archive is meant, the first that it has; where it holds a single array, that.

    Raises:
        DataError: no such file, no such array in it, a damaged file, or an array of objects (a pickle).
    """
    if path.exists() and not path.is_file():  # a pipe, say, for which one would wait forever
        raise DataError(f"{path} is no regular file.")
    with _reported(path):
        member = _choose(path, names) if path.suffix.lower() == ".npz" else None
        with _opened(path, member) as file:
            shape, fortran_order, dtype = _read_header(file)
            room = _size(path, member) - file.tell()
    if dtype.hasobject:
        raise DataError(f"{path} holds Python objects, which are not read: they could run code. Save numbers.")
    if fortran_order and len(shape) > 1:
        raise DataError(f"{path} is stored column by column; save it with np.ascontiguousarray.")
    if min(shape, default=0) < 0 or dtype.itemsize * math.prod(shape) > room:
        raise DataError(f"{path} is damaged, or cut short: its shape is {printable(shape)}, for which it is too small.")
    if not dtype.itemsize * math.prod(shape) or not shape:  # any number of empty rows fits in no bytes
        raise DataError(f"{path} holds no numbers: its shape is {printable(shape)}.")
    return ArrayFile(path, member, shape, dtype)


def write_npz(
    batches: Iterable[Mapping[str, ArrayLike]], count: int, rows: Mapping[str, tuple[tuple[int, ...], str]], path: Path
) -> None:
    """Write arrays to an .npz as their rows come; memory does not grow with their number.

    Args:
        batches: the rows of each array, by name, `count` in all.
        count: number of rows.
        rows: by name the shape and the dtype of a row.
        path: the file; one that exists is replaced.

    Raises:
        KvaeError: the file cannot be written.
    """
    with atomic_file(path) as temporary, tempfile.TemporaryDirectory(dir=path.parent, prefix=".kvae-") as scratch:
        files = {name: (Path(scratch) / f"{name}.npy").open("w+b") for name in rows}
        try:
            for name, (shape, dtype) in rows.items():
                header = {"descr": dtype, "fortran_order": False, "shape": (count, *shape)}
                np.lib.format.write_array_header_1_0(files[name], header)
            for batch in batches:
                for name, (_, dtype) in rows.items():
                    files[name].write(np.ascontiguousarray(batch[name], dtype).tobytes())
            # An archive takes one file at a time, which is why the arrays grow beside it.
            with zipfile.ZipFile(temporary, "w") as archive:
                for name, file in files.items():
                    file.seek(0)
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                        shutil.copyfileobj(file, target)
        finally:
            for file in files.values():
                file.close()


def write_arrays(arrays: Mapping[str, Any], path: Path) -> None:
    """Write arrays under their names to the .npz `path`, which is replaced if it exists.

    Raises:
        KvaeError: the file cannot be written.
    """
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **dict(arrays))


class _ArchiveFile(io.BufferedReader):
    """A zip archive's file, in which no list of members longer than `MAX_DIRECTORY` is read."""

    listed = False
    """Whether the list was read. zipfile reads it in one go, and makes far larger objects of it."""

    def read(self, size: int | None = -1, /) -> bytes:
        # Without a size it wants what is left of the file, a few bytes at its end.
        asked = size if size is not None and size >= 0 else os.fstat(self.fileno()).st_size - self.tell()
        if not self.listed and asked > MAX_DIRECTORY:
            raise zipfile.BadZipFile("it has too many members")
        return super().read(size)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with _ArchiveFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        file.listed = True
        yield archive


def _choose(path: Path, names: tuple[str, ...]) -> str:
    with _archive(path) as archive:
        found = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    for name in names:
        if name in found:
            return name
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"{path} holds {printable(', '.join(found)) or 'no array'}; expected one named {' or '.join(names)}."
    )


@contextmanager
def _opened(path: Path, member: str | None) -> Iterator[IO[bytes]]:
    """The .npy file at a path, or inside the archive there."""
    if member is None:
        with path.open("rb") as file:
            yield file
    else:
        with _archive(path) as archive, archive.open(f"{member}.npy") as file:
            yield file


def _size(path: Path, member: str | None) -> int:
    """Bytes of the .npy file, uncompressed."""
    if member is None:
        return path.stat().st_size
    with _archive(path) as archive:
        return archive.getinfo(f"{member}.npy").file_size


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return read(file)
    except (OSError, zipfile.BadZipFile, zlib.error):
        raise
    except Exception as error:  # it is parsed as Python, in which much can go wrong
        raise ValueError(f"its header cannot be read: {type(error).__name__}, {printable(error)}") from None


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """What a missing or damaged file raises becomes a DataError that names it."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is damaged: {printable(error)}.") from None
