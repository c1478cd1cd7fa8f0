"""The classes of a data set: which a conditional model can be trained on, and labels as numbers."""

import logging

import numpy as np
import pytest
from PIL import Image

from kvae.config import from_settings
from kvae.data import classes, datasets
from kvae.errors import DataError


def own(path, **settings):
    return datasets.of(from_settings({"data": str(path), "conditional": True} | settings))


def save(path, labels, **arrays):
    """An archive of images, each different, with these labels."""
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 8, 8), dtype=np.uint8)
    np.savez(path, images=images, labels=np.asarray(labels), **arrays)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))


def test_the_named_data_sets_have_labels_and_names():
    data = datasets.of(from_settings({"dataset": "fashion_mnist_mini", "conditional": True}))
    assert data.label_names[9] == "Ankle boot" and len(data.label_names) == 10
    for split in (data.train, data.validation, data.test):
        assert split.labels.dtype == np.int64 and split.labels.shape == (len(split.images),)
    assert classes.label_counts(data).tolist() == [400] * 10


@pytest.mark.parametrize("labels", [["b", "a", "c"], [7, 3, 30]], ids=["text", "integers"])
def test_labels_of_an_archive_become_sorted_classes(tmp_path, labels, caplog):
    with caplog.at_level(logging.INFO, "kvae"):
        data = own(save(tmp_path / "x.npz", np.repeat(labels, 30)))
    assert data.label_names == [str(label) for label in sorted(labels)]
    assert classes.num_labels(data, True) == 3 and classes.num_labels(data, False) is None
    assert f"classes 3: {', '.join(data.label_names)}" in caplog.text
    for split in (data.train, data.validation, data.test):
        for name, label in zip(split.names, split.labels, strict=True):
            index = int(name.partition("[")[2][:-1])
            assert data.label_names[label] == str(np.repeat(labels, 30)[index])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.arange(1200), ["1,200 different labels", "1,000 classes"]),
        (["x" * 201] * 60, ["cannot be the name of a class", "200 characters"]),
    ],
    ids=["many", "long"],
)
def test_labels_that_are_no_classes_are_refused(tmp_path, labels, words):
    with pytest.raises(DataError) as error:
        own(save(tmp_path / "x.npz", labels))
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_images_without_labels_are_refused_with_what_to_do(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8))
    with pytest.raises(DataError, match="no labels.*sub-folders.*npz.*leave out --conditional"):
        own(tmp_path / "x.npy")
    assert own(tmp_path / "x.npy", conditional=False).label_names is None


def test_pictures_beside_the_folders_of_classes_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    for index in range(60):
        place = tmp_path / "x" / ("a" if index % 2 else "b") if index else tmp_path / "x"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(place / f"{index}.png")
    with pytest.raises(DataError, match="1 images have no label, though others have one"):
        own(tmp_path / "x")


def test_a_class_that_only_held_out_images_have_is_refused_and_a_single_image_is_a_warning(tmp_path, caplog):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8)
    splits = {"x_train": images[:30], "x_val": images[30:35], "x_test": images[35:]}
    labels = np.array(["a", "b"] * 20, dtype="U4")
    labels[3] = "rare"
    np.savez(tmp_path / "x.npz", **splits, y_train=labels[:30], y_val=labels[30:35], y_test=labels[35:])
    with caplog.at_level(logging.WARNING, "kvae"):
        own(tmp_path / "x.npz")
    assert "only one training image has the label rare" in caplog.text
    labels[3], labels[33] = "a", "rare"
    np.savez(tmp_path / "y.npz", **splits, y_train=labels[:30], y_val=labels[30:35], y_test=labels[35:])
    with pytest.raises(DataError, match="no training image has the label rare"):
        own(tmp_path / "y.npz")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["Coat", "coat", "BAG"], [0, 0, 1]),
        ([0, 2], [0, 2]),
        (["0"], None),
        (["coats"], None),
        ([3], None),
        ([-1], None),
    ],
)
def test_labels_are_looked_up_by_name_and_integers_as_numbers(given, expected):
    names = ["Coat", "Bag", "Boot"]
    if expected is None:
        with pytest.raises(DataError, match="x.npz.*none of the model's classes.*Coat, Bag, Boot"):
            classes.numbers(names, given, "x.npz")
        return
    assert classes.numbers(names, given, "x.npz").tolist() == expected


def test_an_integer_is_first_a_name():
    assert classes.numbers(["7", "3", "1"], [1, 3, 7], "x").tolist() == [2, 1, 0]


def test_an_integer_is_no_number_of_a_class_if_the_names_are_integers():
    """The zeros of a model of the digits 1 to 9 are not its first class."""
    with pytest.raises(DataError, match="label '0' is none of the model's classes"):
        classes.numbers([str(digit) for digit in range(1, 10)], [1, 0], "x.npz")


def test_an_integer_that_is_none_of_the_names_is_refused_if_names_are_numbers():
    with pytest.raises(DataError, match="label '1' is none of the model's classes. Classes: 3: 3, 5, 7"):
        classes.numbers(["3", "5", "7"], [3, 1], "x")


def test_the_first_wrong_label_is_told():
    with pytest.raises(DataError, match="'dog'"):
        classes.numbers(["Coat"], ["Coat", "dog", "cat", "cow", "ape"], "x")


def test_the_nearest_name_is_told():
    with pytest.raises(DataError, match="Did you mean Boot"):
        classes.numbers(["Coat", "Bag", "Boot"], ["Boots"], "x")


def test_a_run_knows_its_labels_again(tmp_path):
    labels = np.repeat(["a", "b"], 40)
    data = own(save(tmp_path / "x.npz", labels))
    recorded = classes.about(data)
    assert sum(recorded["label_counts"].values()) == len(data.train.images)
    classes.check_same(data, recorded, "run")
    other = own(save(tmp_path / "y.npz", labels[::-1]))
    assert other.sha256 == data.sha256  # that of the images
    with pytest.raises(DataError, match="labels of .* differ"):
        classes.check_same(other, recorded, "run")
