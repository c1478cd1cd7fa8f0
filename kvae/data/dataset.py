"""What a data set is: uint8 images, with their labels, in three splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.data.tally import Facts

PUBLISHED = ("name", "sha256", "num_images", "licence")
"""What a bundle says of the data that its model was trained on; a licence only if it is known."""


def published(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The part that a bundle publishes of what a run records about its data."""
    return {name: recorded[name] for name in PUBLISHED if recorded.get(name) is not None}


@dataclass(frozen=True)
class Split:
    """Images uint8 `(n, height, width, channels)`, and their labels int64 `(n,)` if they have any."""

    images: NDArray[np.uint8]
    """In memory, or an `np.memmap` if they are a user's own and need too much memory."""
    labels: NDArray[np.int64] | None
    """The class of each image, an index of the data set's `class_names`; None where there are no labels."""
    names: Sequence[str] | None = None
    """The names of a user's own images; None in a named data set."""


@dataclass(frozen=True)
class Dataset:
    """A data set with its three splits. Models are fitted on `train`, chosen on `validation`, reported on `test`."""

    name: str
    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    """Empty where there are no labels."""
    licence: str | None
    """None for a user's own images."""
    sha256: str
    test_bits_sha256: str | None = None
    """That of its `Source`."""
    facts: Facts | None = None
    """What the choice of a likelihood depends on; None in a named data set. See `kvae.data.choice`."""
    folder: Path | None = None
    """The folder of the cache that holds a user's own images; see `write_record`."""

    def provenance(self) -> dict[str, Any]:
        """What a bundle says of the data that its model was trained on."""
        found = {"name": self.name, "sha256": self.sha256, "num_images": len(self.train.images)}
        return published(found | {"licence": self.licence})

    @property
    def label_names(self) -> list[str] | None:
        """The names of the classes, in the order of their numbers; None where there are no labels."""
        return list(self.class_names) or None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(height, width, channels)`."""
        _, height, width, channels = self.train.images.shape
        return height, width, channels
