"""One writer for each result, and nothing half done: the lock that a process holds beside what it makes.

While `samples.png` is made there are two more files: `.samples.png.kvae-lock`, which is locked, and the temporary file
that it names. That name has a random token, so that no other process can have it, in whatever container or on whatever
machine; the lock says whether its maker still lives. Both vanish at the end, however the work ends. If the process is
killed they stay, and the next one to write there finds the lock free, and so may finish or remove what it names,
and nothing else.
"""

import contextlib
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kvae.errors import KvaeError
from kvae.files import locks

SUFFIX = ".kvae-lock"
WAIT = 1500
"""How often to try to lock what another process makes, `kvae.files.locks.PAUSE` apart: half a minute."""
TOKEN = re.compile(r"\.(.*\.)?[0-9a-f]{32}\.(tmp|old)(\.[^/\\]*)?", re.DOTALL)
"""The names that a record may hold: without a random token, a file is not kvae's."""


@dataclass(frozen=True)
class Claim:
    """What a process may write while it has the lock. The names are of this process alone."""

    temporary: Path
    """Where the result is made."""
    retired: Path
    """Where the folder that it replaces goes for a moment, on a system that cannot swap two folders."""
    number: int | None
    """The descriptor of the lock file; None on a file system without locks."""

    def fill(self) -> None:
        """Note that the temporary folder is complete: from here on whoever comes next moves the rest of its files."""
        if self.number is not None:
            os.lseek(self.number, 0, os.SEEK_END)
            os.write(self.number, b"fill\n")


@contextmanager
def claimed(path: Path, suffix: str = "", inside: bool = False, last: str = "", waits: bool = False) -> Iterator[Claim]:
    """Be the only process that makes `path` while the block runs; what a killed one left is put right first.

    Args:
        path: the file or folder to make, without links.
        suffix: of the temporary name, as of `path`.
        inside: `path` is an existing folder that is filled: then the lock and the temporary folder are in it.
        last: the file that is moved last when a folder is filled.
        waits: wait up to `WAIT` tries for a process that makes it, rather than be refused at once.

    Raises:
        KvaeError: another process makes it.
        OSError: the folder cannot be written to.
    """
    folder = path if inside else path.parent
    short = "" if inside else f".{_short(path.name)}"
    with _locked(folder / f"{short}{SUFFIX}", path, WAIT if waits else 1) as number:
        if number is not None:
            _recover(folder, number)
        token = os.urandom(16).hex()
        names = [f"{short}.{token}.tmp{suffix[:20]}", f"{short}.{token}.old"]
        if number is not None:
            target = "" if inside else path.name
            record = {"temporary": names[0], "retired": names[1], "target": target, "last": last}
            locks.rewrite(number, f"kvae {os.getpid()} {json.dumps(record)}\n")
        claim = Claim(folder / names[0], folder / names[1], number)
        try:
            yield claim
        finally:
            remove(claim.temporary)


def finish(folder: Path) -> None:
    """Finish what a process left in a folder that it was filling when it was killed.

    Raises:
        KvaeError: a process is filling it now.
        OSError: its lock is not kvae's.
    """
    with _locked(folder / SUFFIX, folder) as number:
        if number is not None:
            _recover(folder, number)


def remove_abandoned(folder: Path) -> None:
    """Finish or remove what processes left in a folder when they were killed, as their locks prove."""
    for entry in list(folder.iterdir()):
        if entry.name.endswith(SUFFIX) and not entry.is_symlink():
            with contextlib.suppress(OSError, KvaeError), _locked(entry, entry) as number:
                if number is not None:
                    _recover(folder, number)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


@contextmanager
def _locked(lock: Path, path: Path, tries: int = 1) -> Iterator[int | None]:
    """Hold a lock file while the block runs, and remove it; None instead of its descriptor if there are no locks."""
    while True:
        number = locks.open_file(lock, os.O_RDWR | os.O_CREAT)
        try:
            taken = _take(number, path, tries)
            # The holder before may have removed the file between our opening and locking it.
            if taken is None or _is_same(number, lock):
                break
        except BaseException:
            os.close(number)
            raise
        os.close(number)
    try:
        yield number if taken else None
    finally:
        if locks.fcntl is None:  # Windows removes no open file, and none that another process has opened
            os.close(number)
        with contextlib.suppress(OSError):
            lock.unlink()
        if locks.fcntl is not None:
            os.close(number)


def _take(number: int, path: Path, tries: int) -> bool | None:
    """Lock an open file; None if the file system has no locks."""
    for left in reversed(range(tries)):
        try:
            if locks.try_lock(number):
                return True
        except OSError as error:
            if error.errno in (errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP):
                return None
            raise
        time.sleep(locks.PAUSE if left else 0)
    raise KvaeError(
        f"{path} is being written by process {locks.holder(number)}. Wait until it ends, or name another --out."
    )


def _is_same(number: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _recover(folder: Path, number: int) -> None:
    """Put right what a killed process left: each step can be made again, should this process be killed too."""
    record, filling = _record(locks.content(number))
    if record is None:
        return
    temporary, retired = folder / record["temporary"], folder / record["retired"]
    target = folder / record["target"]
    if filling and temporary.is_dir():
        fill(temporary, target, record["last"])
    if os.path.lexists(retired) and not os.path.lexists(target):
        retired.rename(target)
    remove(temporary)
    remove(retired)
    os.ftruncate(number, 0)


def fill(temporary: Path, folder: Path, last: str) -> None:
    """Move the entries of a complete folder into another one, the entry named `last` last; none is replaced."""
    for entry in sorted(temporary.iterdir(), key=lambda entry: entry.name == last):
        if not os.path.lexists(folder / entry.name):
            entry.rename(folder / entry.name)


def _record(content: bytes) -> tuple[dict[str, Any] | None, bool]:
    """What a lock file says of its process's names; None if it says nothing, or not what kvae writes."""
    try:
        first, *more = content.decode().splitlines()
        values = json.loads(first.split(" ", 2)[2])
        names = [values[name] for name in ("temporary", "retired", "target", "last")]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None, False
    are_names = all(
        isinstance(name, str) and not set(name) & set("/\\\0") and name not in (".", "..") for name in names
    )
    if not are_names or not all(map(TOKEN.fullmatch, names[:2])):
        return None, False
    return values, more == ["fill"]


def _short(name: str) -> str:
    """A name, or if it is long its beginning and a digest, so that a longer one can be made of it."""
    if len(os.fsencode(name)) <= 120:
        return name
    import hashlib  # needed only here

    return f"{name[:25]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
