"""The idx file format of MNIST and its kin: one array of bytes with a magic number, its shape, then its values."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvae.errors import DataError

UNSIGNED_BYTE = 0x08
"""The type code of uint8, the only one kvae reads."""


def read_bytes(path: Path, limit: int) -> bytes:
    """A file's content, uncompressed if its name ends in .gz.

    Args:
        path: the file.
        limit: bytes the content may have; a longer one is cut at `limit` + 1, so that memory stays bounded.

    Raises:
        DataError: the file cannot be read, is no gzip file, or is truncated.
    """
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            return file.read(limit + 1)
    except EOFError:
        raise DataError("the file is truncated: its gzip stream has no end") from None
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
        DataError: another magic number or shape, or a length that does not fit them.
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


def to_bytes(array: NDArray[np.uint8]) -> bytes:
    """The uncompressed idx file of a uint8 array."""
    magic = UNSIGNED_BYTE << 8 | array.ndim
    header = magic.to_bytes(4, "big") + np.asarray(array.shape, ">u4").tobytes()
    return header + np.ascontiguousarray(array).tobytes()
