"""Files and folders that appear complete or not at all: written under a temporary name, then renamed.

All results of kvae are written by `atomic_file` or `atomic_folder`. Links are written through; a device, a pipe or a
folder that kvae did not write stays as it is.
"""

import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvae.errors import KvaeError
from kvae.files import claims, names, regular
from kvae.files.claims import claimed, remove_abandoned

__all__ = ["atomic_file", "atomic_folder", "check_replaceable", "remove_abandoned", "scratch_folder"]


@contextmanager
def atomic_file(path: Path, durable: bool = False, waits: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the file to make; one that exists is replaced, of a link the file it leads to. Missing parent folders are
            made.
        durable: whether the file must survive a loss of power, which takes the disk some time.
        waits: whether to wait for another process that is writing it, as for a file that both only fetch.

    Raises:
        KvaeError: the folder cannot be written to, the disk is full, `path` is a device or a pipe, or another process
            is writing it.
    """
    with _reported(path):
        followed = _followed(path)
        for place in (path, followed):  # /dev/stdout leads to no path, and new/../pipe is none before it is followed
            if place.exists() and not place.is_dir():  # the rename would replace a device, for example
                regular.check(place)
        path = followed
        with _parents(path), claimed(path, path.suffix, waits=waits) as claim:
            yield claim.temporary
            if durable:
                _flush(claim.temporary)
            os.replace(claim.temporary, path)
            if durable:
                _flush(path.parent)


@contextmanager
def atomic_folder(
    path: Path, replaceable: Callable[[Path], bool], what: str, last: str = "", durable: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder to fill; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the folder to make. One that exists is replaced only if it is empty or `replaceable` allows it: an empty
            one is filled (it may be a mount point, or a shell's current folder), another one is swapped as a whole.
        replaceable: whether an existing folder was made by kvae, is unchanged, and holds nothing else. It is asked
            before the work and again after it.
        what: what a replaceable folder is called in the error, e.g. "a bundle".
        last: the file that marks a folder as made by kvae; if an empty folder is filled, it is written last.
        durable: as for `atomic_file`.

    Raises:
        KvaeError: `path` holds something else, or cannot be written to, or another process is writing it.
    """
    with _reported(path):
        path = _followed(path)
        if path.is_dir() and os.path.lexists(path / claims.SUFFIX):  # a process began to fill it
            claims.finish(path)
    check_replaceable(path, replaceable, what)
    with _reported(path):
        inside = path.is_dir() and not any(path.iterdir())
        with _parents(path), claimed(path, inside=inside, last=last) as claim:
            check_replaceable(path, replaceable, what, besides=claims.SUFFIX if inside else None)
            claim.temporary.mkdir()
            yield claim.temporary
            for entry in claim.temporary.rglob("*") if durable else ():
                _flush(entry)
            if inside:
                claim.fill()
                claims.fill(claim.temporary, path, last)
            elif not os.path.lexists(path):
                claim.temporary.rename(path)
            else:
                _swap(claim, path, replaceable, what)
            if durable:
                _flush(path.parent)


def _swap(claim: claims.Claim, path: Path, replaceable: Callable[[Path], bool], what: str) -> None:
    """Put a folder in the place of another, and remove that one if it is still kvae's."""
    check_replaceable(path, replaceable, what)
    if _exchange(claim.temporary, path):
        if not (_is_empty(claim.temporary) or replaceable(claim.temporary)):  # something came in the last moment
            _exchange(claim.temporary, path)
            raise _refused(path, what)
        return
    path.rename(claim.retired)
    try:
        if not (_is_empty(claim.retired) or replaceable(claim.retired)):
            raise _refused(path, what)
        claim.temporary.rename(path)
    except BaseException:  # including Ctrl-C between the two renames
        claim.retired.rename(path)
        raise
    claims.remove(claim.retired)


def check_replaceable(path: Path, replaceable: Callable[[Path], bool], what: str, besides: str | None = None) -> None:
    """Raise KvaeError if `path` exists and is neither an empty folder nor one that `replaceable` accepts.

    Args:
        path: the folder.
        replaceable: as for `atomic_folder`.
        what: as for `atomic_folder`.
        besides: a file that an empty folder may hold.
    """
    with _reported(path):
        found = _followed(path)
        if not os.path.lexists(found) or (found.is_dir() and (_is_empty(found, besides) or replaceable(found))):
            return
    raise _refused(path, what)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder next to `path`, for files needed only while that is made; it vanishes with the block."""
    path = path.with_name(f"{path.name}.parts")
    with _reported(path), _parents(path), claimed(path) as claim:
        claim.temporary.mkdir()
        yield claim.temporary


def _refused(path: Path, what: str) -> KvaeError:
    return KvaeError(
        f"{path} exists and is not {what}; it is left unchanged, as it may hold something of yours. "
        f"Name another folder."
    )


def _followed(path: Path) -> Path:
    """The place that a path names, whatever links lead there."""
    names.check(path)
    try:
        found = path.resolve()
    except RuntimeError:  # of Python before 3.13
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
    if found.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    return found


def _is_empty(folder: Path, besides: str | None = None) -> bool:
    return all(entry.name == besides for entry in folder.iterdir())


@contextmanager
def _parents(path: Path) -> Iterator[None]:
    """Make the folder that `path` goes into; if the block fails, remove again what was made."""
    missing = [folder for folder in path.parents if not folder.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
    try:
        yield
    except BaseException:
        for folder in missing:
            with contextlib.suppress(OSError):  # something is in it
                folder.rmdir()
        raise


def _flush(path: Path) -> None:
    """Flush what was written to the disk, because a rename is useful only after its content is there."""
    with contextlib.suppress(OSError):  # not all systems support it for folders
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step, so that neither is ever missing; False if the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2  # Linux; 2 is its RENAME_EXCHANGE, -100 its AT_FDCWD
    except (OSError, AttributeError, TypeError):
        return False
    return bool(rename(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KvaeError(f"cannot write {path}: {error.strerror or error}.") from error
