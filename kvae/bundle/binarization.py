"""Images as bits: each pixel 1 with its grey intensity as the probability, the usual test bed of binary VAEs.

Training images are binarised anew each epoch (by `kvae.training.fitting`). What a model is chosen by and reported on is
binarised once, here, by a specification: with `w` the 64-bit words of Philox4x64-10 with key `(k, 0)` and counters
1, 2, ... (as numpy's `Philox(key=k).random_raw` gives them), k = 1 for the validation and 2 for the test split, pixel i
of the split, in C order, is 1 where `(w[i] >> 11) / 2^53 < intensity / 255`. The bits of the test split are pinned by
their sha256.

Reference: Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519 (dynamic binarisation).
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from kvae.data.datasets import Dataset
from kvae.errors import DataError

KEYS = {"validation": 1, "test": 2}
"""The key of a split's random words."""
PATTERN_KEY = 3
"""The key of `binarize_alike`."""
PART = 2**20
"""Pixels that are drawn at a time: their random numbers take many times the memory of their bits."""

MAX_HELD_OUT = 2**27
"""Bytes of a held-out split beyond which not all of its images are taken: to measure them takes several times that."""


def binarize(images: NDArray[np.uint8], key: int) -> NDArray[np.uint8]:
    """Bytes 0 and 255 in place of grey bytes, drawn as the module says; the shape is kept."""
    bits = np.empty(images.shape, np.uint8)
    source = np.random.Philox(key=key)
    size = max(1, PART // max(1, math.prod(images.shape[1:])))
    for first in range(0, len(images), size):
        part = images[first : first + size]
        threshold = _uniform(source, part.size).reshape(part.shape)
        bits[first : first + size] = (threshold < part / 255.0) * np.uint8(255)
    return bits


def binarize_alike(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Zeros and ones in place of pixels in [0, 1], by one pattern for all images: a function of the image alone.

    It is for a user's single images, whose place in a list must not matter; pixel i of each takes the random number
    that a split's pixel i has, with the key `PATTERN_KEY`.
    """
    threshold = _uniform(np.random.Philox(key=PATTERN_KEY), math.prod(images.shape[1:])).reshape(images.shape[1:])
    return (threshold < images).astype(np.float32)


def _uniform(source: np.random.Philox, count: int) -> NDArray[np.float64]:
    words = source.random_raw(count)
    uniform: NDArray[np.float64] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform


def sha256(images: NDArray[np.uint8]) -> str:
    """The hash of images: of their bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def held_out(data: Dataset, split: str, binarize_images: bool) -> NDArray[np.uint8]:
    """The images of a held-out split as a model meets them: grey bytes, or the split's frozen bits as bytes 0 and 255.

    Of a split that is larger than `MAX_HELD_OUT` every second image is taken, or every third, ..., so that a data set
    that is larger than the memory can be trained on; no named one is.

    Args:
        data: the data set.
        split: "validation" or "test".
        binarize_images: whether the model is one of bits.

    Raises:
        DataError: the test split's bits are not the pinned ones.
    """
    images: NDArray[np.uint8] = getattr(data, split).images
    images = images[:: math.ceil(images.nbytes / MAX_HELD_OUT)] if images.nbytes > MAX_HELD_OUT else images
    if not binarize_images:
        return images
    bits = binarize(images, KEYS[split])
    if split == "test" and data.test_bits_sha256 is not None and sha256(bits) != data.test_bits_sha256:
        raise DataError(
            f"the binarised test images of {data.name} have sha256 {sha256(bits)[:12]}..., expected "
            f"{data.test_bits_sha256[:12]}...: this numpy draws other bits, and its numbers could not be compared."
        )
    return bits
