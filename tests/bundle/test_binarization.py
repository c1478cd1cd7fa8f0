"""Binarised images: the specification, word by word, and the hashes of the frozen bits."""

import dataclasses
import hashlib
import tracemalloc

import numpy as np
import pytest
from philox import philox  # in Python integers

from kvae.bundle import binarization
from kvae.bundle.binarization import binarize
from kvae.data import datasets, held_out_split, named
from kvae.data.datasets import Dataset, Split
from kvae.data.held_out_split import held_out
from kvae.errors import DataError


@pytest.fixture(scope="module")
def mini():
    return datasets.load("fashion_mnist_mini")


def small_dataset(**changes):
    rng = np.random.default_rng(0)
    splits = {
        name: Split(rng.integers(0, 256, (3, 4, 4, 1), dtype=np.uint8), np.zeros(3, np.uint8))
        for name in ("train", "validation", "test")
    }
    return Dataset(name="small", class_names=("a",), licence="mit", sha256="0" * 64, **splits, **changes)


@pytest.mark.parametrize("key", [1, 2])
def test_bits_follow_the_specification(key):
    """In Python integers: pixel i is 1 if (w[i] >> 11) / 2^53 < intensity / 255, where w are the words of Philox."""
    images = np.random.default_rng(3).integers(0, 256, (3, 5, 4, 2), dtype=np.uint8)
    words = [word for counter in range(1, 31) for word in philox(counter, key)]
    expected = [
        255 if (word >> 11) * 255 < int(pixel) << 53 else 0 for word, pixel in zip(words, images.flat, strict=True)
    ]
    found = binarize(images, key)
    assert (found.dtype, found.shape) == (np.uint8, images.shape)
    assert found.ravel().tolist() == expected
    assert set(expected) == {0, 255}


def test_black_is_always_0_and_white_always_255():
    for key in (1, 2):
        assert not binarize(np.zeros((100, 10, 10, 1), np.uint8), key).any()
        assert (binarize(np.full((100, 10, 10, 1), 255, np.uint8), key) == 255).all()


def test_a_pixel_is_1_with_its_intensity_as_the_probability():
    """With 20,000 draws of each of three greys, within 5 standard errors."""
    images = np.tile(np.uint8([1, 100, 254]), (20_000, 1))
    intensity = images[0] / 255
    share = (binarize(images, 1) == 255).mean(axis=0)
    assert np.all(np.abs(share - intensity) < 5 * np.sqrt(intensity * (1 - intensity) / 20_000))


def test_a_non_contiguous_view_has_the_bits_of_its_c_order():
    images = np.random.default_rng(0).integers(0, 256, (4, 6, 6, 1), dtype=np.uint8)
    view = images[:, ::2, ::-1]
    np.testing.assert_array_equal(binarize(view, 2), binarize(view.copy(), 2))
    assert binarization.sha256(view) == binarization.sha256(view.copy())


def test_parts_have_the_bits_of_the_whole(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 4, 3), dtype=np.uint8)
    whole = binarize(images, 2)
    for size in (1, 130, 419):  # less than one image, two images, and all but one
        monkeypatch.setattr(binarization, "PART", size)
        np.testing.assert_array_equal(binarize(images, 2), whole)


def test_memory_is_that_of_the_bits_and_one_part(tmp_path, monkeypatch):
    """For 2 MB of images that are mapped from the disk."""
    monkeypatch.setattr(binarization, "PART", 2**12)
    images = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (2000, 32, 32, 1))
    tracemalloc.start()
    try:
        bits = binarize(images, 2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        binarization.sha256(bits)
        hashing = tracemalloc.get_traced_memory()[1] - tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert peak < images.nbytes + 500_000
    assert hashing < 100_000


def test_the_hash_is_that_of_the_bytes():
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    assert binarization.sha256(images) == hashlib.sha256(bytes(range(12))).hexdigest()


def test_the_mini_set_s_frozen_bits_are_pinned(mini):
    bits = held_out(mini, "test", True)
    digest = "738129dc79c9661d739039b0dcbd7e6181dad4ead0a1024ca3ba38881309e7ce"
    assert hashlib.sha256(bits.tobytes()).hexdigest() == digest == mini.test_bits_sha256
    np.testing.assert_array_equal(bits, binarize(mini.test.images, 2))


def test_the_full_set_s_hash_is_pinned():
    """The results in docs/results.md were measured on these bits."""
    digest = "5a9877a0a97d088a030417e52548c32331d4f91f9d45f0098c2157a9edeabbbd"
    assert named.get("fashion_mnist").test_bits_sha256 == digest


def test_validation_has_bits_of_its_own(mini):
    bits = held_out(mini, "validation", True)
    np.testing.assert_array_equal(bits, binarize(mini.validation.images, 1))
    assert not np.array_equal(binarize(mini.validation.images, 2), bits)


def test_models_of_grey_images_get_grey_images(mini):
    for split in ("validation", "test"):
        assert held_out(mini, split, False) is getattr(mini, split).images


def test_other_bits_than_the_pinned_ones_are_refused(mini):
    other = dataclasses.replace(mini, test_bits_sha256="f" * 64)
    with pytest.raises(DataError, match="have sha256 738129dc79c9..., expected ffffffffffff..."):
        held_out(other, "test", True)
    assert len(held_out(other, "validation", True)) == 500
    assert len(held_out(other, "test", False)) == 500


def test_a_data_set_without_a_pinned_hash_is_binarised_too():
    data = small_dataset()
    np.testing.assert_array_equal(held_out(data, "test", True), binarize(data.test.images, 2))


def test_the_pattern_is_the_same_for_all_images_and_leaves_bits_alone():
    """By the specification, word by word; an image's bits do not depend on its place."""
    images = np.random.default_rng(0).random((3, 4, 5, 1), dtype=np.float32)
    words = np.random.Philox(key=3).random_raw(20).tolist()
    threshold = np.array([(word >> 11) / 2**53 for word in words]).reshape(4, 5, 1)
    found = binarization.binarize_alike(images)
    np.testing.assert_array_equal(found, np.stack([threshold < image for image in images]))
    np.testing.assert_array_equal(binarization.binarize_alike(images[2:]), found[2:])
    np.testing.assert_array_equal(binarization.binarize_alike(found), found)


def test_a_pixel_of_intensity_p_is_one_with_probability_p():
    flat = np.full((1, 100, 100, 1), 0.3, np.float32)
    assert abs(binarization.binarize_alike(flat).mean() - 0.3) < 3 * np.sqrt(0.3 * 0.7 / 10_000)


@pytest.mark.parametrize("binarize_images", [False, True])
def test_a_split_that_is_too_large_is_sampled_evenly(mini, monkeypatch, binarize_images):
    """500 test images in the space of 200: every third one is kept."""
    monkeypatch.setattr(held_out_split, "MAX_HELD_OUT", 200 * 784)
    data = dataclasses.replace(mini, test_bits_sha256=None)
    found = held_out(data, "test", binarize_images)
    expected = data.test.images[::3]
    assert found.shape == (167, 28, 28, 1)
    np.testing.assert_array_equal(found, binarize(expected, 2) if binarize_images else expected)


def test_the_entropy_is_that_of_independent_pixels():
    """By hand: 1 and 0 are certain, 51/255 is one in five. Draws from the images have it as their mean -log p."""
    images = np.array([[0, 255, 51, 255], [51, 51, 51, 0]], np.uint8).reshape(2, 2, 2, 1)
    one = -(0.2 * np.log(0.2) + 0.8 * np.log(0.8))
    np.testing.assert_allclose(binarization.entropy(images), [one, 3 * one], rtol=1e-12)
    grey = np.random.default_rng(0).integers(1, 255, (1, 10, 10, 1), dtype=np.uint8)
    bits = binarize(np.repeat(grey, 20_000, axis=0), 2) == 255
    p = grey / 255
    costs = -np.where(bits, np.log(p), np.log(1 - p)).sum(axis=(1, 2, 3))
    assert abs(costs.mean() - binarization.entropy(grey)[0]) < 5 * costs.std() / np.sqrt(20_000)
