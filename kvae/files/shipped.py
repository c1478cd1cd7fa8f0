"""Folders of files that ship inside the package, on disk even if the package itself was imported from a zip."""

import os
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


@cache
def folder(package: str, *names: str) -> Path | None:
    """A folder in a package; None if there is none.

    From a zip it is copied to a temporary folder, which is removed when the process ends.

    Args:
        package: such as "kvae.exported".
        names: the names of folders in it, each in the one before.
    """
    try:
        resource = files(package).joinpath(*names)
    except ModuleNotFoundError:  # a program that was frozen without it
        return None
    if isinstance(resource, Path):
        return resource if resource.is_dir() else None
    if not resource.is_dir():
        return None
    import atexit
    import shutil
    import tempfile

    scratch, owner = Path(tempfile.mkdtemp(prefix="kvae-")), os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # not when a forked process ends
            shutil.rmtree(scratch, ignore_errors=True)

    atexit.register(remove)
    _copy(resource, scratch)
    return scratch


def _copy(source: Traversable, target: Path) -> None:
    for entry in source.iterdir():
        if entry.is_dir():
            (target / entry.name).mkdir()
            _copy(entry, target / entry.name)
        else:
            (target / entry.name).write_bytes(entry.read_bytes())
