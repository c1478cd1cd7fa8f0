"""Files and folders that appear whole or not at all: written under a temporary name beside the target, then renamed."""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from kvae.errors import KvaeError


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the file to make; one that exists is replaced. Missing parent folders are made.

    Raises:
        KvaeError: the folder cannot be written to, or the disk is full.
    """
    temporary = path.with_name(f".{path.name[:50]}.{os.getpid()}.tmp")
    try:
        with _reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path, replaceable: Callable[[Path], bool], what: str) -> Iterator[Path]:
    """Yield a temporary folder to fill; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the folder to make. One that exists is replaced only if it is empty or `replaceable` says it may be: an
            empty one is filled (it may be a mount point, or a shell's current folder), another swapped as a whole.
        replaceable: whether an existing folder is one of ours, and holds nothing else.
        what: what a replaceable folder is called in the error, e.g. "a bundle".

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
            if temporary.parent == path:
                for entry in temporary.iterdir():
                    entry.rename(path / entry.name)
            elif path.exists():
                path.rename(retired)
                try:
                    temporary.rename(path)
                except BaseException:  # Ctrl-C between the two renames included
                    retired.rename(path)
                    raise
            else:
                temporary.rename(path)
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


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KvaeError(f"cannot write {path}: {error.strerror or error}.") from error
