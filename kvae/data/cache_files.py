"""Whether the files in a folder of the image cache are the ones that were written there.

The summary holds the sha256 of each file, and of itself. To hash many gigabytes at each training would take minutes, so
a file is hashed again only if its size, inode or times are not those at which it was last found right. Times that are
too recent are not trusted, because a file can change twice within one tick of the file system's clock; git's index
follows the same rule.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kvae.errors import KvaeError
from kvae.files.atomic import atomic_file

STAMPS = "checked.json"
"""When each file was last found right."""
OWN_SHA256 = "own_sha256"
"""The summary's field with the sha256 of its others."""
RACY_NS = 2_000_000_000
"""A file changed less than this before it was checked may change again without another time, in ns."""


def hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """The sha256 of files in a folder."""
    return {name: _sha256(folder / name) for name in names}


def sealed(summary: dict[str, Any]) -> dict[str, Any]:
    """A summary with the sha256 of itself."""
    return summary | {OWN_SHA256: _own(summary)}


def is_sealed(summary: dict[str, Any]) -> bool:
    """Whether a summary is as `sealed` made it."""
    return summary.get(OWN_SHA256) == _own(summary)


def changed(folder: Path, expected: dict[str, str]) -> str | None:
    """The first file that is missing or not the one that was written; None if all are right.

    Args:
        folder: a folder of the cache.
        expected: the sha256 of each file.
    """
    known = _read(folder / STAMPS)
    now, hashed = time.time_ns(), False
    stamps = {}
    for name, sha256 in expected.items():
        try:
            stamp = _stamp(folder / name)
            if known.get(name) != [*stamp, sha256] or max(stamp[2:]) > known["time"] - RACY_NS:
                hashed = True
                if _sha256(folder / name) != sha256:
                    return name
        except (OSError, TypeError):
            return name
        stamps[name] = [*stamp, sha256]
    if hashed:
        # Without this file, the others are hashed again the next time.
        with contextlib.suppress(KvaeError, OSError), atomic_file(folder / STAMPS) as temporary:
            temporary.write_text(json.dumps(stamps | {"time": now}), encoding="utf-8")
    return None


def _stamp(path: Path) -> list[int]:
    found = os.stat(path)
    return [found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
        return found if isinstance(found.get("time"), int) else {}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}


def _own(summary: dict[str, Any]) -> str:
    rest = {name: value for name, value in summary.items() if name != OWN_SHA256}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
