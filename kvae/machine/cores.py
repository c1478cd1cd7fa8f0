"""How many threads to use: what this process may use of the machine's cores, or the number that the user gave.

On a shared machine or in a container a process often has fewer cores than `os.cpu_count` says. More threads than cores
only take memory and wait for each other.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from kvae.errors import KvaeError
from kvae.machine import cgroups

VARIABLE = "KVAE_THREADS"
"""The environment variable that gives the number of threads; processes that kvae starts inherit it."""
MAX_BY_DEFAULT = 32
"""Maximum number of threads that nobody asked for. Each holds a batch of images, and all of them are fed by one thread
that draws the noise and hands out batches, some 100,000 images a second; a core decodes a few thousand."""
MAX = 1024
"""Maximum number of threads to ask for."""


def threads() -> int:
    """The number of threads for a task, at least 1: `KVAE_THREADS` if it is set, else `usable`, up to a maximum.

    Raises:
        KvaeError: `KVAE_THREADS` is not an integer from 1 to `MAX`.
    """
    given = os.environ.get(VARIABLE, "").strip()
    if not given:
        return min(usable(), MAX_BY_DEFAULT)
    if not re.fullmatch(r"[0-9]{1,9}", given) or not 1 <= int(given) <= MAX:
        raise KvaeError(f"{VARIABLE} must be an integer from 1 to {MAX}; got {given[:40]!r}.")
    return int(given)


def give(count: int | None) -> None:
    """Make `threads` return a number, in this process and those that it starts from now on; None changes nothing."""
    if count is not None:
        os.environ[VARIABLE] = str(count)


def usable(root: Path = cgroups.ROOT) -> int:
    """The cores that this process may use: its CPU affinity, and the quota of its control groups.

    Args:
        root: where /proc and /sys are; another folder in tests.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux and a few others have it
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return max(1, min([allowed, *quotas]))


def _quotas(root: Path) -> Iterator[float]:
    """The CPU quotas of this process's control groups and of the groups that hold them, in cores."""
    for version, folder in cgroups.folders("cpu", root):
        quota = _quota(version, folder)
        if quota is not None:
            yield quota


def _quota(version: int, folder: Path) -> float | None:
    """A group's quota; None if it has none, or its files say nothing that makes sense."""
    if version == 2:
        fields = cgroups.text(folder / "cpu.max").split()
    else:
        fields = [
            *cgroups.text(folder / "cpu.cfs_quota_us").split(),
            *cgroups.text(folder / "cpu.cfs_period_us").split(),
        ]
    if len(fields) != 2 or not all(re.fullmatch(r"[0-9]{1,18}", field) for field in fields):
        return None  # "max" in version 2 and -1 in version 1 mean that there is no limit
    quota, period = map(int, fields)
    return quota / period if quota > 0 and period > 0 else None
