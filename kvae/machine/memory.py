"""How much memory a program can use: what is left in the machine, or in the container it runs in."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from kvae.machine import cgroups

UNKNOWN = 2 * 2**30
"""What is assumed if the system says nothing: little, so that large data sets are read from the disk."""
FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
"""The files of a control group, by its version: its limit, and what is used of it."""


def available(root: Path = cgroups.ROOT) -> int:
    """Bytes that can be used without swapping; if the system does not say, half of the memory, or else `UNKNOWN`.

    Args:
        root: where /proc and /sys are; another folder in tests.
    """
    known = [*_left_in_containers(root), *_left_in_machine(root)]
    if known:
        return min(known)
    if not hasattr(os, "sysconf"):  # Windows
        return UNKNOWN
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _left_in_machine(root: Path) -> Iterator[int]:
    if line := re.search(r"^MemAvailable:\s+(\d{1,15}) kB", cgroups.text(root / "proc/meminfo"), re.MULTILINE):
        yield int(line[1]) * 1024


def _left_in_containers(root: Path) -> Iterator[int]:
    """What is left of the limit of each control group that has one."""
    for version, folder in cgroups.folders("memory", root):
        limit, used = (cgroups.text(folder / name).strip() for name in FILES[version])
        # Without a limit version 2 says "max", and version 1 a number that no machine's memory comes near.
        if re.fullmatch(r"[0-9]{1,18}", limit) and re.fullmatch(r"[0-9]{1,18}", used):
            yield max(0, int(limit) - int(used))
