"""What is found under a path, format by format, and what is not a data set."""

import gzip
import os

import numpy as np
import pytest
from pictures_on_disk import grey_images
from PIL import Image

from kvae.data.sources import open_source
from kvae.errors import DataError
from kvae.files import idx
from kvae.files.text import shown


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_is_read_in_the_order_of_its_names_without_hidden_files(tmp_path):
    touch(
        tmp_path, "b/2.PNG", "b/10.png", "a.jpeg", "c/d/e.webp", ".hidden.png", ".git/x.png", "notes.txt", "b/list.csv"
    )
    source = open_source(tmp_path)
    assert [item.name for item in source.items()] == ["a.jpeg", "b/10.png", "b/2.PNG", "c/d/e.webp"]
    assert [item.content for item in source.items()][1] == tmp_path / "b" / "10.png"
    assert (source.kind, source.count, source.num_others) == ("folder of pictures", 4, 2)


def test_sub_folders_are_labels_if_all_pictures_are_in_one(tmp_path):
    touch(tmp_path, "cats/1.png", "dogs/small/2.png")
    assert [item.label for item in open_source(tmp_path).items()] == ["cats", "dogs"]
    touch(tmp_path, "3.png")
    assert [item.label for item in open_source(tmp_path).items()] == [None, None, None]


def test_the_listing_changes_if_the_images_change(tmp_path):
    touch(tmp_path, "a.png", "b.png", "notes.txt")
    before = open_source(tmp_path).listing
    assert [name for name, _, _ in before] == ["a.png", "b.png"]
    touch(tmp_path, "other.txt")
    assert open_source(tmp_path).listing == before
    os.utime(tmp_path / "a.png", ns=(0, 1))
    assert open_source(tmp_path).listing != before


def test_unprintable_names_are_escaped(tmp_path):
    touch(tmp_path, "two\nlines/1.png")
    (tmp_path / os.fsdecode(b"\xff.png")).write_bytes(b"x")
    names = sorted(item.name for item in open_source(tmp_path).items())
    assert names == ["\\udcff.png", "two\\nlines/1.png"]
    assert shown("Käse.png") == "Käse.png"


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".idx", "-images-idx3-ubyte", "-images-idx3-ubyte.gz"])
def test_arrays_give_the_images_they_hold(tmp_path, suffix):
    images, _ = grey_images(40)
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, images)
    elif suffix == ".npz":
        np.savez_compressed(path, images=images)
    else:
        content = idx.to_bytes(images)
        path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    source = open_source(path)
    assert (source.count, source.header[1:4]) == (40, (28, 28, 1))
    items = list(source.items())
    np.testing.assert_array_equal([item.content for item in items], images[..., None])
    assert [items[3].name, items[3].label] == [f"x{suffix}[3]", None]


def test_many_chunks_are_one_array(tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.data.stacks.CHUNK_BYTES", 5000)
    images = np.random.default_rng(0).random((20, 9, 12, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    items = list(open_source(tmp_path / "x.npy").items())
    np.testing.assert_array_equal([item.content for item in items], images)
    assert items[19].name == "x.npy[19]"


@pytest.mark.parametrize("labels", [np.array([3, -1, 10]), np.array(["cat", "dog", "two\nlines"])])
def test_an_archive_s_labels_are_read(tmp_path, labels):
    np.savez(tmp_path / "x.npz", images=np.zeros((3, 8, 8), np.uint8), labels=labels)
    expected = [shown(label) if isinstance(label, str) else label for label in labels.tolist()]
    assert [item.label for item in open_source(tmp_path / "x.npz").items()] == expected


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((3, 8, 8), np.int64), "holds int64; expected uint8, or floats"),
        (np.zeros((3, 8, 8, 4), np.uint8), r"\(3, 8, 8, 4\), with 4 channels; .*x\[..., :3\]"),
        (np.zeros((3, 8, 8, 2), np.uint8), "with 1 or 3 channels"),
        (np.zeros((3, 1, 8, 8), np.uint8), r"\(3, 1, 8, 8\): channels first; transpose with np.moveaxis\(x, 1, -1\)"),
        (np.zeros((3, 3, 8, 9), np.uint8), "channels first"),
        (np.zeros((8, 9, 3), np.uint8), r"\(8, 9, 3\), which is one image"),
        (np.zeros(64, np.uint8), r"has shape \(64,\); expected \(images, height, width\).*table"),
        (np.zeros((2, 2, 8, 8, 3), np.uint8), "expected .images, height, width"),
        (np.zeros((2, 70_000), np.uint8), "rows of 70,000 values; expected at most 65,536"),
        (np.zeros((3, 8, 8), complex), "holds complex128; expected uint8"),
        (np.zeros((3, 8, 8), [("a", "<f4")]), "holds .*'a', '<f4'.*; expected uint8"),
        (np.zeros((3, 8, 8), "datetime64[s]"), "expected uint8"),
        (np.asfortranarray(np.zeros((3, 8, 8), np.uint8)), "column by column; .*ascontiguousarray"),
        (np.zeros((3, 8, 7), np.uint8), "less than 8 pixels"),
        (np.zeros((0, 8, 8), np.uint8), "holds no "),
    ],
)
def test_arrays_that_do_not_hold_images_are_refused(tmp_path, array, reason):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(DataError, match=reason):
        open_source(tmp_path / "x.npy")


def test_an_array_of_huge_images_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.data.decoding.MAX_ARRAY_BYTES", 8 * 8 * 3 * 4 - 1)
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8, 3), np.float32))
    with pytest.raises(DataError, match=r"x.npy holds images of \(8, 8, 3\) float32, which are too large"):
        open_source(tmp_path / "x.npy")


class Trap:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", ["images", "labels"])
def test_an_archive_is_never_unpickled(tmp_path, name):
    arrays = {"images": np.zeros((2, 8, 8), np.uint8), name: np.array(2 * [Trap(tmp_path / "sprung")], object)}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match="Python objects"):
        open_source(tmp_path / "x.npz")
    assert not (tmp_path / "sprung").exists()
    np.load(tmp_path / "x.npz", allow_pickle=True)[name]
    assert (tmp_path / "sprung").exists()


def test_the_error_for_an_unknown_kind_lists_the_known_ones(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "one.png")
    os.mkfifo(tmp_path / "pipe.npy")
    touch(tmp_path / "texts", "a.txt", "b.npy")
    touch(tmp_path / "both", "a.png", "b.tfrecord")
    for name, reason in {
        "one.png": "one.png: expected a folder of pictures",
        "pipe.npy": "it is not a regular file",
        "texts": r"holds no pictures .*\.npy, \.npz or idx",
        "both": "holds pictures and TFRecords",
        "nowhere": "cannot be read: No such file or directory",
        "nul\0l": r"nul\\x00l cannot be read: embedded null",
    }.items():
        with pytest.raises(DataError, match=reason):
            open_source(tmp_path / name)
