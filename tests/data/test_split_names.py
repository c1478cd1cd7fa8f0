"""What is named like a split is a split: folders, TFRecords and arrays; what could be either is refused."""

import numpy as np
import pytest
from PIL import Image

from kvae.config import TrainConfig
from kvae.data import datasets, split_names
from kvae.data.inspection import inspect
from kvae.data.sources import open_all, open_source
from kvae.errors import DataError


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))


def write(folder, count=1, pixels=None):
    """Pictures in a folder, other ones in each folder."""
    rng = np.random.default_rng(list(bytes(folder)[-20:]))
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        own = rng.integers(0, 256, (8, 8), np.uint8) if pixels is None else pixels
        Image.fromarray(own).save(folder / f"{index}.png")


def splits_of(path, **settings):
    """The split and the label of each image, by name."""
    data = datasets.of(TrainConfig(data=str(path), **settings))
    found = {}
    for split in ("train", "validation", "test"):
        own = getattr(data, split)
        labels = [None] * len(own.names) if own.labels is None else own.labels
        for name, label in zip(own.names, labels, strict=True):
            found[name] = (split, None if label is None else data.class_names[label])
    return found


@pytest.mark.parametrize(
    "names",
    [
        ("train", "val", "test"),
        ("Train", "VALID", "Test"),
        ("training", "validation", "testing"),
        ("training_set", "val2017", "test-images"),
    ],
)
def test_folders_named_like_splits_are_splits_and_their_folders_labels(tmp_path, names):
    for name, count in zip(names, (20, 3, 4), strict=True):
        for label in ("cat", "dog"):
            write(tmp_path / "x" / name / label, count)
    found = splits_of(tmp_path / "x")
    expected = dict(zip(names, ("train", "validation", "test"), strict=True))
    assert len(found) == 54
    for name, (split, label) in found.items():
        top, folder, _ = name.split("/")
        assert (split, label) == (expected[top], folder)


def test_a_test_image_is_never_trained_on_and_a_missing_validation_split_comes_from_train(tmp_path):
    write(tmp_path / "x" / "train", 60)
    write(tmp_path / "x" / "test", 30)
    found = splits_of(tmp_path / "x")
    assert {split for name, (split, _) in found.items() if name.startswith("test")} == {"test"}
    own = [split for name, (split, _) in found.items() if name.startswith("train")]
    assert set(own) == {"train", "validation"} and own.count("validation") < 20


def test_only_a_training_folder_is_split_as_images_without_splits(tmp_path):
    write(tmp_path / "x" / "train" / "cat", 60)
    found = splits_of(tmp_path / "x")
    assert {split for split, _ in found.values()} == {"train", "validation", "test"}
    assert {label for _, label in found.values()} == {"cat"}
    write(tmp_path / "plain", 0)
    (tmp_path / "x" / "train" / "cat").rename(tmp_path / "plain" / "cat")
    same = splits_of(tmp_path / "plain")
    assert {name.removeprefix("train/"): own for name, own in found.items()} == same


def test_images_directly_in_a_split_s_folder_have_no_label(tmp_path):
    write(tmp_path / "x" / "train" / "cat", 2)
    write(tmp_path / "x" / "train", 3)
    write(tmp_path / "x" / "test", 2)
    source = open_source(tmp_path / "x")
    assert [item.label for item in source.items()] == 7 * [None]
    assert source.num_unlabelled == 5


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("train", "test", "cat"), "holds test, train, named like splits, beside cat: .*--test-data"),
        (("cat", "dog", "train"), "holds train, named like splits, beside cat, dog"),
        (("train", "test", ""), "beside images of its own"),
        (("test",), "holds test, .* no train folder.*--data .*x/test"),
        (("val", "test"), "holds test, val, .* no train folder"),
        (("train", "val", "validation"), "two folders for the validation split: val, validation"),
        (("train", "Train"), "two folders for the train split: Train, train"),
    ],
)
def test_folders_that_could_mean_either_are_refused(tmp_path, names, reason):
    for name in names:
        write(tmp_path / "x" / name, 2)
    with pytest.raises(DataError, match=reason):
        open_source(tmp_path / "x")


@pytest.mark.parametrize(
    ("folders", "repair"),
    [
        (("images/train", "images/val"), "holds train, val, .*give --data .*x/images"),
        (("a/images/train2017/cat", "a/images/test2017/cat"), "give --data .*x/a/images"),
        (("cat/train", "cat/test", "dog/train", "dog/test"), "holds test, train, .*put them first: test/cat"),
    ],
)
def test_splits_within_other_folders_are_refused(tmp_path, folders, repair):
    for folder in folders:
        write(tmp_path / "x" / folder, 2)
    with pytest.raises(DataError, match=repair):
        open_source(tmp_path / "x")


def test_one_class_within_another_may_be_called_train(tmp_path):
    write(tmp_path / "x" / "vehicle" / "train", 2)
    write(tmp_path / "x" / "animal" / "cat", 2)
    assert len(list(open_source(tmp_path / "x").items())) == 4


@pytest.mark.parametrize("content", ["", "notes.txt"])
def test_a_split_s_folder_without_images_is_refused(tmp_path, content):
    write(tmp_path / "x" / "train", 2)
    (tmp_path / "x" / "test").mkdir()
    if content:
        (tmp_path / "x" / "test" / content).write_text("x")
    with pytest.raises(DataError, match="folder test for the test split that holds no images"):
        open_source(tmp_path / "x")


def test_linked_folders_are_splits_but_not_twice_the_same(tmp_path):
    write(tmp_path / "elsewhere", 2)
    write(tmp_path / "x" / "train", 2)
    (tmp_path / "x" / "test").symlink_to(tmp_path / "elsewhere")
    assert open_source(tmp_path / "x").given == {"test"}
    (tmp_path / "x" / "val").symlink_to("train")  # each folder is read once
    with pytest.raises(DataError, match="val.* holds no images of its own|train.* holds no images of its own"):
        open_source(tmp_path / "x")


def test_hidden_and_empty_folders_with_other_names_do_not_matter(tmp_path):
    write(tmp_path / "x" / "train", 2)
    write(tmp_path / "x" / ".cache", 2)
    write(tmp_path / "x" / "test", 2)
    (tmp_path / "x" / "__MACOSX").mkdir()
    (tmp_path / "x" / "__MACOSX" / "._0.png").write_bytes(b"x")
    assert open_source(tmp_path / "x").given == {"test"}


def test_names_that_only_begin_like_a_split_are_labels(tmp_path):
    write(tmp_path / "x" / "trains", 2)
    write(tmp_path / "x" / "tests", 2)
    assert [item.label for item in open_source(tmp_path / "x").items()] == ["tests", "tests", "trains", "trains"]


def test_copies_in_another_split_are_counted(tmp_path):
    same = np.zeros((8, 8), np.uint8)
    write(tmp_path / "x" / "train", 30)
    write(tmp_path / "x" / "test", 3)
    write(tmp_path / "x" / "test", 2, same)  # replaces two
    Image.fromarray(same).save(tmp_path / "x" / "train" / "copy.png")
    found = inspect(TrainConfig(data=str(tmp_path / "x")))
    assert (found.num_duplicates, found.num_across) == (2, 1)  # the first in the order of names is a test image
    assert found.given == ["test"]


def test_splits_have_paths_of_their_own(tmp_path):
    write(tmp_path / "a", 40)
    write(tmp_path / "b", 3)
    np.save(tmp_path / "c.npy", np.random.default_rng(1).integers(0, 256, (4, 8, 8), np.uint8))
    found = splits_of(tmp_path / "a", validation_data=str(tmp_path / "b"), test_data=str(tmp_path / "c.npy"))
    by_split = {split: {name for name, (own, _) in found.items() if own == split} for split in ("validation", "test")}
    assert by_split["validation"] == {"b/0.png", "b/1.png", "b/2.png"}
    assert by_split["test"] == {f"c.npy/c.npy[{index}]" for index in range(4)}
    assert sum(split == "train" for split, _ in found.values()) == 40


@pytest.mark.parametrize(
    ("path", "option", "reason"),
    [("x", "test_data", "x has a test split of its own; leave out --test-data"), ("y", "test_data", "holds splits")],
)
def test_a_split_that_is_given_twice_is_refused(tmp_path, path, option, reason):
    write(tmp_path / "x" / "train", 3)
    write(tmp_path / "x" / "test", 3)
    write(tmp_path / "y", 3)
    other = "y" if path == "x" else "x"
    with pytest.raises(DataError, match=reason):
        open_all(TrainConfig(data=str(tmp_path / path), **{option: str(tmp_path / other)}))


def test_changed_test_images_are_decoded_again(tmp_path):
    write(tmp_path / "a", 80)
    write(tmp_path / "b", 3)
    config = TrainConfig(data=str(tmp_path / "a"), test_data=str(tmp_path / "b"))
    before = datasets.of(config)
    write(tmp_path / "b", 4)
    after = datasets.of(config)
    assert (len(before.test.images), len(after.test.images)) == (3, 4)
    assert before.sha256 != after.sha256


@pytest.mark.parametrize("style", ["x_{}", "{}_images", "X_{}", "{}_x"])
@pytest.mark.parametrize("label", ["y_{}", "{}_labels", "Y_{}"])
def test_an_archive_may_hold_splits(tmp_path, style, label):
    arrays = {}
    for split, count in (("train", 40), ("val", 3), ("test", 4)):
        arrays[style.format(split)] = np.random.default_rng(1).integers(0, 256, (count, 8, 8), np.uint8)
        arrays[label.format(split)] = np.full((count, 1), len(split))
    np.savez(tmp_path / "x.npz", **arrays)
    found = splits_of(tmp_path / "x.npz")
    counts = {split: sum(own == split for own, _ in found.values()) for split in ("train", "validation", "test")}
    assert counts == {"train": 40, "validation": 3, "test": 4}
    assert all(label == {"train": "5", "validation": "3", "test": "4"}[split] for split, label in found.values())


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("x_test", "y_test"), "holds x_test, y_test, but no training images"),
        (("x_train", "images"), "images with and without a split"),
        (("x_train", "train_images"), "two arrays for one split: x_train, train_images"),
        (("a", "b"), "holds a, b; expected one named images"),
        (("x_train", "x_val", "x_valid"), "two arrays for one split"),
    ],
)
def test_an_archive_that_does_not_say_which_is_which_is_refused(tmp_path, names, reason):
    np.savez(tmp_path / "x.npz", **{name: np.zeros((3, 8, 8), np.uint8) for name in names})
    with pytest.raises(DataError, match=reason):
        open_source(tmp_path / "x.npz")


def test_splits_of_different_sizes_are_refused(tmp_path):
    sizes = {"x_train": (60, 8, 8), "x_test": (3, 9, 8)}
    np.savez(
        tmp_path / "x.npz",
        **{name: np.random.default_rng(1).integers(0, 256, size, np.uint8) for name, size in sizes.items()},
    )
    with pytest.raises(DataError, match="different sizes .8 x 8 and 9 x 8.*--image-size"):
        datasets.of(TrainConfig(data=str(tmp_path / "x.npz")))
    assert datasets.of(TrainConfig(data=str(tmp_path / "x.npz"), image_size="8")).image_shape == (8, 8, 1)


def test_shards_of_records_are_splits_by_their_names():
    assert split_names.of_shard("mnist-train.tfrecord-00000-of-00001") == "train"
    assert split_names.of_shard("a/fashion_mnist-TEST.tfrecord") == "test"
    assert split_names.of_shard("x_validation.tfrecords.gz") == "validation"
    assert split_names.of_shard("latest.tfrecord") is None and split_names.of_shard("images.tfrecord") is None


def test_a_folder_of_records_is_split_by_names_or_by_folders(tmp_path):
    for name in ("m-train.tfrecord-00000-of-00002", "m-train.tfrecord-00001-of-00002", "m-test.tfrecord"):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).write_bytes(b"")
    assert open_source(tmp_path / "a").given == {"test"}
    (tmp_path / "a" / "more.tfrecord").write_bytes(b"")
    with pytest.raises(DataError, match="some TFRecords are named like splits"):
        open_source(tmp_path / "a")
    for name in ("train", "val"):
        (tmp_path / "b" / name).mkdir(parents=True)
        (tmp_path / "b" / name / "0.tfrecord").write_bytes(b"")
    assert open_source(tmp_path / "b").given == {"validation"}
