"""Labels by name and number, for one image or each, and one clear line for whatever is not one."""

import numpy as np
import pytest
from gaussian_family import LABEL_PROBS, manifest

from kvae.errors import KvaeError
from kvae.runtime import class_labels
from kvae.runtime.class_labels import all_of, is_best, probs, resolve

KNOWN = manifest("labels")


@pytest.mark.parametrize("label", [1, "1", "Ankle boot", "ankle BOOT", np.int64(1), np.array(1), np.uint8(1)])
def test_a_label_is_a_name_or_a_number(label):
    found = resolve(KNOWN, label, 3)
    np.testing.assert_array_equal(found, [1, 1, 1])
    assert found.dtype == np.int64


def test_there_may_be_one_label_for_each_image():
    for given in ([0, 1, 0], ["left shoe", "ankle boot", "left shoe"], ["0", "Ankle boot", "0"], np.uint8([0, 1, 0]),
                  [0, "Ankle boot", 0], np.array(["left shoe", "Ankle boot", "left shoe"])):  # fmt: skip
        np.testing.assert_array_equal(resolve(KNOWN, given, 3), [0, 1, 0])


def test_one_label_for_a_million_images_takes_no_memory():
    assert resolve(KNOWN, 1, 1_000_000).strides == (0,)


def test_a_name_comes_before_a_number():
    digits = manifest("labels", labels=["3", "0"])
    assert [int(resolve(digits, label, 1)[0]) for label in ("0", "3", 0, 1)] == [1, 0, 0, 1]


def test_a_number_that_is_no_name_is_refused_if_names_are_numbers():
    with pytest.raises(KvaeError, match="label '1' is unknown. Labels: 3, 0"):
        resolve(manifest("labels", labels=["3", "0"]), "1", 1)


def test_names_that_differ_only_in_case_must_be_exact():
    twins = manifest("labels", labels=["Boot", "boot"])
    assert [int(resolve(twins, label, 1)[0]) for label in ("Boot", "boot")] == [0, 1]
    with pytest.raises(KvaeError, match="'BOOT' is unknown"):
        resolve(twins, "BOOT", 1)


BAD = {
    "label 2 is out of range: labels are numbered from 0 to 1": 2,
    "label -1 is out of range": -1,
    "label 99999999999999999999 is out of range": "99999999999999999999999",
    "label 7 of image 1 is out of range": [0, 7, 1],
    "'ankle boots' is unknown. Did you mean Ankle boot\\? Labels: left shoe, Ankle boot": "ankle boots",
    "'shoe' of image 1 is unknown. Did you mean left shoe": ["left shoe", "shoe", "0"],
    "'shoe' of image 0 is unknown": ["shoe", "left shoe", "shoe"],
    "label 2 of image 2 is out of range": [1.0, 0.0, 2.0],
    "'x y' is unknown": "x\ny",
    "'best' is unknown. best is a choice only for images that are read, all only for kvae sample. Labels": "best",
    "'all' is unknown. best is a choice only": "all",
    "one for each of the 3 images; got shape \\(2,\\)": [0, 1],
    "got shape \\(3, 1\\)": [[0], [1], [0]],
    "name or the number of a class; got 0.5": 0.5,
    "name or the number of a class; got 0.5 of image 1": [1.0, 0.5, 1.0],
    "name or the number of a class; got nan": float("nan"),
    "name or the number of a class; got inf of image 2": [0.0, 1.0, np.inf],
    "the label is True, but no class is named True": True,
    "the label of image 1 is True, but": np.array([0, True, "left shoe"], object),
    "the label of image 0 is False, but": np.array([False, True, False]),
    "name or the number of a class; got None of image 0": [None, 0, 1],
    "this model is conditional: it needs the images' labels. Labels: left shoe, Ankle boot": None,
}


@pytest.mark.parametrize("message", BAD)
def test_whatever_is_not_a_label_is_one_line(message):
    with pytest.raises(KvaeError, match=message) as caught:
        resolve(KNOWN, BAD[message], 3)
    assert "\n" not in str(caught.value)


def test_a_model_without_labels_takes_none():
    without = manifest("mixture")
    assert resolve(without, None, 3) is None
    for call in (lambda: resolve(without, 0, 3), lambda: all_of(without, 3)):
        with pytest.raises(KvaeError, match="this model has no labels"):
            call()


def test_a_thousand_labels_are_not_all_listed():
    many = manifest("labels", labels=[f"class {number}" for number in range(1000)])
    with pytest.raises(KvaeError, match="\\(1,000 in all\\)") as caught:
        resolve(many, None, 3)
    assert len(str(caught.value)) < 300


def test_all_is_each_class_in_turn():
    np.testing.assert_array_equal(all_of(KNOWN, 3), [0, 0, 0, 1, 1, 1])


def test_best_is_always_a_choice_and_a_class_of_this_name_is_given_in_other_words():
    assert is_best(KNOWN, "best")
    assert not is_best(KNOWN, 1) and not is_best(KNOWN, ["best"]) and not is_best(manifest("mixture"), "best")
    best = manifest("labels", labels=["good", class_labels.BEST])
    assert is_best(best, "best")
    for label in ("Best", "BEST", 1, "1", "best"):  # the last where it is no choice
        assert int(resolve(best, label, 1)[0]) == 1
        assert label == "best" or not is_best(best, label)


def test_whole_floats_are_numbers_and_bools_are_the_classes_of_these_names():
    """As `kvae.data.labels` reads them in files."""
    np.testing.assert_array_equal(resolve(KNOWN, [1.0, 0.0, 1.0], 3), [1, 0, 1])
    np.testing.assert_array_equal(resolve(KNOWN, 1.0, 2), [1, 1])
    both = manifest("labels", labels=["True", "false"])
    for given in (np.array([True, False, True]), [True, False, True], np.array([True, "False", 0], object)):
        found = resolve(both, given, 3)
        np.testing.assert_array_equal(found, [0, 1, 0])
        assert found.dtype == np.int64


def test_the_weights_are_the_shares_of_the_labels():
    np.testing.assert_allclose(probs(KNOWN), LABEL_PROBS, rtol=1e-15)
