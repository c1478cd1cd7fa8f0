"""The bits that a lossless compressor needs for an image: how complex it is, whatever a model was trained on.

WebP was chosen by measurement, over PNG, zlib, bz2 and LZMA: docs/results.md. An array that is not a picture, as it has
neither 1 nor 3 channels, is left to zlib.
"""

import io
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvae.files import pictures

PICTURE_CHANNELS = (1, 3)


def bits(images: NDArray[np.float32], of_bits: bool = False) -> NDArray[np.float64]:
    """The length of each image's code in bits, `(n,)`, with the compressor's header, which is the same for all.

    Args:
        images: `(n, height, width, channels)` in [0, 1]; they are rounded to 8-bit levels.
        of_bits: whether every pixel is 0 or 1.
    """
    return np.array([8 * _size(image, of_bits) for image in pictures.to_uint8(images)], np.float64)


def _size(image: NDArray[np.uint8], of_bits: bool) -> int:
    if image.shape[-1] not in PICTURE_CHANNELS:
        return len(zlib.compress(np.packbits(image > 0).tobytes() if of_bits else image.tobytes(), 9))
    encoded = io.BytesIO()
    grey = image if image.shape[-1] == 3 else image.repeat(3, axis=-1)  # equal channels cost WebP nothing
    Image.fromarray(grey).save(encoded, "WEBP", lossless=True, quality=100)
    return encoded.getbuffer().nbytes
