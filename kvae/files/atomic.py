"""Files and folders that appear whole or not at all: written under a temporary name beside the target, then renamed."""

import contextlib
import ctypes
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvae.errors import KvaeError


@contextmanager
def atomic_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the file to make; one that exists is replaced. Missing parent folders are made.
        durable: whether it is to be there after a loss of power too, which takes the disk's time.

    Raises:
        KvaeError: the folder cannot be written to, the disk is full, or a device or a pipe stands there.
    """
    with _reported(path):
        if path.exists() and not (path.is_file() or path.is_dir()):  # a device, say, which a rename would replace
            raise KvaeError(f"{path} is no regular file; it is left as it is. Name another.")
    temporary = path.with_name(f".{path.stem[:50]}.{os.getpid()}.tmp{path.suffix[:20]}")
    try:
        with _reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
            if durable:
                _flush(path.parent)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(
    path: Path, replaceable: Callable[[Path], bool], what: str, last: str = "", durable: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder to fill; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the folder to make. One that exists is replaced only if it is empty or `replaceable` says it may be: an
            empty one is filled (it may be a mount point, or a shell's current folder), another swapped as a whole.
        replaceable: whether an existing folder is one of ours, and holds nothing else.
        what: what a replaceable folder is called in the error, e.g. "a bundle".
        last: the file without which the folder is none of ours; where an empty folder is filled, it comes last.
        durable: as for `atomic_file`.

    Raises:
        KvaeError: `path` holds something else, or cannot be written to.
    """
    check_replaceable(path, replaceable, what)
    path = path.resolve()
    temporary, retired = (path.with_name(f".{path.name[:50]}.{os.getpid()}.{suffix}") for suffix in ("tmp", "old"))
    if path.is_dir() and not any(path.iterdir()):
        temporary = path / temporary.name
    try:
        with _reported(path):
            temporary.mkdir(parents=True)
            yield temporary
            for entry in temporary.rglob("*") if durable else ():
                _flush(entry)
            if temporary.parent == path:
                for entry in sorted(temporary.iterdir(), key=lambda entry: entry.name == last):
                    entry.rename(path / entry.name)
            elif not path.exists():
                temporary.rename(path)
            elif not _exchange(temporary, path):
                path.rename(retired)
                try:
                    temporary.rename(path)
                except BaseException:  # Ctrl-C between the two renames included
                    retired.rename(path)
                    raise
            if durable:
                _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if path.exists():
            shutil.rmtree(retired, ignore_errors=True)


def check_replaceable(path: Path, replaceable: Callable[[Path], bool], what: str) -> None:
    """Raise KvaeError if `path` exists and is neither an empty folder nor one that `replaceable` accepts."""
    with _reported(path):
        if not os.path.lexists(path) or (path.is_dir() and (not any(path.iterdir()) or replaceable(path))):
            return
    raise KvaeError(f"{path} exists and is not {what}; it is left as it is. Name another folder.")


def remove_stale(folder: Path) -> None:
    """Remove what processes that are no more left in a folder under temporary names: they were killed as they wrote.

    This process must be writing nothing there.
    """
    for entry in folder.iterdir():
        found = re.fullmatch(r"\..*\.(\d+)\.(tmp|old)(\..*)?", entry.name)
        # One with our own number is of a process before us, in a container, say, where the first one is always 1.
        if found and (int(found[1]) == os.getpid() or not _is_alive(int(found[1]))):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    entry.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OverflowError:  # no number of a process
        return False
    except PermissionError:
        pass
    return True


def _flush(path: Path) -> None:
    """Have the disk hold what was written, as a rename is only worth something once its content is there."""
    with contextlib.suppress(OSError):  # not all file systems can do it for folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, so that there is no moment without either; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2  # Linux; 2 is its RENAME_EXCHANGE, -100 its AT_FDCWD
    except (OSError, AttributeError):
        return False
    return bool(rename(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KvaeError(f"cannot write {path}: {error.strerror or error}.") from error
