"""One writer at a time: a lock on a folder or file that a process holds until it ends, however it ends."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from kvae.errors import KvaeError

FILE = ".lock"
"""The file in a folder that is locked. It may stay behind, because the kernel releases the lock if the process dies."""

TRIES, PAUSE = 20, 0.02
"""How often to try to take a lock, and the seconds in between."""


@contextmanager
def held(folder: Path, use: str = "trained") -> Iterator[None]:
    """Hold the folder's lock while the block runs.

    Args:
        folder: an existing folder.
        use: what the holder of the lock does with the folder, for the message: "trained", "written".

    Raises:
        KvaeError: another process holds it, or the folder cannot be written to.
    """
    with _opened(folder / FILE, f"cannot write {folder}") as file:
        if not _taken(file, f"cannot lock {folder}", "Put it on a file system with locks."):
            file.seek(0)
            raise KvaeError(
                f"{folder} is being {use} by process {file.read(20).strip() or 'unknown'}. "
                f"Wait until it ends, stop it, or name another folder."
            )
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextmanager
def awaited(path: Path, waiting: Callable[[], None], advice: str) -> Iterator[None]:
    """Hold the lock of a file while the block runs, after waiting for other processes to release it.

    Args:
        path: the file, which is made.
        waiting: called before waiting, if another process has the lock.
        advice: for the message, what to do if the file cannot be locked.

    Raises:
        KvaeError: the file cannot be written, or its file system has no locks.
    """
    with _opened(path, f"cannot write {path}", advice) as file:
        if not _taken(file, f"cannot lock {path}", advice, tries=1):
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _opened(path: Path, refusal: str, advice: str = "") -> IO[str]:
    """The file that is locked."""
    try:
        return path.open("a+", encoding="utf-8")
    except OSError as error:
        raise KvaeError(f"{refusal}: {error.strerror}. {advice}".rstrip()) from None


def _taken(file: IO[str], refusal: str, advice: str, tries: int = TRIES) -> bool:
    """Try to take the lock; whether this process has it now."""
    for left in reversed(range(tries)):  # `is_locked` in another process may hold it for a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(PAUSE if left else 0)
        except OSError as error:  # a file system without locks
            raise KvaeError(f"{refusal}: {error.strerror}. {advice}") from None
    return False


def check_free(folder: Path) -> None:
    """Raise KvaeError if another process holds the folder's lock."""
    if is_held(folder):
        with held(folder):  # its message names the process
            pass


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder's lock; False also if that cannot be determined."""
    return is_locked(folder / FILE)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; False also if that cannot be determined."""
    try:
        with path.open("r", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
