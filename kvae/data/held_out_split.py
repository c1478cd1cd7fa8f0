"""The images of a held-out split as a model gets them: grey bytes, or the split's frozen bits."""

import math

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization
from kvae.data.datasets import Dataset
from kvae.errors import DataError

MAX_HELD_OUT = 2**27
"""Maximum size of a held-out split in bytes; of a larger one only some images are used, because measuring takes several
times as much memory."""


def held_out(data: Dataset, split: str, binarize_images: bool) -> NDArray[np.uint8]:
    """The images of a held-out split as a model gets them: grey bytes, or the split's frozen bits as bytes 0 and 255.

    If a split is larger than `MAX_HELD_OUT`, every second image is used, or every third, ..., so that a data set that
    is larger than the memory can be trained on; no named data set is that large.

    Args:
        data: the data set.
        split: "validation" or "test".
        binarize_images: whether the model is for bits.

    Raises:
        DataError: the bits of the test split differ from the pinned ones.
    """
    images: NDArray[np.uint8] = getattr(data, split).images
    images = images[:: math.ceil(images.nbytes / MAX_HELD_OUT)] if images.nbytes > MAX_HELD_OUT else images
    if not binarize_images:
        return images
    bits = binarization.binarize(images, binarization.KEYS[split])
    if split == "test" and data.test_bits_sha256 is not None and binarization.sha256(bits) != data.test_bits_sha256:
        raise DataError(
            f"the binarised test images of {data.name} have sha256 {binarization.sha256(bits)[:12]}..., expected "
            f"{data.test_bits_sha256[:12]}...: this numpy draws different bits, so results would not be comparable."
        )
    return bits
