"""The images of a held-out split as a model meets them: grey bytes, or the split's frozen bits."""

import math

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization
from kvae.data.datasets import Dataset
from kvae.errors import DataError

MAX_HELD_OUT = 2**27
"""Bytes of a held-out split beyond which not all of its images are taken: to measure them takes several times that."""


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
    bits = binarization.binarize(images, binarization.KEYS[split])
    if split == "test" and data.test_bits_sha256 is not None and binarization.sha256(bits) != data.test_bits_sha256:
        raise DataError(
            f"the binarised test images of {data.name} have sha256 {binarization.sha256(bits)[:12]}..., expected "
            f"{data.test_bits_sha256[:12]}...: this numpy draws other bits, and its numbers could not be compared."
        )
    return bits
