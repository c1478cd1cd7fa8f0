"""One writer at a time: a lock on a folder that its process holds for as long as it lives, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kvae.errors import KvaeError

FILE = ".lock"
"""The file in a folder that is locked. The kernel lets go of it where the process dies, so it may stay behind."""

TRIES, PAUSE = 20, 0.02
"""How often a lock is asked for, and the seconds in between."""


@contextmanager
def held(folder: Path, use: str = "trained") -> Iterator[None]:
    """Hold the folder's lock for as long as the block runs.

    Args:
        folder: a folder that exists.
        use: what its holder does with it, for the message: "trained", "written".

    Raises:
        KvaeError: another process holds it, or the folder cannot be written to.
    """
    try:
        file = (folder / FILE).open("a+", encoding="utf-8")
    except OSError as error:
        raise KvaeError(f"cannot write {folder}: {error.strerror}.") from None
    with file:
        try:
            if not _taken(file):
                file.seek(0)
                raise KvaeError(
                    f"{folder} is being {use} by process {file.read(20).strip() or 'unknown'}. "
                    f"Wait for its end, stop it, or name another folder."
                )
        except OSError as error:  # a file system without locks
            raise KvaeError(f"cannot lock {folder}: {error.strerror}. Put it on a file system with locks.") from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _taken(file: IO[str]) -> bool:
    """Whether the lock could be had."""
    for _ in range(TRIES):  # `is_held` of another process has it for a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(PAUSE)
    return False


def check_free(folder: Path) -> None:
    """Raise KvaeError where another process holds the folder's lock."""
    if is_held(folder):
        with held(folder):  # which says who
            pass


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder's lock; False also where nobody may tell."""
    try:
        with (folder / FILE).open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
