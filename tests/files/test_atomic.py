"""Files and folders appear complete or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kvae.errors import KvaeError
from kvae.files import atomic
from kvae.files.atomic import atomic_file, atomic_folder


def is_ours(path: Path) -> bool:
    return (path / "ours").exists()


def test_a_file_appears_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"
    assert [entry.name for entry in path.parent.iterdir()] == ["a.txt"]


def test_a_failed_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_a_file_below_a_file_is_an_error(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(KvaeError, match="Not a directory"), atomic_file(tmp_path / "a" / "b"):
        pass


def test_a_folder_is_replaced_only_if_it_is_ours(tmp_path):
    path = tmp_path / "out"
    for content in ("first", "second"):
        with atomic_folder(path, is_ours, "ours") as folder:
            (folder / "ours").write_text(content)
    assert (path / "ours").read_text() == "second"
    (path / "ours").rename(path / "theirs")
    with pytest.raises(KvaeError, match="exists and is not ours"), atomic_folder(path, is_ours, "ours"):
        pass
    assert [entry.name for entry in path.iterdir()] == ["theirs"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_a_failed_block_leaves_no_folder(tmp_path):
    with pytest.raises(KvaeError), atomic_folder(tmp_path / "out", is_ours, "ours") as folder:
        (folder / "half").write_text("")
        raise KvaeError("no")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_an_error_of_the_system_is_reported_and_leaves_no_files(tmp_path, monkeypatch, error):
    """The error is simulated, because root may write anywhere."""

    def refuse(*arguments):
        raise error

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(KvaeError, match=f"cannot write .*: {error.strerror}"), atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("")
    with pytest.raises(KvaeError, match=error.strerror), atomic_folder(tmp_path / "b", is_ours, "ours"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_between_the_two_renames_brings_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.mkdir()
    (path / "ours").write_text("old")
    rename = Path.rename

    def interrupted(self, target):
        if ".tmp" in self.name:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)  # with a swap, there would be only one step
    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), atomic_folder(path, is_ours, "ours") as folder:
        (folder / "ours").write_text("new")
    assert (path / "ours").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled_not_replaced(tmp_path):
    """It may be a mount point, a shell's current folder, or the target of a link."""
    path, link = tmp_path / "out", tmp_path / "link"
    path.mkdir(mode=0o750)
    link.symlink_to(path)
    before = path.stat().st_ino
    with atomic_folder(link, is_ours, "ours") as folder:
        (folder / "ours").write_text("")
    assert (path.stat().st_ino, path.stat().st_mode & 0o777) == (before, 0o750)
    assert [entry.name for entry in path.iterdir()] == ["ours"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["link", "out"]


def test_a_name_that_is_too_long_is_an_error(tmp_path):
    with pytest.raises(KvaeError, match="File name too long"), atomic_file(tmp_path / ("x" * 300)) as temporary:
        temporary.write_text("")


def test_a_folder_that_is_replaced_is_there_at_every_moment(tmp_path):
    """A reader in another process keeps opening it while it is replaced 200 times."""
    path = tmp_path / "out"
    path.mkdir()
    (path / "ours").write_text("0")
    look = (
        "import sys, pathlib\npath = pathlib.Path(sys.argv[1])\nprint('looking', flush=True)\n"
        "while (text := path.read_text()) != '200': int(text)"
    )
    with subprocess.Popen([sys.executable, "-c", look, str(path / "ours")], stdout=subprocess.PIPE) as reader:
        assert reader.stdout.readline() == b"looking\n"
        for number in range(1, 201):
            with atomic_folder(path, is_ours, "ours") as folder:
                (folder / "ours").write_text(str(number))
    assert reader.returncode == 0


def test_two_renames_replace_a_folder_if_the_system_cannot_swap(tmp_path, monkeypatch):
    path = tmp_path / "out"
    path.mkdir()
    (path / "ours").write_text("old")
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    with atomic_folder(path, is_ours, "ours") as folder:
        (folder / "ours").write_text("new")
    assert (path / "ours").read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def test_the_file_that_marks_a_folder_as_ours_is_written_last(tmp_path, monkeypatch):
    """If an empty folder is filled, one file after the other."""
    (tmp_path / "out").mkdir()
    moved = []
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda self, target: moved.append(self.name) or rename(self, target))
    with atomic_folder(tmp_path / "out", is_ours, "ours", last="ours") as folder:
        for name in ("a", "ours", "z"):
            (folder / name).write_text("")
    assert sorted(moved) == ["a", "ours", "z"]
    assert moved[-1] == "ours"


def test_a_folder_that_a_link_leads_to_may_be_new(tmp_path):
    (tmp_path / "link").symlink_to("new")
    atomic.check_replaceable(tmp_path / "link", is_ours, "ours")
    with atomic_folder(tmp_path / "link", is_ours, "ours") as folder:
        (folder / "ours").write_text("")
    assert (tmp_path / "link").is_symlink() and is_ours(tmp_path / "new")


def test_a_device_is_not_replaced(tmp_path):
    """Root, the usual user in containers, could replace it: a rename would put a file in its place."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path / "new" / ".." / "pipe.png", Path("/dev/full")):
        with pytest.raises(KvaeError, match="it is not a regular file"), atomic_file(path) as temporary:
            temporary.write_text("x")
    assert pipe.is_fifo() and Path("/dev/full").is_char_device()


def test_a_scratch_folder_exists_only_during_the_block(tmp_path):
    with pytest.raises(ValueError, match="reason"), atomic.scratch_folder(tmp_path / "a.npz") as scratch:
        (scratch / "loc.npy").write_bytes(b"rows")
        assert scratch.parent == tmp_path
        raise ValueError("reason")
    assert list(tmp_path.iterdir()) == []
