"""Read and write arrays in .npy and .npz files, a few rows at a time; pickles are refused."""

import io
import math
import os
import shutil
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
from kvae.files import npy, regular
from kvae.files.atomic import atomic_file, scratch_folder
from kvae.files.text import printable

SUFFIXES = (".npy", ".npz")
MAX_DIRECTORY = 2**20
"""Maximum size of an archive's list of members in bytes, enough for some ten thousand."""
Array = NDArray[Any]


class Rows(Protocol):
    """An array in a file, whose rows are read on demand: an `ArrayFile` or a `kvae.files.idx.IdxFile`."""

    @property
    def path(self) -> Path: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype[Any]: ...

    def rows(self, count: int, start: int = 0, stop: int | None = None) -> Iterator[Array]: ...


@dataclass(frozen=True)
class ArrayFile:
    """An array in a file, whose rows are read on demand. Make one with `open_array`."""

    path: Path
    member: str | None
    """The array's name in an .npz archive; None for a .npy file."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def rows(self, count: int, start: int = 0, stop: int | None = None) -> Iterator[Array]:
        """The array, `count` rows at a time: all of it, or from row `start` up to, but without, row `stop`.

        In a compressed archive, the rows before `start` are read too.

        Raises:
            DataError: the file ends before the array does, or is damaged.
        """
        stop = self.shape[0] if stop is None else stop
        row = self.dtype.itemsize * math.prod(self.shape[1:])
        with _reported(self.path), _opened(self.path, self.member) as file:
            npy.read_header(file)
            file.seek(start * row, os.SEEK_CUR)
            for first in range(start, stop, count):
                number = min(count, stop - first)
                content = file.read(number * row)
                if len(content) != number * row:
                    raise DataError(f"{self.path} is cut short: it ends in row {first + len(content) // max(row, 1)}.")
                yield np.frombuffer(content, self.dtype).reshape(number, *self.shape[1:])


def open_array(path: Path, names: tuple[str, ...]) -> ArrayFile:
    """The array in a .npy file, or one in an .npz archive.

    Args:
        path: the file.
        names: names of the array in an archive; the first one present is used. A single array may have any name.

    Raises:
        DataError: there is no such file or array, the file is damaged, or it holds an array of objects (a pickle).
    """
    with _reported(path):
        regular.check(path)
        member = _choose(path, names) if path.suffix.lower() == ".npz" else None
        with _opened(path, member) as file:
            shape, fortran_order, dtype = npy.read_header(file)
            room = _size(path, member) - file.tell()
    if dtype.hasobject:
        raise DataError(f"{path} holds Python objects, which kvae does not read because they could run code.")
    if fortran_order and len(shape) > 1:
        raise DataError(f"{path} is stored column by column; save it with np.ascontiguousarray.")
    if min(shape, default=0) < 0 or dtype.itemsize * math.prod(shape) > room:
        raise DataError(f"{path} is damaged or cut short: it is too small for its shape {printable(shape)}.")
    if not dtype.itemsize * math.prod(shape) or not shape:  # any number of empty rows takes no bytes
        raise DataError(f"{path} holds no numbers: its shape is {printable(shape)}.")
    return ArrayFile(path, member, shape, dtype)


def names_in(path: Path) -> list[str]:
    """The names of the arrays in an .npz archive.

    Raises:
        DataError: there is no such file, or it is damaged.
    """
    with _reported(path):
        regular.check(path)
        return _names(path)


def write_npz(
    batches: Iterable[Mapping[str, ArrayLike]],
    count: int,
    rows: Mapping[str, tuple[tuple[int, ...], str]],
    path: Path,
    compressed: bool = False,
) -> int:
    """Write arrays to an .npz as their rows arrive, and return their number; memory does not grow with it.

    Args:
        batches: the rows of each array, by name, `count` in all or fewer.
        count: number of rows, at most.
        rows: the shape and the dtype of a row of each array, by name.
        path: the file, which is replaced if it exists.
        compressed: whether to compress the arrays.

    Raises:
        KvaeError: the file cannot be written.
    """
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with atomic_file(path) as temporary, scratch_folder(path) as scratch:
        files = {name: (scratch / f"{name}.npy").open("w+b") for name in rows}
        try:
            for name, (shape, dtype) in rows.items():
                npy.write_header(files[name], dtype, (count, *shape))
            written = 0
            for batch in batches:
                for name, (_, dtype) in rows.items():
                    files[name].write(np.ascontiguousarray(batch[name], dtype).tobytes())
                written += len(np.asarray(batch[name]))
            for name, (shape, dtype) in rows.items() if written < count else ():
                files[name].seek(0)
                npy.write_header(files[name], dtype, (written, *shape))  # of the same length: numpy leaves room
            # An archive can be written only one file at a time, so the arrays are first written to separate files.
            with zipfile.ZipFile(temporary, "w", method) as archive:
                for name, file in files.items():
                    file.seek(0)
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as target:
                        shutil.copyfileobj(file, target)
        finally:
            for file in files.values():
                file.close()
    return written


def write_arrays(arrays: Mapping[str, Any], path: Path) -> None:
    """Write named arrays to the .npz `path`, which is replaced if it exists.

    Raises:
        KvaeError: the file cannot be written.
    """
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **dict(arrays))


class _ArchiveFile(io.BufferedReader):
    """The file of a zip archive, which refuses to read a list of members longer than `MAX_DIRECTORY`."""

    listed = False
    """Whether the list has been read. zipfile reads it at once, and makes far larger objects from it."""

    def read(self, size: int | None = -1, /) -> bytes:
        # Without a size, zipfile wants the rest of the file, a few bytes at its end.
        asked = size if size is not None and size >= 0 else os.fstat(self.fileno()).st_size - self.tell()
        if not self.listed and asked > MAX_DIRECTORY:
            raise zipfile.BadZipFile("it has too many members")
        return super().read(size)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    with _ArchiveFile(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        file.listed = True
        yield archive


def _names(path: Path) -> list[str]:
    with _archive(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _choose(path: Path, names: tuple[str, ...]) -> str:
    found = _names(path)
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
    """The .npy file at a path, or in the archive at a path."""
    if member is None:
        with path.open("rb") as file:
            yield file
    else:
        with _archive(path) as archive, archive.open(f"{member}.npy") as file:
            yield file


def _size(path: Path, member: str | None) -> int:
    """Uncompressed bytes of the .npy file."""
    if member is None:
        return path.stat().st_size
    with _archive(path) as archive:
        return archive.getinfo(f"{member}.npy").file_size


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """What a missing or damaged file raises becomes a DataError that names it."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} is damaged: {printable(error)}.") from None
