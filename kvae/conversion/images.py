"""The images that a conversion calibrates and compares on, binarised if the model's images are."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization
from kvae.bundle.manifest import Manifest
from kvae.data.held_out_split import held_out
from kvae.errors import KvaeError
from kvae.evaluation.data import data_of
from kvae.files import pictures

NUM_COMPARED = 1000
"""Test images to compare on, or as many as there are."""
NUM_CALIBRATION = 1000
"""Training images that determine int8's ranges; half as many give the same result within the noise."""


class Images(NamedTuple):
    """The images to calibrate and to compare on, both uint8 `(n, height, width, channels)`, n at least 2."""

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]


def of_data_set(manifest: Manifest, data_dir: Path | None, own: Path | None, beside: Mapping[str, str]) -> Images:
    """The images of the data set that the model was trained on; see `kvae.evaluation.data.data_of`."""
    data = data_of(manifest, data_dir, own, beside)
    return Images(data.train.images, held_out(data, "test", manifest.is_of_bits))


def as_met(manifest: Manifest, images: Images) -> Images:
    """As many images as are needed, binarised (unless they already are) if the model is one of binarised images."""

    def of_part(name: str, array: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        if array.dtype != np.uint8 or array.shape[1:] != tuple(manifest.image_shape) or len(array) < 2:
            shape = ", ".join(["n", *map(str, manifest.image_shape)])
            raise KvaeError(f"{name} images must be uint8 ({shape}), n at least 2; got {array.dtype} {array.shape}.")
        if manifest.is_of_bits:
            return (255 * binarization.binarize_alike(pictures.to_float32(array[:count]))).astype(np.uint8)
        return array[:count]

    return Images(of_part("train", images.train, NUM_CALIBRATION), of_part("test", images.test, NUM_COMPARED))
