"""The pictures on a bundle's card, drawn by the bundle itself."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.folder import PREVIEW, RECONSTRUCTIONS
from kvae.files import pictures
from kvae.runtime import class_labels
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import BEST, Label
from kvae.runtime.latents import Floats

NUM_SAMPLES = 64
NUM_RECONSTRUCTED = 32
PER_CLASS = 8
"""Samples in the row of each class, for a model with labels."""
MAX_CLASSES = 32
"""Maximum number of rows: the first classes have one."""


def samples(bundle: Bundle) -> tuple[Floats, int]:
    """The images of a grid of samples, `(n, height, width, channels)`, and how many there are in a row.

    A model with labels gets a row for each class.
    """
    if bundle.labels is None:
        return bundle.sample(NUM_SAMPLES), math.ceil(math.sqrt(NUM_SAMPLES))
    labels = class_labels.all_of(bundle.manifest, PER_CLASS)[: PER_CLASS * MAX_CLASSES]
    return bundle.sample(len(labels), label=labels), PER_CLASS


def draw_pictures(
    bundle: Bundle, images: NDArray[np.uint8] | None, folder: Path, labels: Label | None = None
) -> list[str]:
    """Draw the pictures of the model card: samples, and images with their reconstructions.

    Nothing is drawn for a model of tables, or whose images are neither grey nor RGB.

    Args:
        bundle: the model.
        images: uint8 `(n, height, width, channels)` as the encoder expects them; some are reconstructed. May be None.
        folder: where to write.
        labels: the labels of the images, if the model has labels; by default, for each that with the highest ELBO.

    Returns:
        The names of the files drawn.
    """
    shape = bundle.manifest.image_shape
    if shape[-1] not in (1, 3) or pictures.is_table(shape):
        return []
    pictures.save(pictures.grid(*samples(bundle)), folder / PREVIEW)
    if images is None:
        return [PREVIEW]
    originals = pictures.to_float32(images[:NUM_RECONSTRUCTED])
    if bundle.labels is not None:
        labels = BEST if labels is None else class_labels.resolve(bundle.manifest, labels, len(images))
        labels = labels if isinstance(labels, str) or labels is None else labels[:NUM_RECONSTRUCTED]
    picture = pictures.reconstructions(originals, bundle.reconstruct(originals, labels), columns=16)
    pictures.save(picture, folder / RECONSTRUCTIONS)
    return [PREVIEW, RECONSTRUCTIONS]
