"""Files and folders that appear whole or not at all: written under a temporary name beside the target, then renamed."""

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with _reported(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True) if path.parent.is_dir() else None


@contextmanager
def atomic_folder(path: Path, replaceable: Callable[[Path], bool], what: str) -> Iterator[Path]:
    """Yield a temporary folder to fill; it becomes `path` if the block succeeds, and vanishes if it does not.

    Args:
        path: the folder to make. One that exists is replaced only if it is empty or `replaceable` says it may be.
        replaceable: whether an existing folder is one of ours.
        what: what a replaceable folder is called in the error, e.g. "a bundle".

    Raises:
        KvaeError: `path` holds something else, or cannot be written to.
    """
    path = path.absolute()
    check_replaceable(path, replaceable, what)
    temporary, retired = (path.with_name(f".{path.name}.{os.getpid()}.{suffix}") for suffix in ("tmp", "old"))
    try:
        with _reported(path):
            temporary.mkdir(parents=True)
            yield temporary
            if path.exists():
                path.rename(retired)
            temporary.rename(path)
    finally:
        for leftover in (temporary, retired):
            shutil.rmtree(leftover, ignore_errors=True)


def check_replaceable(path: Path, replaceable: Callable[[Path], bool], what: str) -> None:
    """Raise KvaeError if `path` exists and is neither an empty folder nor one that `replaceable` accepts."""
    if not os.path.lexists(path):
        return
    with _reported(path):
        if path.is_dir() and (not any(path.iterdir()) or replaceable(path)):
            return
    raise KvaeError(f"{path} exists and is not {what}; it is left as it is. Name another folder.")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KvaeError(f"cannot write {path}: {error.strerror or error}.") from error
