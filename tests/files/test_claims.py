"""One writer for each result; no two processes share a name; only what a lock proves to be abandoned is removed."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kvae.errors import KvaeError
from kvae.files import claims, locks
from kvae.files.atomic import atomic_file, atomic_folder, remove_abandoned, scratch_folder

WRITER = """
import os, sys
from pathlib import Path
os.getpid = lambda: 1  # as in each of two containers
from kvae.files.atomic import atomic_file, atomic_folder
kind, path = atomic_folder if sys.argv[1] == "folder" else atomic_file, Path(sys.argv[2])
arguments = [lambda path: (path / "ours").exists(), "ours"] if sys.argv[1] == "folder" else []
with kind(path, *arguments) as temporary:
    (temporary / "ours" if sys.argv[1] == "folder" else temporary).write_text(sys.argv[3])
    print("writing", flush=True)
    input()
"""


def writer(kind, path, text="first", prefix=()):
    """A process that has begun to write a file or folder, and ends when it gets a line."""
    return subprocess.Popen(
        [*prefix, sys.executable, "-c", WRITER, kind, str(path), text],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def content(path):
    return (path / "ours" if path.is_dir() else path).read_text()


def same_pid():
    """What starts a process with the number 1, if this system and user can."""
    prefix = ["unshare", "--pid", "--fork", "--mount-proc"]
    if not shutil.which("unshare") or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare is missing, or needs root")
    return prefix


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("how", ["os.getpid", "unshare"])
def test_of_two_processes_with_one_number_the_second_is_refused(kind, how, tmp_path):
    prefix = same_pid() if how == "unshare" else ()
    out = tmp_path / "out"
    with writer(kind, out, prefix=prefix) as first:
        assert first.stdout.readline() == "writing\n"
        with writer(kind, out, "second", prefix) as second:
            _, stderr = second.communicate()
        assert second.returncode == 1
        assert (
            stderr.strip()
            .splitlines()[-1]
            .endswith(f"{out} is being written by process 1. Wait until it ends, or name another --out.")
        )
        first.communicate("\n")
    assert first.returncode == 0
    assert content(out) == "first"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("is_filled", [False, True])
def test_the_next_process_removes_what_a_killed_one_left(kind, is_filled, tmp_path):
    """Also if an empty folder is filled, as a mounted volume is."""
    out = tmp_path / "out"
    if kind == "folder" and is_filled:
        out.mkdir()
    with writer(kind, out) as first:
        assert first.stdout.readline() == "writing\n"
        first.kill()
    assert len(list(tmp_path.rglob("*.tmp*"))) == 1
    with writer(kind, out, "second") as second:
        second.communicate("\n")
    assert second.returncode == 0
    assert content(out) == "second"
    assert os.listdir(tmp_path) == ["out"]
    assert out.is_file() or os.listdir(out) == ["ours"]


def test_a_folder_that_is_being_filled_has_one_writer(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with writer("folder", out) as first:
        assert first.stdout.readline() == "writing\n"
        with (
            pytest.raises(KvaeError, match="is being written by process 1"),
            atomic_folder(out, lambda _: True, "ours"),
        ):
            pass
        first.communicate("\n")
    assert content(out) == "first"


def test_names_have_a_token_that_nobody_else_has(tmp_path, monkeypatch):
    """Where there are no locks, two writers at least never share a file, and remove none of each other's."""

    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "try_lock", refused)
    with atomic_file(tmp_path / "a") as one, atomic_file(tmp_path / "a") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a").read_text() == "one"
    assert os.listdir(tmp_path) == ["a"]


RECORD = {"temporary": "thesis.txt", "retired": f".a.{'0' * 32}.old", "target": "a", "last": ""}


@pytest.mark.parametrize(
    "text",
    [
        f"kvae 1 {json.dumps(RECORD)}\n",  # names without a token
        f"kvae 1 {json.dumps(RECORD | {'temporary': '../' + '.a.' + '0' * 32 + '.tmp'})}\n",
        f"kvae 1 {json.dumps(RECORD | {'temporary': 3})}\n",
        "kvae 1 []\n", "kvae 1\n", "kvae " + "[" * 3000, "kvae 1 {\n", "", "\0\0\0\0",
    ],
)  # fmt: skip
def test_a_damaged_record_removes_nothing(text, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for folder in (tmp_path / "sub", tmp_path):
        folder.mkdir(exist_ok=True)
        (folder / ".a.kvae-lock").write_text(text)
    (tmp_path / f".a.{'0' * 32}.tmp").write_text("mine")
    remove_abandoned(tmp_path / "sub")
    with atomic_file(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert sorted(os.listdir(tmp_path)) == [f".a.{'0' * 32}.tmp", "a", "sub", "thesis.txt"]


FOREIGN = {
    "a link": lambda path, other: path.symlink_to(other),
    "a hard link": lambda path, other: os.link(other, path),
    "a pipe": lambda path, other: os.mkfifo(path),
    "a folder": lambda path, other: path.mkdir(),
    "a text": lambda path, other: path.write_text("my notes"),
    "a long text": lambda path, other: path.write_text("kva" + "e" * 10_000),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_lock_file_that_is_not_kvae_s_is_neither_opened_nor_removed(what, tmp_path):
    other = tmp_path / "other"
    other.write_text("my notes")
    lock = tmp_path / ".a.kvae-lock"
    FOREIGN[what](lock, other)
    refusal = r"cannot write .*a: (.*not a lock of kvae|Is a directory)"
    with pytest.raises(KvaeError, match=refusal), atomic_file(tmp_path / "a"):
        pass
    remove_abandoned(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".a.kvae-lock", "other"]
    assert other.read_text() == "my notes"


def test_a_link_is_written_through(tmp_path):
    for name in ("there.txt", "not yet.txt"):
        (tmp_path / f"link to {name}").symlink_to(tmp_path / "sub" / name)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "there.txt").write_text("old")
    (tmp_path / "folder").symlink_to("sub/folder")
    for name in ("there.txt", "not yet.txt"):
        with atomic_file(tmp_path / f"link to {name}") as temporary:
            temporary.write_text("new")
        assert (tmp_path / f"link to {name}").is_symlink()
        assert (tmp_path / "sub" / name).read_text() == "new"
    for text in ("first", "second"):
        with atomic_folder(tmp_path / "folder", lambda path: True, "ours") as temporary:
            (temporary / "ours").write_text(text)
        assert (tmp_path / "folder").is_symlink()
        assert (tmp_path / "sub" / "folder" / "ours").read_text() == text
    assert sorted(os.listdir(tmp_path / "sub")) == ["folder", "not yet.txt", "there.txt"]


def test_a_link_to_itself_is_an_error(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(KvaeError, match="symbolic links"), atomic_file(tmp_path / "loop"):
        pass
    with pytest.raises(KvaeError, match="symbolic links"), atomic_folder(tmp_path / "loop", lambda _: True, "ours"):
        pass
    assert (tmp_path / "loop").is_symlink()


def test_something_that_comes_in_the_last_moment_is_not_lost(tmp_path, monkeypatch):
    """Notes are added after the last look at the folder, before it is swapped."""
    out = tmp_path / "out"
    for swap in (claims, None):
        out.mkdir(exist_ok=True)
        (out / "ours").write_text("old")
        asked = []

        def is_ours(path, asked=asked):
            asked.append(path)
            if len(asked) == 3:
                (out / "notes.txt").write_text("mine")
                return True
            return os.listdir(path) == ["ours"]

        if swap is None:
            monkeypatch.setattr("kvae.files.atomic._exchange", lambda one, other: False)
        with pytest.raises(KvaeError, match="left unchanged"), atomic_folder(out, is_ours, "ours") as temporary:
            (temporary / "ours").write_text("new")
        assert len(asked) == 4
        assert (content(out), (out / "notes.txt").read_text()) == ("old", "mine")
        assert os.listdir(tmp_path) == ["out"]
        (out / "notes.txt").unlink()


def test_folders_that_were_made_for_a_result_that_failed_are_removed(tmp_path):
    (tmp_path / "kept").mkdir()
    for path in (tmp_path / "new" / "deep" / "a.txt", tmp_path / "kept" / "new" / "a.txt"):
        with pytest.raises(RuntimeError), atomic_file(path), scratch_folder(path):
            raise RuntimeError
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["kept"]


@pytest.mark.parametrize("name", ["x" * 250, "ä" * 120, "\udcff" * 100 + ".npy"])
def test_long_names_have_short_temporary_ones(name, tmp_path):
    with atomic_file(tmp_path / name) as temporary:
        temporary.write_text("")
    assert os.listdir(tmp_path) == [name]
    with atomic_folder(tmp_path / name[:90], lambda _: True, "ours") as temporary:
        (temporary / "ours").write_text("")
    assert len(os.listdir(tmp_path)) == 2


def test_the_token_is_recognised():
    token = "0123456789abcdef" * 2
    for name in (f".a.png.{token}.tmp.png", f".{token}.tmp", f".a.{token}.old", f".a.parts.{token}.tmp"):
        assert claims.TOKEN.fullmatch(name)
    for name in ("a.tmp", f"a.{token}.tmp", ".plan.bak", ".a.77.tmp.csv", f".a.{token}", f".a/.{token}.tmp"):
        assert not claims.TOKEN.fullmatch(Path(name).name) or "/" in name


def test_an_empty_folder_is_filled_where_there_are_no_locks(tmp_path, monkeypatch):
    def refused(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("kvae.files.locks.fcntl.flock", refused)
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out", lambda _: False, "a folder of ours", last="z") as folder:
        for name in ("a", "z"):
            (folder / name).write_text(name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "out", "z"]
