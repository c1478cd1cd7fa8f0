"""The bits that a lossless compressor, LZMA, needs for an image: how complex it is, whatever a model was trained on.

LZMA was chosen by measurement, over WebP, zlib and bz2: docs/results.md. It takes any number of channels.
"""

import numpy as np
from numpy.typing import NDArray

from kvae.errors import KvaeError
from kvae.files import pictures


def bits(images: NDArray[np.float32], of_bits: bool = False) -> NDArray[np.float64]:
    """The length of each image's code in bits, `(n,)`, without a header.

    Args:
        images: `(n, height, width, channels)` in [0, 1]; they are rounded to 8-bit levels.
        of_bits: whether every pixel is 0 or 1; then a byte holds eight of them.

    Raises:
        KvaeError: this Python was built without LZMA.
    """
    try:
        import lzma
    except ImportError:
        raise KvaeError("complexity needs Python's module lzma, without which this Python was built.") from None

    filters = [{"id": lzma.FILTER_LZMA2}]
    levels = pictures.to_uint8(images)
    contents = (np.packbits(image > 0) if of_bits else image for image in levels)
    return np.array(
        [8 * len(lzma.compress(one.tobytes(), lzma.FORMAT_RAW, filters=filters)) for one in contents], float
    )
