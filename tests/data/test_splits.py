"""The specification of the splits, computed by hand."""

import hashlib
import struct

import numpy as np
import pytest

from kvae.data import splits


def by_hand(pixels: np.ndarray, seed: int) -> tuple[str, str]:
    """The hash and the split, as the module's docstring specifies them."""
    height, width, channels = pixels.shape
    digest = hashlib.sha256(b"%d %d %d\n" % (height, width, channels) + pixels.tobytes())
    (first,) = struct.unpack(">Q", hashlib.sha256(b"%d\n" % seed + digest.digest()).digest()[:8])
    u = first / 2**64
    return digest.hexdigest(), "train" if u < 0.8 else "validation" if u < 0.9 else "test"


@pytest.mark.parametrize("seed", [0, 1, 2**70])
def test_hash_and_split_follow_the_specification(seed):
    images = np.random.default_rng(0).integers(0, 256, (50, 5, 4, 3), dtype=np.uint8)
    for image in images:
        digest = splits.content_hash(image)
        assert (digest.hex(), splits.split_of(digest, seed)) == by_hand(image, seed)


def test_an_image_s_layout_in_memory_changes_nothing():
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    assert splits.content_hash(np.asfortranarray(image)) == splits.content_hash(image)
    assert splits.content_hash(image.reshape(4, 5, 3)) != splits.content_hash(image)


def test_the_splits_get_eight_one_and_one_tenths():
    """Of 20,000 hashes; four standard errors for a share of 0.1 are 0.0085."""
    found = [splits.split_of(hashlib.sha256(b"%d" % index).digest(), 3) for index in range(20_000)]
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert abs(found.count(split) / len(found) - share) < 0.012


def test_the_hash_of_a_set_ignores_order_but_not_splits_or_repeats():
    one, other = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    found = splits.sha256([(one, "train"), (other, "test")])
    lines = sorted([f"{one.hex()} train\n", f"{other.hex()} test\n"])
    assert found == hashlib.sha256("".join(lines).encode()).hexdigest()
    assert found == splits.sha256([(other, "test"), (one, "train")])
    assert found != splits.sha256([(one, "train"), (other, "train")])
    assert found != splits.sha256([(one, "train"), (other, "test"), (other, "test")])


@pytest.mark.parametrize(
    ("counts", "enough"), [((1, 2, 2), True), ((0, 2, 2), False), ((9, 1, 2), False), ((9, 2, 1), False)]
)
def test_how_many_images_are_enough(counts, enough):
    assert splits.are_enough(dict(zip(splits.SPLITS, counts, strict=True))) is enough
