"""Labels in arrays: whatever their form, one for each image; what is no class is refused by name."""

import sys

import numpy as np
import pytest

from kvae.data.sources import open_source
from kvae.errors import DataError

IMAGES = np.zeros((3, 8, 8), np.uint8)


def labels_of(tmp_path, labels, name="labels"):
    np.savez(tmp_path / "x.npz", images=IMAGES, **{name: labels})
    return [item.label for item in open_source(tmp_path / "x.npz").items()]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (np.array([2, 0, 1]), [2, 0, 1]),
        (np.array([[2], [0], [-1]], np.int16), [2, 0, -1]),
        (np.array([2.0, 0.0, 1.0], np.float32), [2, 0, 1]),
        (np.array([2, 0, 1], ">i4"), [2, 0, 1]),
        (np.array([True, False, True]), ["True", "False", "True"]),
        (np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), [2, 0, 1]),
        (np.array([[0, 1], [1, 0], [0, 1]], np.float32), [1, 0, 1]),
        (np.eye(3, dtype=bool), [0, 1, 2]),
        (np.array(["cat", "dog", "cat"]), ["cat", "dog", "cat"]),
        (np.array([["cat"], ["dog"], ["cat"]]), ["cat", "dog", "cat"]),
        (np.array([b"cat", b"dog", b"cat"]), ["cat", "dog", "cat"]),
    ],
)
def test_each_image_has_one_label_in_any_form(tmp_path, labels, expected):
    found = labels_of(tmp_path, labels)
    assert found == expected
    assert all(type(label) in (int, str) for label in found)


@pytest.mark.parametrize("name", ["y", "Labels", "target"])
def test_the_array_may_have_other_usual_names(tmp_path, name):
    assert labels_of(tmp_path, np.array([2, 0, 1]), name) == [2, 0, 1]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.zeros(2, int), "holds 2 labels for 3 images"),
        (np.zeros((4, 3), int), "holds 4 labels for 3 images"),
        (np.array([0.5, 1, 2]), "float64 labels that are not whole numbers .label 0 is 0.5"),
        (np.array([0, 1, np.nan]), "not whole numbers .label 2 is nan"),
        (np.array([[1, 1], [0, 1], [1, 0]]), r"that are not one-hot .label 0 is \[1, 1\]"),
        (np.array([[1, 0], [0, 1], [0, 0]]), r"that are not one-hot .label 2 is \[0, 0\]"),
        (np.array([[1, 0], [0, 1], [0, 7]]), "that are not one-hot"),
        (np.zeros((3, 2, 2), int), r"type int64 and shape \(3, 2, 2\)"),
        (np.zeros((3, 5000), int), r"shape \(3, 5000\)"),
        (np.zeros(3, complex), "type complex128"),
        (np.array(["x" * 300] * 3), "type <U300"),
        (np.array([["a", "b"]] * 3), r"shape \(3, 2\)"),
    ],
)
def test_what_is_not_one_label_for_each_image_is_refused(tmp_path, labels, reason):
    with pytest.raises(DataError, match=f"x.npz holds .*{reason}|x.npz {reason}"):
        labels_of(tmp_path, labels)


def test_labels_that_are_not_one_hot_are_found_in_a_later_chunk_too(tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.data.labels.CHUNK_BYTES", 16)
    with pytest.raises(DataError, match=r"label 2 is \[1, 1\]"):
        labels_of(tmp_path, np.array([[1, 0], [0, 1], [1, 1]]))


def test_texts_that_no_character_stands_for_are_refused(tmp_path):
    """numpy loads them, and Python cannot make a text of them."""
    codes = np.array([ord("a"), sys.maxunicode + 1, ord("b")], np.uint32)
    with pytest.raises(DataError, match="labels that are not text"):
        labels_of(tmp_path, codes.view("<U1"))
