"""How many threads: affinity, control groups of both versions in a made-up /proc and /sys, and the user's number."""

import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from kvae.cli.main import main
from kvae.errors import KvaeError
from kvae.machine import cores

V2 = "29 23 0:26 / {mount} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "33 32 0:30 {root} {mount} rw - cgroup cgroup rw,cpu,cpuacct\n"
    "34 32 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.delenv(cores.VARIABLE, raising=False)


@pytest.fixture
def machine(tmp_path):
    """A machine with these files, under a temporary root: text by path."""

    def make(cgroup="", mountinfo="", files=()):
        content = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo} | dict(files)
        for name, text in content.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return make


def v2(machine, group, mount="/sys/fs/cgroup", root="/", **quotas):
    """A machine with version 2; the quotas by folder below the mount, with "_" for "/"."""
    files = {f"{mount}/{name.replace('_', '/')}/cpu.max".strip("/"): text for name, text in quotas.items()}
    return machine(f"0::{group}\n", f"29 23 0:26 {root} {mount} rw - cgroup2 cgroup2 rw\n", files)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", 2), ("250000 100000\n", 3), ("1000 100000\n", 1), ("50000 100000", 1), ("max 100000\n", 64),
        ("100000000 100000\n", 64),
    ],
)  # fmt: skip
def test_the_quota_of_version_2_rounded_up(machine, text, expected):
    assert cores.usable(v2(machine, "/a", a=text)) == expected


def test_the_smallest_quota_of_nested_groups_counts(machine):
    groups = {"a": "800000 100000", "a_b": "300000 100000", "a_b_c": "max 100000", "other": "100000 100000"}
    assert cores.usable(v2(machine, "/a/b/c", **groups)) == 3


def test_in_a_container_the_mount_is_its_own_group(machine):
    """The path is "/", or leads out of what is mounted; the quota is at the top of the mount."""
    for group in ("/", "/../../other", "/system.slice/docker-1.scope"):
        root = machine(f"0::{group}\n", V2.format(mount="/sys/fs/cgroup"), {"sys/fs/cgroup/cpu.max": "400000 100000\n"})
        assert cores.usable(root) == 4, group


@pytest.mark.parametrize("bind", ["/", "/docker/1"])
def test_version_1(machine, bind):
    """A group below the mount, as on a host, or the mount itself, as in a container."""
    folder = "sys/fs/cgroup/cpu,cpuacct" + ("/docker/1" if bind == "/" else "")
    files = {f"{folder}/cpu.cfs_quota_us": "150000\n", f"{folder}/cpu.cfs_period_us": "50000\n"}
    cgroup = "12:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/docker/1\n"
    root = machine(cgroup, V1.format(root=bind, mount="/sys/fs/cgroup/cpu,cpuacct"), files)
    assert cores.usable(root) == 3


def test_both_versions_at_once(machine):
    files = {
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/unified/a/cpu.max": "700000 100000",
    }  # fmt: skip
    mounts = V1.format(root="/", mount="/sys/fs/cgroup/cpu") + V2.format(mount="/sys/fs/cgroup/unified")
    assert cores.usable(machine("4:cpu:/a\n0::/a\n", mounts, files)) == 7


def test_a_mount_point_with_a_space(machine):
    assert (
        cores.usable(machine("0::/\n", V2.format(mount="/my\\040groups"), {"my groups/cpu.max": "200000 100000"})) == 2
    )


@pytest.mark.parametrize(
    "text",
    ["", "max", "x 100000", "100000", "0 100000", "100000 0", "-5 100000", "1e5 100000", "1 2 3", b"\xff\xfe",
     b"\0" * 9, "9" * 5000 + " 1"],
)  # fmt: skip
def test_a_quota_that_makes_no_sense_is_ignored(machine, text):
    assert cores.usable(v2(machine, "/a", a=text)) == 64


@pytest.mark.parametrize("text", ["", "nonsense", "0", "0:", "0::", "::", "4:cpu", b"\xff:\xff:\xff", "0::relative"])
def test_a_damaged_proc_is_ignored(machine, text):
    root = machine(text, V2.format(mount="/sys/fs/cgroup"))
    assert cores.usable(root) == 64
    assert cores.usable(machine("0::/\n", text)) == 64


def test_without_proc_only_the_affinity_counts(tmp_path, monkeypatch):
    assert cores.usable(tmp_path) == 64
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    assert cores.usable(tmp_path) == 1


def test_a_system_without_affinity_counts_all_cores(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    for count, expected in ((6, 6), (None, 1)):
        monkeypatch.setattr(os, "cpu_count", lambda count=count: count)
        assert cores.usable(tmp_path) == expected


def test_nobody_gets_more_threads_than_the_maximum_without_asking(monkeypatch):
    monkeypatch.setattr(cores, "usable", lambda: 200)
    assert cores.threads() == cores.MAX_BY_DEFAULT < 200
    monkeypatch.setenv(cores.VARIABLE, "100")
    assert cores.threads() == 100


@pytest.mark.parametrize("text", ["1", " 2 ", "64", "1024"])
def test_the_variable_overrides_what_was_counted(monkeypatch, text):
    monkeypatch.setattr(cores, "usable", lambda: 3)
    monkeypatch.setenv(cores.VARIABLE, text)
    assert cores.threads() == int(text)


def test_an_empty_variable_is_none(monkeypatch):
    monkeypatch.setattr(cores, "usable", lambda: 3)
    monkeypatch.setenv(cores.VARIABLE, "")
    assert cores.threads() == 3


@pytest.mark.parametrize("text", ["0", "-1", "1025", "two", "1.5", "1e2", "٣", "4 5", "9" * 5000])
def test_a_bad_variable_is_named_in_one_line(monkeypatch, text):
    monkeypatch.setenv(cores.VARIABLE, text)
    with pytest.raises(KvaeError, match="KVAE_THREADS must be an integer from 1 to 1024") as caught:
        cores.threads()
    assert len(str(caught.value)) < 120


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity")
def test_a_process_that_is_bound_to_a_core_uses_one_thread(tmp_path):
    code = (
        "import os, threading; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from kvae.cli.main import main\n"
        "try: main(['sample', '--n', '600', '--out', 'samples.npy'])\n"
        "finally: print(len(os.listdir('/proc/self/task')))"
    )
    environment = {name: value for name, value in os.environ.items() if name != cores.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["samples.npy", "1"]


@pytest.mark.parametrize("verb", ["sample", "score", "encode", "train", "compare", "evaluate", "export", "verify"])
def test_a_verb_s_threads_are_those_of_the_process(verb, monkeypatch):
    """The option sets the variable, which every process that kvae starts inherits, before anything is computed."""
    monkeypatch.setenv(cores.VARIABLE, "7")
    (option,) = [item for item in main.commands[verb].params if item.name == "threads"]
    for given, expected in ((["--threads", "3"], 3), ([], 7)):
        monkeypatch.setenv(cores.VARIABLE, "7")
        command = click.Command(verb, params=[option], callback=lambda: click.echo(cores.threads()))
        result = CliRunner().invoke(command, given)
        assert result.stdout == f"{expected}\n"
    assert CliRunner().invoke(command, ["--threads", "0"]).exit_code == 2


def test_a_bad_variable_ends_a_verb_with_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv(cores.VARIABLE, "many")
    result = CliRunner().invoke(main, ["sample", "--out", str(tmp_path / "samples.png")])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: KVAE_THREADS must be an integer from 1 to 1024; got 'many'.\n"
