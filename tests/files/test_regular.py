"""A reader never waits for a pipe, and never opens a device or a folder."""

import os

import pytest

from kvae.files import regular


def test_a_regular_file_can_be_opened_through_a_link(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    for name in ("a", "link"):
        with regular.open_regular(tmp_path / name) as file:
            assert file.read() == b"content"


def test_anything_else_is_an_os_error_that_says_what_is_wrong(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path):
        with pytest.raises(OSError, match="it is not a regular file"):
            regular.open_regular(path)
    with pytest.raises(FileNotFoundError):
        regular.check(tmp_path / "missing")
