"""Files and folders that appear complete or not at all: written under a temporary name, then renamed."""

import contextlib
import ctypes
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvae.errors import KvaeError
from kvae.files import regular


@contextmanager
def atomic_file(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the file to make; one that exists is replaced. Missing parent folders are made.
        durable: whether the file must survive a loss of power, which takes the disk some time.

    Raises:
        KvaeError: the folder cannot be written to, the disk is full, or `path` is a device or a pipe.
    """
    with _reported(path):
        if path.exists() and not path.is_dir():  # the rename would replace a device, for example
            regular.check(path)
    temporary = _temporary(path, path.stem, f"tmp{path.suffix[:20]}")
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
        path: the folder to make. One that exists is replaced only if it is empty or `replaceable` allows it: an empty
            one is filled (it may be a mount point, or a shell's current folder), another one is swapped as a whole.
        replaceable: whether an existing folder was made by kvae, and holds nothing else.
        what: what a replaceable folder is called in the error, e.g. "a bundle".
        last: the file that marks a folder as made by kvae; if an empty folder is filled, it is written last.
        durable: as for `atomic_file`.

    Raises:
        KvaeError: `path` holds something else, or cannot be written to.
    """
    check_replaceable(path, replaceable, what)
    path = path.resolve()
    temporary, retired = (_temporary(path, path.name, ending) for ending in ("tmp", "old"))
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
                except BaseException:  # including Ctrl-C between the two renames
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
    raise KvaeError(f"{path} exists and is not {what}; it is left unchanged. Name another folder.")


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder next to `path`, for files needed only while that is made; it vanishes with the block."""
    folder = _temporary(path, path.stem, "tmp.parts")
    shutil.rmtree(folder, ignore_errors=True)  # of a killed process that had our number, as in a container
    with _reported(path):
        folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale(folder: Path, is_stale: Callable[[str, int], bool] | None = None) -> None:
    """Remove what this module's functions left in a folder when their process was killed.

    Args:
        folder: where to look. This process must not be writing there.
        is_stale: given the name that was being made, without its suffix, and the number of the process that made it,
            returns whether nobody writes it any more; by default, whether this machine has no such process.
    """
    for entry in folder.iterdir():
        found = _TEMPORARY.fullmatch(entry.name)
        if found and (is_stale or _is_dead)(found["name"], int(found["process"])):
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    entry.unlink()


_TEMPORARY = re.compile(r"\.(?P<name>.*)\.(?P<process>\d+)\.(tmp|old)(\..*)?", re.DOTALL)


def _temporary(path: Path, name: str, ending: str) -> Path:
    """A path next to `path` that no other process on this machine uses, and that `remove_stale` recognises."""
    return path.with_name(f".{name[:50]}.{os.getpid()}.{ending}")


def _is_dead(name: str, process: int) -> bool:
    # A file with this process's own number is from an earlier process: in a container, the first one is always 1.
    return process == os.getpid() or not _is_alive(process)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OverflowError:  # not a valid process number
        return False
    except PermissionError:
        pass
    return True


def _flush(path: Path) -> None:
    """Flush what was written to the disk, because a rename is useful only after its content is there."""
    with contextlib.suppress(OSError):  # not all file systems support it for folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, so that neither is ever missing; False if the system cannot."""
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
