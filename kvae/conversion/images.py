"""The images that a conversion calibrates and compares on, binarised if the model's images are, and their labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization
from kvae.bundle.manifest import Manifest
from kvae.data import classes
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.errors import KvaeError
from kvae.evaluation.data import data_of
from kvae.files import pictures

NUM_COMPARED = 1000
"""Test images to compare on, or as many as there are."""
NUM_CALIBRATION = 1000
"""Training images that determine int8's ranges; half as many give the same result within the noise."""


class Images(NamedTuple):
    """The images to calibrate and to compare on, both uint8 `(n, height, width, channels)`, n at least 2.

    A model with labels needs those of the images, integers `(n,)`.
    """

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]
    train_labels: NDArray[Any] | None = None
    test_labels: NDArray[Any] | None = None


def of_data_set(manifest: Manifest, data_dir: Path | None, own: Path | None, beside: Mapping[str, str]) -> Images:
    """The images of the data set that the model was trained on; see `kvae.evaluation.data.data_of`."""
    data = data_of(manifest, data_dir, own, beside)
    test = held_out(data, "test", manifest.is_of_bits)
    if manifest.labels is None:
        return Images(data.train.images, test)
    numbers = classes.numbers(manifest.labels, data.class_names, data.name)  # the model's, of the data set's classes
    labels = [None if given is None else numbers[given] for given in (data.train.labels, held_out_labels(data, "test"))]
    return Images(data.train.images, test, *labels)


def as_met(manifest: Manifest, images: Images) -> Images:
    """As many images as are needed, binarised (unless they already are) if the model is one of binarised images."""

    def of_part(name: str, array: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        if array.dtype != np.uint8 or array.shape[1:] != tuple(manifest.image_shape) or len(array) < 2:
            shape = ", ".join(["n", *map(str, manifest.image_shape)])
            raise KvaeError(f"{name} images must be uint8 ({shape}), n at least 2; got {array.dtype} {array.shape}.")
        if manifest.is_of_bits:
            return (255 * binarization.binarize_alike(pictures.to_float32(array[:count]))).astype(np.uint8)
        return array[:count]

    def labels_of(name: str, array: NDArray[np.uint8], labels: NDArray[Any] | None, count: int) -> Any:
        if manifest.labels is None:
            return None
        if labels is None or np.asarray(labels).shape != (len(array),):
            found = "none" if labels is None else f"shape {np.asarray(labels).shape}"
            raise KvaeError(
                f"the model has labels: it needs one for each of the {len(array)} {name} images; got {found}."
            )
        return np.asarray(labels)[:count].astype(np.int64)

    return Images(
        of_part("train", images.train, NUM_CALIBRATION),
        of_part("test", images.test, NUM_COMPARED),
        labels_of("train", images.train, images.train_labels, NUM_CALIBRATION),
        labels_of("test", images.test, images.test_labels, NUM_COMPARED),
    )
