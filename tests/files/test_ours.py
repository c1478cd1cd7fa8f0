"""A folder is kvae's as long as it is as kvae wrote it, to the last hash."""

import os

import pytest

from kvae.files import ours

MARKER = ".kvae-test"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "out"
    (path / "sub").mkdir(parents=True)
    (path / "a.txt").write_text("a")
    (path / "sub" / "b.txt").write_text("b")
    ours.sign(path, MARKER)
    return path


def test_a_folder_is_signed_until_it_changes(folder):
    assert ours.is_signed(folder, MARKER)
    assert (folder / MARKER).read_text().splitlines()[0].endswith("  a.txt")  # sha256sum -c reads it


CHANGES = {
    "changed": lambda folder: (folder / "a.txt").write_text("b"),
    "changed below": lambda folder: (folder / "sub" / "b.txt").write_text("notes"),
    "added": lambda folder: (folder / "notes.txt").write_text(""),
    "hidden": lambda folder: (folder / ".notes").write_text(""),
    "added below": lambda folder: (folder / "sub" / "notes.txt").write_text(""),
    "an empty folder": lambda folder: (folder / "new").mkdir(),
    "a folder for a file": lambda folder: ((folder / "a.txt").unlink(), (folder / "a.txt").mkdir()),
    "a link": lambda folder: (folder / "link").symlink_to("a.txt"),
    "a link for a file": lambda folder: (
        (folder / "a.txt").rename(folder.parent / "a.txt"),
        (folder / "a.txt").symlink_to("../a.txt"),
    ),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe"),
    "removed": lambda folder: (folder / "a.txt").unlink(),
    "no list": lambda folder: (folder / MARKER).unlink(),
    "a list of an earlier kvae": lambda folder: (folder / MARKER).write_text("2\n"),
    "a list that is not text": lambda folder: (folder / MARKER).write_bytes(b"\xff"),
    "a list that is a link": lambda folder: (
        (folder / MARKER).rename(folder.parent / "list"),
        (folder / MARKER).symlink_to("../list"),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_with_any_change_is_not(folder, change):
    CHANGES[change](folder)
    assert not ours.is_signed(folder, MARKER)
