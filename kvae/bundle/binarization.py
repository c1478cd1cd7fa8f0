"""Images as bits: each pixel is 1 with its grey intensity as the probability, the usual benchmark for binary VAEs.

Training images are binarised again in each epoch (by `kvae.steps.batches`). The images that a model is selected and
reported on are binarised once, here, by a specification: with `w` the 64-bit words of Philox4x64-10 with key `(k, 0)`
and counters 1, 2, ... (as numpy's `Philox(key=k).random_raw` gives them), k = 1 for the validation and 2 for the test
split, pixel i of the split, in C order, is 1 if `(w[i] >> 11) / 2^53 < intensity / 255`. The bits of the test split are
pinned by their sha256.

Reference: Burda, Grosse & Salakhutdinov, Importance Weighted Autoencoders, arXiv 1509.00519 (dynamic binarisation).
"""

import hashlib
import math

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.manifest import Manifest

KEYS = {"validation": 1, "test": 2}
"""The Philox key of each split."""
PATTERN_KEY = 3
"""The Philox key of `binarize_alike`."""
PART = 2**20
"""Pixels drawn at a time, because their random numbers take many times the memory of their bits."""


def binarize(images: NDArray[np.uint8], key: int) -> NDArray[np.uint8]:
    """Draw the bytes 0 or 255 from grey bytes, as the module specifies; the shape is kept."""
    bits = np.empty(images.shape, np.uint8)
    source = np.random.Philox(key=key)
    size = max(1, PART // max(1, math.prod(images.shape[1:])))
    for first in range(0, len(images), size):
        part = images[first : first + size]
        threshold = _uniform(source, part.size).reshape(part.shape)
        bits[first : first + size] = (threshold < part / 255.0) * np.uint8(255)
    return bits


def binarize_alike(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Draw zeros or ones from pixels in [0, 1], with one pattern for all images: a function of the image alone.

    It is for images that a user passes one by one, whose place in a list must not matter. Pixel i of each image uses
    the random number that pixel i of a split has, with the key `PATTERN_KEY`.
    """
    threshold = _uniform(np.random.Philox(key=PATTERN_KEY), math.prod(images.shape[1:])).reshape(images.shape[1:])
    return (threshold < images).astype(np.float32)


def entropy(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The entropy of the bits that are drawn from grey images, in nats per image, `(n,)`.

    It is what -log p is in expectation for a model that knows each pixel's intensity. The -log p of any other is
    higher, by the KL between the two (Gibbs' inequality), so no model's mean NLL is below the mean entropy, but for
    chance in the draw of the bits.
    """
    p = np.arange(256) / 255
    of_byte = -np.array([sum(q * math.log(q) for q in (on, 1 - on) if q > 0) for on in p])
    return np.array([of_byte[image].sum() for image in grey])


def _uniform(source: np.random.Philox, count: int) -> NDArray[np.float64]:
    words = source.random_raw(count)
    uniform: NDArray[np.float64] = (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return uniform


def sha256(images: NDArray[np.uint8]) -> str:
    """The hash of the bytes of images, in C order."""
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def as_encoded(manifest: Manifest, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Images as the model's encoder expects them: binarised, with one pattern for all, if the model is for bits."""
    return binarize_alike(images) if manifest.is_of_bits else images
