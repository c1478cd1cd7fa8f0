"""Images in memory as a stream, like those of files."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.manifest import Manifest
from kvae.data.image_files import fitting
from kvae.data.images import Images
from kvae.errors import KvaeError
from kvae.files import pictures


@dataclass(frozen=True)
class OfArray:
    """The images of an array; a kind of `kvae.data.image_files.Part`."""

    images: NDArray[np.uint8]
    first: int = 0
    path: Path = Path("images")

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.images)

    def name(self, index: int) -> str:
        """What a message calls an image."""
        return f"{self.path}[{self.first + index}]"

    def cut(self, start: int, stop: int) -> "OfArray":
        """Some of them."""
        return OfArray(self.images[start:stop], self.first + start)

    def chunks(self) -> Iterator[NDArray[np.float32]]:
        """The images as floats."""
        size = fitting(4 * math.prod(self.images.shape[1:]))
        for first in range(0, self.count, size):
            yield pictures.to_float32(self.images[first : first + size])


def of_array(manifest: Manifest, images: NDArray[Any]) -> Images:
    """A stream of images `(n, height, width, channels)`, bytes.

    Raises:
        KvaeError: they do not fit the model.
    """
    shape = tuple(manifest.image_shape)
    if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
        raise KvaeError(
            f"images must be bytes (uint8) of shape (n, {', '.join(map(str, shape))}), at least one; got "
            f"{images.dtype} of shape {images.shape}."
        )
    return Images((OfArray(images),), fitting(4 * math.prod(shape)))
