"""The labels of images that are read from files, and "best", the label with the highest ELBO."""

import numpy as np
from numpy.typing import NDArray

from kvae.data.images import Images
from kvae.runtime import scoring
from kvae.runtime.class_labels import BEST, Label, Labels, is_best, resolve
from kvae.runtime.model import Model


def of_images(model: Model, images: NDArray[np.float32], label: Label | None) -> Labels | None:
    """`resolve` for these images, `(n, height, width, channels)` as the encoder takes them; `label` may be `BEST`."""
    if is_best(model.manifest, label):
        return scoring.score(model, images, *scoring.recorded_settings(model.manifest), label=BEST).label
    return resolve(model.manifest, label, len(images))


class OfStream:
    """The labels of a stream of images, batch by batch, whichever images are skipped.

    Args:
        model: the model.
        images: the stream.
        label: one label for all, `BEST`, or one for each image, those that will be skipped included.

    Raises:
        KvaeError: as `resolve`.
    """

    def __init__(self, model: Model, images: Images, label: Label | None) -> None:
        self._model = model
        self._best = is_best(model.manifest, label)
        self._labels = None if self._best else resolve(model.manifest, label, images.count)
        self._positions = Positions(images)

    def of_batch(self, names: list[str], pixels: NDArray[np.float32]) -> Labels | None:
        """The labels of the next batch of the stream: its images' names, and the images as the encoder takes them."""
        if self._best:
            return of_images(self._model, pixels, BEST)
        return None if self._labels is None else self._labels[self._positions.of(names)]


class Positions:
    """Where in a stream its images are, batch by batch, whichever images are skipped.

    Args:
        images: the stream.
    """

    def __init__(self, images: Images) -> None:
        self._names = (part.name(index) for part in images.parts for index in range(part.count))
        self._next = 0

    def of(self, names: list[str]) -> list[int]:
        """The positions of the next batch of the stream, from its images' names."""
        return [self._position(name) for name in names]

    def _position(self, name: str) -> int:
        """Where in the stream the image of this name is; those before it that were not asked for were skipped."""
        for other in self._names:
            self._next += 1
            if other == name:
                break
        return self._next - 1
