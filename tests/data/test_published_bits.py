"""The test bits of a published paper: as its code draws them, pinned, and for their data set alone."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from kvae.bundle import binarization
from kvae.data import datasets, named, published_bits
from kvae.errors import DataError

NAMED = named.get("fashion_mnist")


def as_published(data):
    """The bits of the validation and the test images, by the calls of the paper's code."""
    before = np.random.get_state()
    try:
        np.random.seed(777)
        return [np.random.binomial(1, split.images.astype(np.float32) / 255) for split in (data.validation, data.test)]
    finally:
        np.random.set_state(before)


@pytest.fixture
def small(monkeypatch):
    """The mini set under the name and the hash of the full one, with its own bits pinned."""
    mini = datasets.load("fashion_mnist_mini")
    hashes = [hashlib.sha256(np.packbits(bits).tobytes()).hexdigest() for bits in as_published(mini)]
    monkeypatch.setattr(published_bits, "PACKED_SHA256", dict(zip(("validation", "test"), hashes, strict=True)))
    return replace(mini, name="fashion_mnist", sha256=NAMED.sha256)


def test_bits_are_those_that_the_paper_s_code_draws(small):
    state = np.random.get_state()[1].copy()
    found = published_bits.published_bits(small)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 255}
    np.testing.assert_array_equal(found, 255 * as_published(small)[1])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # no global generator was used
    assert not np.array_equal(found, binarization.binarize(small.test.images, 2))


@pytest.mark.parametrize("split", ["validation", "test"])
def test_bits_that_are_not_the_pinned_ones_are_refused(small, monkeypatch, split):
    monkeypatch.setitem(published_bits.PACKED_SHA256, split, "f" * 64)
    with pytest.raises(DataError, match=f"published {split} bits of fashion_mnist .* expected ffffffffffff..."):
        published_bits.published_bits(small)


@pytest.mark.parametrize(
    ("name", "sha256", "is_of_bits", "message"),
    [
        ("mnist", named.get("mnist").sha256, True, "this is a model of binarised mnist"),
        ("fashion_mnist", "0" * 64, True, "of binarised fashion_mnist, whose images differ"),
        ("fashion_mnist", NAMED.sha256, False, "of unbinarised fashion_mnist"),
    ],
)
def test_models_of_other_images_are_refused(name, sha256, is_of_bits, message):
    with pytest.raises(DataError, match=message):
        published_bits.check_published(name, sha256, is_of_bits)
    published_bits.check_published("fashion_mnist", NAMED.sha256, True)


def test_the_hashes_of_the_paper_s_bits_are_pinned():
    assert published_bits.PACKED_SHA256["test"].startswith("25f0d69b40ae46a7")
    assert published_bits.PACKED_SHA256["validation"].startswith("b869ba8b3c41559f")


@pytest.mark.slow
@pytest.mark.skipif(datasets.where("fashion_mnist") is None, reason="Fashion-MNIST is not on this machine")
def test_the_full_set_has_the_pinned_bits_and_the_known_entropy():
    data = datasets.load("fashion_mnist")
    np.testing.assert_array_equal(published_bits.published_bits(data), 255 * as_published(data)[1])
    p = data.test.images.reshape(10_000, -1) / 255
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.nansum(p * np.log(p) + (1 - p) * np.log1p(-p), axis=1)
    np.testing.assert_allclose(binarization.entropy(data.test.images), entropy, atol=1e-9)
    assert entropy.mean() == pytest.approx(189.86, abs=0.005)
    assert entropy.std(ddof=1) / 100 == pytest.approx(0.72, abs=0.005)
