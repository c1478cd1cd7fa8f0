"""How much memory there is, according to the kernel's own files and to test files."""

from pathlib import Path

from kvae.files import memory


def test_the_available_memory_is_what_the_kernel_says():
    """Within a factor of two, because other programs come and go."""
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    left = int(lines["MemAvailable"].split()[0]) * 1024
    assert 0 < memory.available() < 2 * left


def test_a_container_s_limit_counts(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    assert memory.available() == 600_000
    (tmp_path / "memory.current").write_text("1400000\n")
    assert memory.available() == 0


def test_without_a_limit_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "meminfo").write_text("MemTotal: 10 kB\nMemAvailable:   2048 kB\n")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    assert memory.available() == 2048 * 1024


def test_a_system_that_does_not_say_counts_half_of_its_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": 100, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert memory.available() == 50 * 4096
