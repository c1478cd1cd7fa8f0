"""One writer at a time, which is not confused with a lock file that was left behind."""

import errno
import os
import stat
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


def test_a_second_process_is_refused_and_learns_who_holds_the_lock(tmp_path, holder):
    assert locks.is_held(tmp_path)
    with pytest.raises(KvaeError, match=rf"being trained by process {holder.pid}\."), locks.held(tmp_path):
        pass


def test_a_killed_process_holds_no_lock(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert not locks.is_held(tmp_path)
    with locks.held(tmp_path):
        assert (tmp_path / locks.FILE).read_text() == f"{os.getpid()}\n"
        assert locks.is_held(tmp_path)
    assert not locks.is_held(tmp_path)


def test_a_folder_without_a_lock_file_is_not_held(tmp_path):
    assert not locks.is_held(tmp_path)


def test_a_missing_folder_is_an_error_of_one_line(tmp_path):
    with pytest.raises(KvaeError, match="cannot write .*: No such file or directory"), locks.held(tmp_path / "none"):
        pass


def test_checking_a_lock_does_not_prevent_taking_it(tmp_path):
    """Another process keeps checking whether the lock is held; it can still be taken at once, 50 times."""
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


def test_a_lock_is_awaited_until_the_other_process_ends(tmp_path, holder):
    waiting = []

    def end_the_other():
        waiting.append(locks.is_locked(tmp_path / locks.FILE))
        holder.kill()

    with locks.awaited(tmp_path / locks.FILE, end_the_other, "Name another."):
        assert waiting == [True]
        assert locks.is_locked(tmp_path / locks.FILE)
    with locks.awaited(tmp_path / locks.FILE, end_the_other, "Name another."):
        assert waiting == [True]  # it was free


@pytest.mark.parametrize(
    "use", [locks.held, lambda path: locks.awaited(path / "a.lock", lambda: None, "Name another.")]
)
def test_the_error_for_a_file_system_without_locks_says_what_to_do(tmp_path, monkeypatch, use):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refused)
    with (
        pytest.raises(KvaeError, match=r"cannot lock .*: No locks available\. (Put it on|Name another)"),
        use(tmp_path),
    ):
        pass


FOREIGN = {
    "a link": lambda path, other: path.symlink_to(other),
    "a dangling link": lambda path, other: path.symlink_to(other.with_name("new")),
    "a hard link": lambda path, other: os.link(other, path),
    "a pipe": lambda path, other: os.mkfifo(path),
    "a folder": lambda path, other: path.mkdir(),
    "a socket": lambda path, other: os.mknod(path, stat.S_IFSOCK | 0o600),
    "a text": lambda path, other: path.write_text("my notes"),
    "a device": lambda path, other: path.symlink_to("/dev/full"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_lock_that_is_not_kvae_s_is_left_alone(what, tmp_path):
    """It is neither waited for nor followed nor written to: it may be in a stranger's run."""
    folder, other = tmp_path / "run", tmp_path / "other"
    folder.mkdir()
    other.write_text("my notes")
    FOREIGN[what](folder / locks.FILE, other)
    assert not locks.is_held(folder)
    locks.check_free(folder)
    for take in (locks.held(folder), locks.awaited(folder / locks.FILE, lambda: None, "Name another.")):
        with pytest.raises(KvaeError, match=r"cannot write .*not a lock of kvae"), take:
            pass
    assert other.read_text() == "my notes"
    assert sorted(os.listdir(tmp_path)) == ["other", "run"]


def test_looking_at_a_lock_writes_nothing(tmp_path):
    (tmp_path / locks.FILE).write_text("7\n")
    (tmp_path / locks.FILE).chmod(0o444)
    before = (tmp_path / locks.FILE).stat().st_mtime_ns
    assert not locks.is_held(tmp_path)
    assert (tmp_path / locks.FILE).stat().st_mtime_ns == before
    assert os.listdir(tmp_path) == [locks.FILE]


def test_a_loss_of_power_may_fill_a_lock_with_zeros(tmp_path):
    (tmp_path / locks.FILE).write_bytes(b"\0" * 8)
    with locks.held(tmp_path):
        assert (tmp_path / locks.FILE).read_text() == f"{os.getpid()}\n"
