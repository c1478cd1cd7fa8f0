"""Open only regular files: not folders, pipes or devices, on which a reader could wait forever."""

import errno
import stat
from io import BufferedReader
from pathlib import Path


def check(path: Path) -> None:
    """Raise OSError unless the path is a regular file."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; anything else raises OSError."""
    check(path)
    return path.open("rb")
