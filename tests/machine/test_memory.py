"""How much memory there is, according to the kernel's own files and to made-up ones."""

from pathlib import Path

import pytest

from kvae.machine import memory

MOUNT = {1: "34 32 0:31 / /cg rw - cgroup cgroup rw,memory\n", 2: "29 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n"}
GROUP = {1: "12:memory:/a/b\n4:cpu:/c\n", 2: "0::/a/b\n"}
NO_LIMIT = {1: "9223372036854771712", 2: "max"}


def machine(root, version, groups, meminfo="MemTotal: 10 kB\nMemAvailable:   2048 kB\n"):
    """A machine with these control groups, `(limit, used)` by folder."""
    files = {"proc/self/cgroup": GROUP[version], "proc/self/mountinfo": MOUNT[version], "proc/meminfo": meminfo}
    for folder, texts in groups.items():
        files |= {f"cg/{folder}/{name}": text for name, text in zip(memory.FILES[version], texts, strict=True)}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_the_available_memory_is_what_the_kernel_says():
    """Within a factor of two, because other programs come and go."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    left = int(lines["MemAvailable"].split()[0]) * 1024
    assert 0 < memory.available() < 2 * left


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_that_leaves_least_counts(tmp_path, version):
    root = machine(
        tmp_path, version, {".": (NO_LIMIT[version], "7"), "a": ("1000000\n", "400000\n"), "a/b": ("900000", "1")}
    )
    assert memory.available(root) == 600_000
    machine(tmp_path, version, {"a": ("1000000\n", "1400000\n")})
    assert memory.available(root) == 0


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("limit", ["none", "", "-1", "x", "9" * 5000])
def test_without_a_limit_the_machine_s_memory_counts(tmp_path, version, limit):
    text = NO_LIMIT[version] if limit == "none" else limit
    assert memory.available(machine(tmp_path, version, {"a/b": (text, "400000")})) == 2048 * 1024


def test_a_system_that_does_not_say_counts_half_of_its_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert memory.available(tmp_path) == 50 * 4096
