"""One writer at a time, told apart from a lock file that was left behind."""

import os
import subprocess
import sys

import pytest

from kvae.errors import KvaeError
from kvae.files import locks

HOLD = """
import sys, pathlib
from kvae.files import locks
with locks.held(pathlib.Path(sys.argv[1])):
    print('held', flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of the test's folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_and_told_who_holds_it(tmp_path, holder):
    assert locks.is_held(tmp_path)
    with pytest.raises(KvaeError, match=rf"being trained by process {holder.pid}\."), locks.held(tmp_path):
        pass


def test_a_process_that_was_killed_holds_nothing(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert not locks.is_held(tmp_path)
    with locks.held(tmp_path):
        assert (tmp_path / locks.FILE).read_text() == f"{os.getpid()}\n"
        assert locks.is_held(tmp_path)
    assert not locks.is_held(tmp_path)


def test_a_folder_without_a_lock_file_is_not_held(tmp_path):
    assert not locks.is_held(tmp_path)


def test_a_folder_that_is_not_there_is_an_error_in_one_line(tmp_path):
    with pytest.raises(KvaeError, match="cannot write .*: No such file or directory"), locks.held(tmp_path / "none"):
        pass


def test_those_who_only_look_are_in_nobody_s_way(tmp_path):
    """Another process asks without end whether it is held; it is had at once, 50 times."""
    (tmp_path / locks.FILE).write_text("")
    look = (
        "import sys, pathlib\nfrom kvae.files import locks\npath = pathlib.Path(sys.argv[1])\n"
        "print('looking', flush=True)\nwhile True: locks.is_held(path)"
    )
    with subprocess.Popen([sys.executable, "-c", look, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"looking\n"
        for _ in range(50):
            with locks.held(tmp_path):
                pass
        process.kill()
