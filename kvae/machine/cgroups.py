"""The control groups that limit this process, of both versions, wherever they are mounted.

Reference: cgroups(7), proc_pid_cgroup(5) and proc_pid_mountinfo(5) of the Linux manual.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
"""Where /proc and /sys are."""


def folders(controller: str, root: Path = ROOT) -> Iterator[tuple[int, Path]]:
    """The folders of this process's control groups and of the groups that hold them, with their version.

    Args:
        controller: what they limit, as version 1 calls it: "cpu" or "memory".
        root: where /proc and /sys are; another folder in tests.
    """
    groups = dict(_groups(text(root / "proc/self/cgroup"), controller))
    for version, mounted, mount_point in _mounts(text(root / "proc/self/mountinfo"), controller):
        top = root / mount_point.lstrip("/")
        group = PurePosixPath(groups.get(version, "/"))
        # In a container the path may lead out of what is mounted there; then only the mount itself is read.
        inside = group.is_relative_to(mounted) and ".." not in group.parts
        parts = group.relative_to(mounted).parts if inside else ()
        for depth in range(len(parts) + 1):
            yield version, top.joinpath(*parts[:depth])


def text(path: Path) -> str:
    """The text of a file; empty if it cannot be read: not on Linux, or hidden in this container."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _groups(listed: str, controller: str) -> Iterator[tuple[int, str]]:
    """The version of each hierarchy that has the controller, and this process's group in it."""
    for line in listed.splitlines():
        fields = line.split(":", 2)
        if len(fields) == 3 and fields[:2] == ["0", ""]:
            yield 2, fields[2]
        elif len(fields) == 3 and controller in fields[1].split(","):
            yield 1, fields[2]


def _mounts(listed: str, controller: str) -> Iterator[tuple[int, str, str]]:
    """For each mounted hierarchy: its version, which of its groups is mounted, and where."""
    for line in listed.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3 or not fields[4].startswith("/"):
            continue
        group, mount_point = (re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), path) for path in fields[3:5])
        if kind[0] == "cgroup2":
            yield 2, group, mount_point
        elif kind[0] == "cgroup" and controller in kind[2].split(","):
            yield 1, group, mount_point
