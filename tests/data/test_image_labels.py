"""The labels that images on disk come with, for the verbs."""

import numpy as np
import pytest
from PIL import Image

from kvae.data import image_labels
from kvae.data.images import open_images
from kvae.errors import DataError

NAMES = ["Ankle boot", "Bag", "3"]
PIXELS = np.zeros((4, 8, 8), np.uint8)


def labels(*paths):
    found = image_labels.of_images(open_images(paths, (8, 8, 1)), NAMES)
    return None if found is None else found.tolist()


@pytest.fixture
def folder(tmp_path):
    for name in ("Bag/1", "ankle boot/deep/2", "3/3"):
        path = tmp_path / "test" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.fromarray(PIXELS[0]).save(path)
    return tmp_path / "test"


def test_a_picture_has_the_label_of_the_folder_that_it_lies_in(folder):
    assert labels(folder) == [2, 1, 0]  # in the order of their paths
    assert labels(folder.parent) == [2, 1, 0]
    assert labels(folder / "Bag") == [1]
    assert labels(folder / "Bag" / "1.png", folder / "3") == [1, 2]


def test_a_folder_that_is_no_class_is_named(folder):
    (folder / "Bag").rename(folder / "Bags")
    with pytest.raises(DataError, match="Bags.*none of the model's classes. Did you mean Bag"):
        labels(folder)


def test_an_archive_has_its_labels_and_a_piece_those_of_its_images(tmp_path):
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=["Bag", "bag", "3", "Ankle boot"])
    assert labels(tmp_path / "x.npz") == [1, 1, 2, 0]
    pieces = open_images([tmp_path / "x.npz"], (8, 8, 1)).cut([1, 4])
    assert [image_labels.of_images(piece, NAMES).tolist() for piece in pieces] == [[1], [1, 2, 0]]
    np.savez(tmp_path / "y.npz", images=PIXELS, labels=np.eye(3)[[0, 1, 1, 0]])
    source = open_images([tmp_path / "y.npz"], (8, 8, 1))
    assert image_labels.of_images(source, ["Ankle boot", "Bag", "Coat"]).tolist() == [0, 1, 1, 0]
    with pytest.raises(DataError, match="'0', is none of the model's classes"):  # which are numbers themselves
        labels(tmp_path / "y.npz")


def test_a_wrong_label_of_an_array_is_named_with_its_row(tmp_path):
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=["Bag", "Bag", "Bags", "Bags"])
    with pytest.raises(DataError, match="x.npz: the label of row 2, 'Bags', is none of .* Did you mean Bag"):
        labels(tmp_path / "x.npz")
    _, piece = open_images([tmp_path / "x.npz"], (8, 8, 1)).cut([1, 4])
    with pytest.raises(DataError, match="row 2,"):
        image_labels.of_images(piece, NAMES)


def test_bools_are_the_classes_false_and_true_and_no_others(tmp_path):
    """They are not 0 and 1, with which the first two of any classes would be meant."""
    np.savez(tmp_path / "x.npz", images=PIXELS, labels=np.array([True, False, True, False]))
    source = open_images([tmp_path / "x.npz"], (8, 8, 1))
    for names in (["False", "True"], ["false", "true"]):
        assert image_labels.of_images(source, names).tolist() == [1, 0, 1, 0]
    for names in (NAMES, ["cat", "dog"], ["0", "1"]):
        with pytest.raises(DataError, match="row 0, 'True', is none of the model's classes"):
            image_labels.of_images(source, names)


def test_without_labels_there_are_none(tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    np.savez(tmp_path / "x.npz", images=PIXELS)
    assert labels(tmp_path / "x.npy") is None and labels(tmp_path / "x.npz") is None


def test_some_labels_are_not_enough(folder, tmp_path):
    np.save(tmp_path / "x.npy", PIXELS)
    with pytest.raises(DataError, match="4 of 7 images have no label, the first is .*x.npy.0."):
        labels(folder, tmp_path / "x.npy")
