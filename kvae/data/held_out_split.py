"""The images of a held-out split as a model gets them: grey bytes, or the split's frozen bits."""

import math

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization
from kvae.data.datasets import Dataset, Split
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
    images = images if _stride(images) == 1 else images[:: _stride(images)]
    if not binarize_images:
        return images
    bits = binarization.binarize(images, binarization.KEYS[split])
    if split == "test" and data.test_bits_sha256 is not None and binarization.sha256(bits) != data.test_bits_sha256:
        raise DataError(
            f"the binarised test images of {data.name} have sha256 {binarization.sha256(bits)[:12]}..., expected "
            f"{data.test_bits_sha256[:12]}...: this numpy draws different bits, so results would not be comparable."
        )
    return bits


def held_out_labels(data: Dataset, split: str) -> NDArray[np.int64] | None:
    """The labels of the images of `held_out`, int64 `(n,)`; None if the data set has none."""
    found: Split = getattr(data, split)
    return None if found.labels is None else found.labels[:: _stride(found.images)]


def _stride(images: NDArray[np.uint8]) -> int:
    return max(1, math.ceil(images.nbytes / MAX_HELD_OUT))
