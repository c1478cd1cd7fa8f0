"""The pictures on a bundle's card, drawn by the bundle itself."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.folder import PREVIEW, RECONSTRUCTIONS
from kvae.files import pictures
from kvae.runtime.bundle import Bundle

NUM_SAMPLES = 64
NUM_RECONSTRUCTED = 32


def draw_pictures(bundle: Bundle, images: NDArray[np.uint8] | None, folder: Path, labels: Any = None) -> list[str]:
    """Draw the pictures of the model card: samples, and images with their reconstructions.

    Nothing is drawn for a model of tables, or whose images are neither grey nor RGB.

    Args:
        bundle: the model.
        images: uint8 `(n, height, width, channels)` as the encoder expects them; some are reconstructed. May be None.
        folder: where to write.

    Returns:
        The names of the files drawn.
    """
    if bundle.manifest.format_version > 1:
        return []
    shape = bundle.manifest.image_shape
    if shape[-1] not in (1, 3) or pictures.is_table(shape):
        return []
    pictures.save(pictures.grid(bundle.sample(NUM_SAMPLES)), folder / PREVIEW)
    if images is None:
        return [PREVIEW]
    originals = pictures.to_float32(images[:NUM_RECONSTRUCTED])
    picture = pictures.reconstructions(originals, bundle.reconstruct(originals), columns=16)
    pictures.save(picture, folder / RECONSTRUCTIONS)
    return [PREVIEW, RECONSTRUCTIONS]
