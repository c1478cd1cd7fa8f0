"""How much memory a program can use: what is left in the machine, or in the container it runs in."""

import contextlib
import os
import re
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
UNKNOWN = 2 * 2**30
"""What is assumed if the system says nothing: little, so that large data sets are read from the disk."""


def available() -> int:
    """Bytes that can be used without swapping; if the system does not say, half of the memory, or else `UNKNOWN`."""
    found = [_left_in_container(CGROUP), _left_in_machine(MEMINFO)]
    known = [size for size in found if size is not None]
    if known:
        return min(known)
    if not hasattr(os, "sysconf"):  # Windows
        return UNKNOWN
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def _left_in_machine(meminfo: Path) -> int | None:
    with contextlib.suppress(OSError):
        if line := re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text(), re.MULTILINE):
            return int(line[1]) * 1024
    return None


def _left_in_container(cgroup: Path) -> int | None:
    """What is left of the limit of control groups, version 2; None if there is no limit."""
    with contextlib.suppress(OSError, ValueError):  # the file may say "max", which is not a number
        limit = int((cgroup / "memory.max").read_text())
        return max(0, limit - int((cgroup / "memory.current").read_text()))
    return None
