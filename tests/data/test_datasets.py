"""Data sets: the shipped one, the order of places, and every kind of damage, on small pinned files."""

import csv
import gzip
import hashlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pictures_on_disk import write_colour_folder
from PIL import Image

from kvae.config import DATASETS, TrainConfig
from kvae.data import datasets, download, named
from kvae.errors import ConfigError, DataError
from kvae.files import idx

RNG = np.random.default_rng(0)
ARRAYS = [
    RNG.integers(0, 256, shape, dtype=np.uint8) for shape in [(6, 3, 3), (6,), (2, 3, 3), (2,)]
]  # fmt: skip


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A data set "small" of 6 + 2 images, an empty cache, and no Debian copy."""
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    files = tuple(
        named.File(file.name, array.shape, hashlib.sha256(idx.to_bytes(array)).hexdigest())
        for file, array in zip(named.get("mnist").files, ARRAYS, strict=True)
    )
    source = replace(named.get("mnist"), files=files, num_validation=2, urls=())
    monkeypatch.setitem(DATASETS, "small", "6 + 2 images of noise")
    monkeypatch.setitem(sys.modules, "kvae.data.named.small", SimpleNamespace(DATASET=source))
    return source


def write_files(folder, source, suffix=".gz"):
    folder.mkdir(parents=True)
    for file, array in zip(source.files, ARRAYS, strict=True):
        content = idx.to_bytes(array)
        (folder / f"{file.name}{suffix}").write_bytes(gzip.compress(content) if suffix else content)
    return folder


def test_the_shipped_set_is_balanced_and_split():
    data = datasets.load("fashion_mnist_mini")
    assert [len(split.images) for split in (data.train, data.validation, data.test)] == [4000, 500, 500]
    for split, per_class in ((data.train, 400), (data.validation, 50), (data.test, 50)):
        np.testing.assert_array_equal(np.bincount(split.labels), [per_class] * 10)
    assert data.image_shape == (28, 28, 1)
    assert data.train.images.dtype == np.uint8
    assert len(data.class_names) == 10


def test_the_shipped_splits_share_no_image():
    data = datasets.load("fashion_mnist_mini")
    keys = [{image.tobytes() for image in split.images} for split in (data.train, data.validation, data.test)]
    assert not (keys[0] & keys[1] or keys[0] & keys[2] or keys[1] & keys[2])


def test_the_shipped_set_is_small_and_licensed():
    folder = next(datasets._places("fashion_mnist_mini", named.get("fashion_mnist_mini"), None))
    assert sum(path.stat().st_size for path in folder.iterdir()) < 3_000_000
    assert "Zalando" in (folder / "LICENSE").read_text()
    assert "github.com/zalandoresearch/fashion-mnist" in (folder / "README.md").read_text()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_splits_follow_the_order_of_the_files(small, tmp_path, suffix):
    data = datasets.load("small", write_files(tmp_path / "data", small, suffix))
    np.testing.assert_array_equal(data.train.images[..., 0], ARRAYS[0][:4])
    np.testing.assert_array_equal(data.validation.images[..., 0], ARRAYS[0][4:])
    np.testing.assert_array_equal(data.test.labels, ARRAYS[3])
    assert data.sha256 == small.sha256


def test_the_data_folder_comes_before_the_cache_and_the_cache_before_a_download(small, tmp_path, caplog):
    caplog.set_level("INFO")
    write_files(tmp_path / "cache" / "small", small)
    write_files(tmp_path / "data", small)
    datasets.load("small", tmp_path / "data")
    assert str(tmp_path / "data") in caplog.text
    datasets.load("small")
    assert str(tmp_path / "cache" / "small") in caplog.text
    assert "downloading" not in caplog.text


def test_places_are_in_the_order_of_the_design(monkeypatch, tmp_path):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    places = list(datasets._places("fashion_mnist", named.get("fashion_mnist"), tmp_path))
    assert [str(place) for place in places] == [
        str(tmp_path), str(tmp_path / "cache" / "fashion_mnist"), "/usr/share/datasets/fashion-mnist",
    ]  # fmt: skip


def test_missing_files_are_downloaded_into_the_cache(small, tmp_path, monkeypatch):
    def fetch(name, hashes, urls, package, target):
        assert list(hashes) == [file.name for file in small.files]
        write_files(target, small)

    monkeypatch.setattr(download, "fetch", fetch)
    np.testing.assert_array_equal(datasets.load("small").test.images[..., 0], ARRAYS[2])
    assert len(list((tmp_path / "cache" / "small").iterdir())) == 4


def altered(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda c: gzip.compress(c)[:-20], "truncated"),
        (lambda c: b"not gzip", "damaged"),
        (lambda c: gzip.compress(c[:-5]), "holds 49 values, expected 54"),
        (lambda c: gzip.compress(altered(c)), "its content has sha256"),
        (lambda c: gzip.compress(b"\x00\x00\x08\x01" + c[4:]), "magic number is 0x00000801, expected 0x00000803"),
        (lambda c: gzip.compress(c[:15] + b"\x04" + c[16:]), r"shape is \(6, 3, 4\), expected \(6, 3, 3\)"),
    ],
)
def test_the_error_names_a_damaged_file_and_says_what_to_do(small, tmp_path, damage, reason):
    folder = write_files(tmp_path / "data", small)
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(gzip.decompress(path.read_bytes())))
    with pytest.raises(DataError, match=reason) as error:
        datasets.load("small", folder)
    assert str(error.value).startswith(str(path))
    assert "6 x 3 x 3 bytes of small; delete this file or replace it" in str(error.value)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text("")])
def test_a_data_folder_that_cannot_be_listed(small, tmp_path, make):
    make(tmp_path / "data")
    with pytest.raises(DataError, match=r"data folder .* cannot be read: .*train-images-idx3-ubyte\.gz"):
        datasets.load("small", tmp_path / "data")


def test_an_unreadable_data_folder(small, tmp_path, monkeypatch):
    """The error is simulated, because root may read anything."""
    write_files(tmp_path / "data", small)

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(DataError, match="cannot be read: Permission denied"):
        datasets.load("small", tmp_path / "data")


def test_the_shipped_set_takes_no_data_folder(tmp_path):
    with pytest.raises(ConfigError, match="it takes no data folder"):
        datasets.load("fashion_mnist_mini", tmp_path)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ConfigError, match="'fashion_mnits' is unknown. Did you mean fashion_mnist?"):
        datasets.load("fashion_mnits")
    with pytest.raises(ConfigError, match="Known: fashion_mnist, mnist, fashion_mnist_mini"):
        datasets.load("imagenet")


# A user's own images


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    return write_colour_folder(tmp_path / "photo", 150, labels=("left", "right"))


@pytest.mark.parametrize("memory", [None, 0])
def test_own_images_are_a_data_set_like_any_other(photo, memory):
    data = datasets.of(TrainConfig(data=str(photo)), memory=memory)
    assert (data.name, data.image_shape, data.class_names) == ("photo", (24, 32, 3), ("left", "right"))
    assert [isinstance(split.images, np.memmap) for split in (data.train, data.test)] == 2 * [memory == 0]
    for split in (data.train, data.validation, data.test):
        for index in (0, len(split.images) - 1):
            pixels = np.asarray(Image.open(photo / split.names[index]).convert("RGB"))
            np.testing.assert_array_equal(split.images[index], pixels)
            assert data.class_names[split.labels[index]] == split.names[index].partition("/")[0]
    assert sum(len(split.names) for split in (data.train, data.validation, data.test)) == 150
    assert data.provenance() == {"name": "photo", "sha256": data.sha256, "num_images": len(data.train.images)}


def test_own_images_may_have_a_name(photo):
    assert datasets.of(TrainConfig(data=str(photo), dataset="hopper")).name == "hopper"


def test_the_hash_of_own_images_changes_with_them_and_with_their_splits(photo):
    config = TrainConfig(data=str(photo))
    first = datasets.of(config).sha256
    assert datasets.of(TrainConfig(data=str(photo), split_seed=1)).sha256 != first
    (photo / "left" / "0000.png").rename(photo / "right" / "a name.png")
    assert datasets.of(config).sha256 == first
    (photo / "right" / "a name.png").unlink()
    assert datasets.of(config).sha256 != first


def test_without_labels_the_labels_are_zeros(photo):
    data = datasets.of(TrainConfig(data=str(photo / "left")))
    assert data.class_names == ()
    assert data.label_names is None
    assert data.train.labels is None


def test_the_record_has_a_line_for_each_image(photo, tmp_path):
    data = datasets.of(TrainConfig(data=str(photo)))
    datasets.write_record(data, tmp_path / "record.csv")
    with (tmp_path / "record.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == {"name", "label", "split", "sha256"}
    assert [row["name"] for row in rows if row["split"] == "test"] == list(data.test.names)
    datasets.write_record(datasets.load("fashion_mnist_mini"), tmp_path / "none.csv")
    assert not (tmp_path / "none.csv").exists()


def test_skipped_images_count_against_max_bad_also_from_the_cache(photo):
    (photo / "left" / "empty.png").write_bytes(b"")
    (photo / "left" / "text.png").write_bytes(b"text")
    assert len(datasets.of(TrainConfig(data=str(photo))).train.images) > 100
    with pytest.raises(DataError, match="2 images cannot be used, more than the 1 of --max-bad.* kvae data"):
        datasets.of(TrainConfig(data=str(photo), max_bad=1))


def test_too_few_own_images_are_an_error(photo):
    for path in sorted(photo.rglob("*.*"))[5:]:
        path.unlink()
    with pytest.raises(DataError, match="too few images for three splits"):
        datasets.of(TrainConfig(data=str(photo)))


def test_own_images_are_logged_in_one_line(photo, caplog):
    caplog.set_level("INFO", "kvae")
    data = datasets.of(TrainConfig(data=str(photo)))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"photo: images of 24 x 32 x 3, {len(data.train.images)} train, ")


def test_a_named_data_set_is_loaded_as_before():
    by_name = datasets.of(TrainConfig(dataset="fashion_mnist_mini"))
    np.testing.assert_array_equal(by_name.test.images, datasets.load("fashion_mnist_mini").test.images)
    assert by_name.train.names is None
    assert by_name.provenance()["licence"] == "mit"
