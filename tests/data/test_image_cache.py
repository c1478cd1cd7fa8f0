"""The cache on disk: complete or missing, made only once by two processes, and correct after a kill."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from pictures_on_disk import write_bad, write_colour_folder, write_grey_folder
from PIL import Image

from kvae.config import TrainConfig
from kvae.data import cache_files, image_cache, preparation, splits
from kvae.data.image_cache import prepare
from kvae.data.sources import open_source
from kvae.errors import DataError, KvaeError

PREPARE = """
import sys
from pathlib import Path
from kvae.data import decoding, image_cache, sources
from kvae.config import TrainConfig
if len(sys.argv) > 2:  # slower, by this many seconds per image
    import time
    decode = decoding.decode
    decoding.decode = lambda *args: (time.sleep(float(sys.argv[2])), decode(*args))[1]
print('ready', flush=True)
print(image_cache.prepare(sources.open_source(Path(sys.argv[1])), TrainConfig(data=sys.argv[1])), flush=True)
"""


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "images"


def made(path, **settings):
    config = TrainConfig(data=str(path), **settings)
    return prepare(open_source(path), config)


def rows_of(folder):
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def start(path, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", PREPARE, str(path), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_arrays_index_and_summary_agree(tmp_path):
    data = write_grey_folder(tmp_path / "grey", 200)
    folder = made(data)
    rows, summary = rows_of(folder), json.loads((folder / "summary.json").read_text())
    assert [row["name"] for row in rows] == sorted(str(path.relative_to(data)) for path in data.rglob("*.png"))
    classes = sorted({row["label"] for row in rows})
    assert summary["class_names"] == classes
    lines = []
    for split in splits.SPLITS:
        own = [row for row in rows if row["split"] == split]
        images, labels = np.load(folder / f"{split}.npy"), np.load(folder / f"{split}_labels.npy")
        assert images.dtype == np.uint8
        assert summary["splits"][split] == len(images) == len(own) > 0
        for row, image, label in zip(own, images, labels, strict=True):
            np.testing.assert_array_equal(image[..., 0], np.asarray(Image.open(data / row["name"])))
            assert classes[label] == row["label"] == row["name"].partition("/")[0]
            assert row["sha256"] == hashlib.sha256(b"28 28 1\n" + image.tobytes()).hexdigest()
            lines.append(f"{row['sha256']} {split}\n")
    assert summary["sha256"] == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    assert (folder / "skipped.csv").read_text().splitlines() == ["name,reason"]


def test_a_second_call_decodes_nothing(tmp_path, monkeypatch):
    data = write_colour_folder(tmp_path / "data", 40)
    folder = made(data)
    monkeypatch.setattr(preparation, "survey", None)
    assert made(data) == folder


@pytest.mark.parametrize(
    "settings", [{"image_size": "16"}, {"grayscale": True}, {"split_seed": 1}, {"image_size": "24x32", "split_seed": 2}]
)
def test_settings_that_matter_make_another_folder(tmp_path, settings):
    data = write_colour_folder(tmp_path / "data", 40)
    assert made(data, **settings) != made(data)
    assert made(data, max_bad=3, epochs=50, seed=4) == made(data)


def test_changed_images_make_another_folder_but_other_files_do_not(tmp_path):
    data = write_colour_folder(tmp_path / "data", 40)
    first = made(data)
    (data / "notes.txt").write_text("x")
    assert made(data) == first
    os.utime(data / "0003.png", ns=(0, 0))
    assert made(data) != first


def test_skipped_images_are_recorded(tmp_path):
    data = write_colour_folder(tmp_path / "data", 40)
    bad = write_bad(data / "bad")
    folder = made(data)
    with (folder / "skipped.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {f"bad/{name}" for name in bad}
    assert all(row["reason"] for row in rows)
    assert len(rows_of(folder)) == 40
    assert json.loads((folder / "summary.json").read_text())["num_skipped"] == len(bad)


def test_too_many_bad_images_leave_no_files(tmp_path, cache):
    data = write_colour_folder(tmp_path / "data", 40)
    write_bad(data / "bad")
    with pytest.raises(DataError, match="at least [0-9]+ of 66 images cannot be used.* --max-bad is 5 .bad/anim"):
        made(data, max_bad=5)
    for path in (data / "bad").iterdir():
        if path.name != "other_size.png":
            path.unlink()
    with pytest.raises(DataError, match="at least 1 of 41 .*bad/other_size.png: it is not 24 x 32"):
        made(data, max_bad=0)
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []


def test_more_than_256_classes_have_a_wider_type(tmp_path):
    labels = np.arange(300) * 7 - 3
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    folder = made(tmp_path / "x.npz")
    found = np.load(folder / "train_labels.npy")
    assert found.dtype == np.uint16
    names = json.loads((folder / "summary.json").read_text())["class_names"]
    assert names == [str(label) for label in labels]
    own = [row for row in rows_of(folder) if row["split"] == "train"]
    assert [names[label] for label in found] == [row["label"] for row in own]


def test_two_processes_at_once_make_it_once(tmp_path, cache):
    data = write_colour_folder(tmp_path / "data", 60)
    processes = [start(data, "0.02") for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    folders = {out.splitlines()[1] for out, _ in outputs}
    assert len(folders) == 1
    assert sorted(path.suffix for path in cache.iterdir()) == ["", ".lock"]
    assert len(rows_of(Path(folders.pop()))) == 60


@pytest.mark.parametrize("change", [False, True])
def test_a_killed_preparation_is_not_used_and_is_removed(tmp_path, cache, change):
    """Also if the images changed in the meantime, so that the next folder has another name."""
    data = write_colour_folder(tmp_path / "data", 60)
    with start(data, "0.2") as process:
        assert process.stdout.readline() == "ready\n"
        deadline = time.monotonic() + 30
        while not list(cache.glob(".*.tmp/train.npy")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)
    assert [path.suffix for path in cache.iterdir() if path.is_dir()] == [".tmp"]
    if change:
        (data / "0000.png").unlink()
    folder = made(data)
    assert len(rows_of(folder)) == 60 - change
    assert [path for path in cache.iterdir() if path.is_dir()] == [folder]


def test_a_folder_that_another_process_is_filling_is_left_alone(tmp_path, cache):
    data, other = write_colour_folder(tmp_path / "data", 60), write_colour_folder(tmp_path / "other", 30)
    with start(data, "0.1") as process:
        while not list(cache.glob(".*.tmp/train.npy")):
            time.sleep(0.01)
        made(other)
        assert len(list(cache.glob(".*.tmp"))) == 1
        out, _ = process.communicate(timeout=60)
    assert len(rows_of(Path(out.split()[1]))) == 60


def test_an_interrupted_preparation_leaves_nothing(tmp_path, cache):
    data = write_colour_folder(tmp_path / "data", 60)

    def interrupt(done, total):
        assert total == 60
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(open_source(data), TrainConfig(data=str(data)), interrupt)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_full_disk_is_reported_before_anything_is_written(tmp_path, cache, monkeypatch):
    data = write_colour_folder(tmp_path / "data", 60)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 60 * 24 * 32 * 3 - 1))
    with pytest.raises(
        DataError,
        match="60 decoded images of 24 x 32 x 3 take 0.1 MB, .* 0.1 MB left.*KVAE_CACHE_DIR.* --image-size.$",
    ):
        made(data)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_the_error_for_a_full_disk_mentions_older_folders(tmp_path, cache, monkeypatch):
    made(write_colour_folder(tmp_path / "old", 200))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1000))
    with pytest.raises(DataError, match="older folders take 0.5 MB, and can be deleted.$"):
        made(write_colour_folder(tmp_path / "data", 60))


def test_one_size_written_in_two_ways_is_decoded_once(tmp_path, cache):
    data = write_colour_folder(tmp_path / "data", 20)
    assert len({made(data, image_size=size) for size in ("20", "20x20", "20X20")}) == 1
    assert made(data, image_size="20x21") != made(data, image_size="20")


def test_a_disk_that_fills_up_leaves_no_files(tmp_path, cache, monkeypatch):
    data = write_colour_folder(tmp_path / "data", 60)

    def full(self, pixels):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(image_cache._Writer, "append", full)
    with pytest.raises(KvaeError, match="cannot write .*: No space left on device"):
        made(data)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_written_names_the_variable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(KvaeError, match="cannot write .*: Not a directory.*KVAE_CACHE_DIR"):
        made(write_colour_folder(tmp_path / "data", 20))


def test_a_stream_of_images_does_not_stay_in_memory(tmp_path):
    """6,000 images of 48 KiB are 288 MB; the pass may use 64 MB."""
    images = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (6000, 128, 128, 3))
    for index in range(0, 6000, 100):
        images[index : index + 100] = index // 100
    del images
    code = PREPARE + "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.npy")], capture_output=True, text=True)
    base = subprocess.run(
        [sys.executable, "-c", code, str(write_colour_folder(tmp_path / "few", 20))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) - int(base.stdout.split()[-1]) < 64 * 1024


def test_an_archive_that_is_damaged_in_the_middle_leaves_no_files(tmp_path, cache):
    images = np.random.default_rng(0).integers(0, 256, (400, 64, 64), dtype=np.uint8)
    np.savez_compressed(tmp_path / "x.npz", images=images)
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match="x.npz is damaged"):
        made(tmp_path / "x.npz")
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def change(folder, name, how):
    path = folder / name
    if how == "inverted":
        np.save(path, 255 - np.load(path))
    elif how == "one bit, same size and time":
        before = path.stat()
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif how == "another shape":
        np.save(path, np.load(path)[:, :7])
    elif how == "another dtype":
        np.save(path, np.load(path).astype(np.int16))
    elif how == "fewer":
        np.save(path, np.load(path)[1:])
    elif how == "label out of range":
        np.save(path, np.load(path) + np.uint8(200))
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    elif how == "a folder":
        path.unlink()
        path.mkdir()
    elif how == "a line gone":
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    elif how == "not JSON":
        path.write_text("{")
    elif how == "a list":
        path.write_text("[]")
    else:
        summary = json.loads(path.read_text())
        path.write_text(json.dumps(summary | {how: {"version": 99, "image_shape": [4, 4, 1], "files": {}}[how]}))


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("train.npy", "inverted"),
        ("test.npy", "one bit, same size and time"),
        ("validation.npy", "another shape"),
        ("train.npy", "another dtype"),
        ("train.npy", "fewer"),
        ("train_labels.npy", "label out of range"),
        ("test_labels.npy", "another dtype"),
        ("train.npy", "cut"),
        ("test.npy", "empty"),
        ("validation_labels.npy", "missing"),
        ("train.npy", "a folder"),
        ("index.csv", "a line gone"),
        ("skipped.csv", "missing"),
        ("summary.json", "version"),
        ("summary.json", "image_shape"),
        ("summary.json", "files"),
        ("summary.json", "not JSON"),
        ("summary.json", "a list"),
        ("summary.json", "cut"),
        ("summary.json", "missing"),
    ],
)
def test_a_folder_that_changed_is_made_anew_with_one_line(tmp_path, caplog, name, how):
    data = write_colour_folder(tmp_path / "data", 40, labels=("a", "b"))
    folder = made(data)
    if name != "train.npy":
        assert made(data) == folder  # and has been found right
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != cache_files.STAMPS}
    change(folder, name, how)
    assert made(data) == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != cache_files.STAMPS} == before
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1 and name in told[0] and "decoded again" in told[0]
    caplog.clear()
    made(data)
    assert caplog.records == []


@pytest.mark.parametrize(("name", "is_read"), [("cache", True), ("a/cache", True), (".cache", False)])
@pytest.mark.parametrize("around", ["", ".hidden"])
def test_a_cache_among_the_images_is_refused_unless_it_is_hidden_there(tmp_path, monkeypatch, name, is_read, around):
    tmp_path = tmp_path / around / "data"
    data = write_colour_folder(tmp_path, 40)
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / name))
    if not is_read:
        assert made(data).is_dir()
        return
    with pytest.raises(KvaeError, match="is in .*data.* another KVAE_CACHE_DIR"):
        made(data)
    assert not (tmp_path / name).exists()


def test_a_folder_with_a_user_s_own_file_is_not_replaced(tmp_path):
    data = write_colour_folder(tmp_path / "data", 40)
    folder = made(data)
    (folder / "thesis.txt").write_text("mine")
    assert made(data) == folder  # as long as nothing is wrong
    change(folder, "train.npy", "inverted")
    with pytest.raises(KvaeError, match="left unchanged"):
        made(data)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_files_that_did_not_change_are_not_hashed_again(tmp_path, monkeypatch):
    """Once their times are old enough to be trusted."""
    data = write_colour_folder(tmp_path / "data", 40)
    folder = made(data)
    monkeypatch.setattr(cache_files, "RACY_NS", -(10**18))
    made(data)
    monkeypatch.setattr(cache_files, "_sha256", None)
    assert made(data) == folder


def test_files_checked_at_the_moment_they_changed_are_hashed_again(tmp_path, monkeypatch):
    data = write_colour_folder(tmp_path / "data", 40)
    made(data)
    made(data)
    hashed = []
    monkeypatch.setattr(cache_files, "RACY_NS", 10**18)
    monkeypatch.setattr(cache_files, "_sha256", lambda path: hashed.append(path.name) or "")
    with pytest.raises(TypeError):
        monkeypatch.setattr(image_cache, "_make", None)
        made(data)
    assert hashed[0] == "index.csv"


@pytest.mark.parametrize("content", ["{", "[]", "[1]", '{"train.npy": 3, "time": 5}', '{"time": "x"}', "[" * 100_000])
def test_a_damaged_record_of_what_was_checked_only_costs_time(tmp_path, content):
    data = write_colour_folder(tmp_path / "data", 40)
    folder = made(data)
    (folder / cache_files.STAMPS).write_text(content)
    assert image_cache.fault(folder) is None


def test_a_cache_that_cannot_be_written_is_still_read(tmp_path, monkeypatch):
    data = write_colour_folder(tmp_path / "data", 40)
    folder = made(data)
    monkeypatch.setattr(cache_files, "atomic_file", lambda path: (_ for _ in ()).throw(KvaeError("read-only")))
    assert made(data) == folder
