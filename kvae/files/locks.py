"""One writer at a time: a lock on a folder or file that a process holds until it ends, however it ends.

The system releases the lock of a process that dies, so a lock says more than a process number: in another container, or
after a restart, the same number is another process. A lock file is only ever a regular file that kvae wrote: links,
pipes and devices are refused without being opened for good, and files with other content are left as they are.
"""

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvae.errors import KvaeError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt
except ImportError:  # all other systems
    msvcrt = None  # type: ignore[assignment]

FILE = ".lock"
"""The file in a folder that is locked. It may stay behind, because the system releases the lock if the process dies."""
TRIES, PAUSE = 20, 0.02
"""How often to try to take a lock, and the seconds in between."""
CONTENT = re.compile(rb"[\0\s]*|\d+\n|kvae .*", re.DOTALL)
"""What a lock file may hold: nothing (also after a loss of power), the number of its process, or `kvae.files.claims`'
record."""
MAX_BYTES = 4096
"""A longer file is not a lock."""
_FAR = 2**30
"""The byte that is locked on Windows, where locked bytes cannot be read: the number of the process is before it."""
_BUSY = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)


@contextmanager
def held(folder: Path, use: str = "trained") -> Iterator[None]:
    """Hold the folder's lock while the block runs.

    Args:
        folder: an existing folder.
        use: what the holder of the lock does with the folder, for the message: "trained", "written".

    Raises:
        KvaeError: another process holds it, or the folder cannot be written to.
    """
    with _opened(folder / FILE, f"cannot write {folder}") as number:
        if not _taken(number, f"cannot lock {folder}", "Put it on a file system with locks."):
            raise KvaeError(
                f"{folder} is being {use} by process {holder(number)}. "
                f"Wait until it ends, stop it, or name another folder."
            )
        rewrite(number, f"{os.getpid()}\n")
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
    with _opened(path, f"cannot write {path}", advice) as number:
        if not _taken(number, f"cannot lock {path}", advice, tries=1):
            waiting()
            while not _taken(number, f"cannot lock {path}", advice):
                pass
        yield


def check_free(folder: Path) -> None:
    """Raise KvaeError if another process holds the folder's lock."""
    if is_held(folder):
        with held(folder):  # its message names the process
            pass


def is_held(folder: Path) -> bool:
    """Whether a process holds the folder's lock; False also if that cannot be determined."""
    return is_locked(folder / FILE)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; False also if that cannot be determined. Nothing is written."""
    try:
        number = open_file(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not try_lock(number, shared=True)
    except OSError:
        return False
    finally:
        os.close(number)


def open_file(path: Path, flags: int) -> int:
    """Open a lock file, and return its descriptor.

    Raises:
        OSError: it cannot be opened, or is not a lock file of kvae: a link, a pipe, a device, another file.
    """
    # Neither follows a link nor waits for the other end of a pipe. Windows has neither, nor these flags.
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_symlink():  # for systems without O_NOFOLLOW; with it, the error would be about too many links
        raise OSError(errno.EINVAL, f"{path.name} is a link, not a lock of kvae", str(path))
    foreign = OSError(errno.EINVAL, f"{path.name} is not a lock of kvae; remove it if you do not need it", str(path))
    if path.exists() and not path.is_file():  # opening a folder or a socket fails with another reason
        raise foreign
    number = os.open(path, flags, 0o666)
    try:
        found = os.fstat(number)
        if not (stat.S_ISREG(found.st_mode) and found.st_nlink <= 1 and CONTENT.fullmatch(content(number))):
            raise foreign
    except BaseException:
        os.close(number)
        raise
    return number


def try_lock(number: int, shared: bool = False) -> bool:
    """Try to lock an open file; whether this process has the lock now.

    Args:
        number: its descriptor, which holds the lock until it is closed.
        shared: only look: another such lock is possible at the same time.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(number, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        elif msvcrt is not None:
            os.lseek(number, _FAR, os.SEEK_SET)
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in _BUSY:
            return False
        raise
    return True  # a system with neither module has no second process: it is a browser


def content(number: int) -> bytes:
    """What an open lock file holds, up to `MAX_BYTES` and one."""
    os.lseek(number, 0, os.SEEK_SET)
    return os.read(number, MAX_BYTES + 1)


def holder(number: int) -> str:
    """The process that an open lock file names, as text."""
    found = re.search(rb"\d{1,20}", content(number))
    return found[0].decode() if found else "unknown"


def rewrite(number: int, text: str) -> None:
    """Replace what an open lock file holds."""
    os.ftruncate(number, 0)
    os.lseek(number, 0, os.SEEK_SET)
    os.write(number, text.encode())


@contextmanager
def _opened(path: Path, refusal: str, advice: str = "") -> Iterator[int]:
    """The descriptor of the file that is locked."""
    try:
        number = open_file(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise KvaeError(f"{refusal}: {error.strerror}. {advice}".rstrip()) from None
    try:
        yield number
    finally:
        with contextlib.suppress(OSError):
            os.close(number)


def _taken(number: int, refusal: str, advice: str, tries: int = TRIES) -> bool:
    """Try to take the lock; whether this process has it now."""
    for left in reversed(range(tries)):  # `is_locked` in another process may hold it for a moment
        try:
            if try_lock(number):
                return True
        except OSError as error:  # a file system without locks
            raise KvaeError(f"{refusal}: {error.strerror}. {advice}") from None
        time.sleep(PAUSE if left else 0)
    return False
