"""How many threads to use: what this process may use of the machine's cores, or the number that the user gave.

On a shared machine or in a container a process often has fewer cores than `os.cpu_count` says. More threads than cores
only take memory and wait for each other.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from kvae.errors import KvaeError

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


def usable(root: Path = Path("/")) -> int:
    """The cores that this process may use: its CPU affinity, and the quota of its control groups.

    Args:
        root: where /proc and /sys are; another folder in tests.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux and a few others have it
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return max(1, min([allowed, *quotas]))


def _quotas(root: Path) -> Iterator[float]:
    """The CPU quotas of this process's control groups and of the groups that hold them, in cores.

    Reference: cgroups(7), proc_pid_cgroup(5) and proc_pid_mountinfo(5) of the Linux manual.
    """
    groups = dict(_groups(_text(root / "proc/self/cgroup")))
    for version, mounted, mount_point in _mounts(_text(root / "proc/self/mountinfo")):
        top = root / mount_point.lstrip("/")
        group = PurePosixPath(groups.get(version, "/"))
        # In a container the path may lead out of what is mounted there; then only the mount itself is read.
        inside = group.is_relative_to(mounted) and ".." not in group.parts
        parts = group.relative_to(mounted).parts if inside else ()
        for depth in range(len(parts) + 1):
            quota = _quota(version, top.joinpath(*parts[:depth]))
            if quota is not None:
                yield quota


def _groups(text: str) -> Iterator[tuple[int, str]]:
    """The version of each hierarchy that can limit the CPU, and this process's group in it."""
    for line in text.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and fields[:2] == ["0", ""]:
            yield 2, fields[2]
        elif len(fields) == 3 and "cpu" in fields[1].split(","):
            yield 1, fields[2]


def _mounts(text: str) -> Iterator[tuple[int, str, str]]:
    """For each mounted hierarchy: its version, which of its groups is mounted, and where."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3 or not fields[4].startswith("/"):
            continue
        group, mount_point = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path) for path in fields[3:5])
        if kind[0] == "cgroup2":
            yield 2, group, mount_point
        elif kind[0] == "cgroup" and "cpu" in kind[2].split(","):
            yield 1, group, mount_point


def _quota(version: int, folder: Path) -> float | None:
    """A group's quota; None if it has none, or its files say nothing that makes sense."""
    if version == 2:
        fields = _text(folder / "cpu.max").split()
    else:
        fields = [*_text(folder / "cpu.cfs_quota_us").split(), *_text(folder / "cpu.cfs_period_us").split()]
    if len(fields) != 2 or not all(re.fullmatch(r"[0-9]{1,18}", field) for field in fields):
        return None  # "max" in version 2 and -1 in version 1 mean that there is no limit
    quota, period = map(int, fields)
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # not on Linux, or hidden in this container
        return ""
