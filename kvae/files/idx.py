"""The idx file format of MNIST and similar data sets: a magic number, the shape of an array, then its bytes."""

import gzip
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from kvae.errors import DataError

UNSIGNED_BYTE = 0x08
"""The type code of uint8, the only one kvae reads."""
MAX_DIMENSIONS = 8
"""Maximum number of dimensions of an array."""


def read_bytes(path: Path, limit: int) -> bytes:
    """A file's content, uncompressed if its name ends in .gz.

    Args:
        path: the file.
        limit: most bytes of the content; a longer one is cut at `limit` + 1, so that memory stays bounded.

    Raises:
        DataError: the file cannot be read, is not a gzip file, or is truncated.
    """
    with _opened(path) as file:
        return file.read(limit + 1)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The uncompressed content of a file; errors become a DataError."""
    try:
        opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
        with opener(path, "rb") as file:
            yield file
    except EOFError:
        raise DataError("the file is truncated: its gzip stream is incomplete") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"the file is damaged: {error}") from None
    except OSError as error:
        raise DataError(f"the file cannot be read: {error.strerror}") from None


def parse(content: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """The array in the content of an idx file.

    Args:
        content: the uncompressed file.
        shape: the shape it must have.

    Raises:
        DataError: the magic number or the shape is wrong, or the length does not fit them.
    """
    magic = UNSIGNED_BYTE << 8 | len(shape)
    found = int.from_bytes(content[:4], "big")
    if len(content) < 4 or found != magic:
        raise DataError(f"its magic number is 0x{found:08x}, expected 0x{magic:08x}")
    sizes = np.frombuffer(content[4 : 4 + 4 * len(shape)], ">u4")
    if tuple(sizes) != shape:
        raise DataError(f"its shape is {tuple(int(size) for size in sizes)}, expected {shape}")
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape))
    if len(values) != np.prod(shape):
        raise DataError(f"it holds {len(values)} values, expected {np.prod(shape)}")
    return values.reshape(shape)


@dataclass(frozen=True)
class IdxFile:
    """The array of an idx file of any shape, whose rows are read on demand."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = np.dtype(np.uint8)

    def rows(self, count: int, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """The array, `count` rows at a time: all of it, or from row `start` up to, but without, row `stop`.

        In a compressed file, the rows before `start` are read too.

        Raises:
            DataError: the file ends before the array does, or is damaged.
        """
        stop = self.shape[0] if stop is None else stop
        row = math.prod(self.shape[1:])
        with _named(self.path), _opened(self.path) as file:
            file.seek(4 + 4 * len(self.shape) + start * row)
            for first in range(start, stop, count):
                number = min(count, stop - first)
                content = file.read(number * row)
                if len(content) != number * row:
                    raise DataError(f"it is cut short: it ends in row {first + len(content) // max(row, 1)}")
                yield np.frombuffer(content, np.uint8).reshape(number, *self.shape[1:])


def open_idx(path: Path) -> IdxFile:
    """The array in an idx file of bytes, compressed if its name ends in .gz.

    Raises:
        DataError: there is no such file, or it is not an idx file of bytes with at least one row.
    """
    with _named(path), _opened(path) as file:
        magic = file.read(4)
        if len(magic) < 4 or magic[:3] != bytes([0, 0, UNSIGNED_BYTE]) or not magic[3]:
            raise DataError(f"it is not an idx file of bytes: it begins with 0x{magic.hex()}")
        if magic[3] > MAX_DIMENSIONS:
            raise DataError(f"it has {magic[3]} dimensions; images have 3 or 4")
        sizes = file.read(4 * magic[3])
        if len(sizes) < 4 * magic[3]:
            raise DataError("it is cut short: its shape is missing")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">u4"))
    if not shape[0]:
        raise DataError(f"{path} holds no rows: its shape is {shape}.")
    size = 4 + 4 * len(shape) + math.prod(shape)
    if path.suffix.lower() != ".gz" and path.stat().st_size < size:
        raise DataError(f"{path} is cut short: it is too small for its shape {shape}.")
    return IdxFile(path, shape)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name in front of an error message."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}.") from None


def to_bytes(array: NDArray[np.uint8]) -> bytes:
    """The uncompressed idx file of a uint8 array."""
    magic = UNSIGNED_BYTE << 8 | array.ndim
    header = magic.to_bytes(4, "big") + np.asarray(array.shape, ">u4").tobytes()
    return header + np.ascontiguousarray(array).tobytes()
