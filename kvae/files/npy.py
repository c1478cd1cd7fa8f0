"""The header of a .npy file, written and read separately from its rows."""

import zipfile
import zlib
from typing import IO, Any

import numpy as np

from kvae.files.text import printable


def write_header(file: IO[bytes], dtype: str, shape: tuple[int, ...]) -> None:
    """Write the header of an array whose rows follow.

    Args:
        file: the file, at its start.
        dtype: as numpy writes it, with the byte order: "<f4".
        shape: the shape of the whole array.
    """
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an array, whether it is stored column by column, and its dtype.

    Raises:
        ValueError: the header is missing or damaged.
        OSError, zipfile.BadZipFile, zlib.error: the file, or the archive around it, cannot be read.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        return read(file)
    except (OSError, zipfile.BadZipFile, zlib.error):
        raise
    except Exception as error:  # it is parsed as Python, which can fail in many ways
        raise ValueError(f"its header cannot be read: {type(error).__name__}, {printable(error)}") from None
