"""The files under a folder: in order, with links and odd names, and never endlessly."""

import os

import pytest

from kvae.errors import DataError
from kvae.files.folders import files_under
from kvae.files.text import shown


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_all_files_except_hidden_ones_are_found(tmp_path):
    touch(tmp_path, "b/2", "b/c/3", "a", ".hidden", ".git/x", "b/.d/y")
    assert sorted(files_under(tmp_path)) == ["a", "b/2", "b/c/3"]


def test_links_are_followed_but_not_in_circles(tmp_path):
    touch(tmp_path / "elsewhere", "1")
    touch(tmp_path / "data", "a/2")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "a" / "up").symlink_to("..")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "loop").symlink_to("loop")
    (tmp_path / "data" / "nowhere").symlink_to("nothing")
    assert sorted(files_under(tmp_path / "data")) == ["a/2", "b/1", "loop", "nowhere"]


def test_links_that_multiply_are_entered_once(tmp_path):
    """Forty folders, each with two links to the next: 2^40 paths."""
    for index in range(40):
        touch(tmp_path / str(index), "file")
        for name in ("x", "y"):
            (tmp_path / str(index) / name).symlink_to(tmp_path / str(index + 1))
    assert len(list(files_under(tmp_path / "0"))) == 40 + 2  # the last two links are broken


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    """The error is simulated, because root may read anything."""
    touch(tmp_path, "a/1", "b/2")
    listed = os.scandir

    def scandir(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match="/b cannot be read: Permission denied"):
        list(files_under(tmp_path))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Käse 1.png", "Käse 1.png"),
        ("two\nlines", "two\\nlines"),
        (os.fsdecode(b"\xff"), "\\udcff"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_names_are_shown_in_one_line_of_utf_8(name, expected):
    assert shown(name) == expected
    shown(name).encode()
