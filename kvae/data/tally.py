"""What is counted while a user's own images are prepared: splits, labels, copies, and facts about their pixels."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.data import splits
from kvae.data.labels import Label


class Skipped(NamedTuple):
    """An image that cannot be used."""

    name: str
    reason: str


class Prepared(NamedTuple):
    """An image that can be used."""

    name: str
    label: Label | None
    pixels: NDArray[np.uint8]
    digest: bytes
    """The content's sha256."""
    split: str


class Facts(NamedTuple):
    """What the choice of a likelihood depends on."""

    has_grey: bool
    """Whether any pixel is neither black nor white."""
    is_rounded: bool
    """Whether the images were floats, which training rounds to 8-bit levels."""


@dataclass
class Tally:
    """What is counted as images are processed."""

    digests: list[tuple[bytes, str]] = field(default_factory=list)
    """The content's hash and the split of each image, in order."""
    labels: list[Label | None] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    num_duplicates: int = 0
    """Images with the same content as an earlier one."""
    num_across: int = 0
    """How many of these are in another split than the first, which only splits that the user gave allow."""
    num_conflicts: int = 0
    """How many of these have another label than the first."""
    has_grey: bool = False
    """Whether any pixel is neither black nor white."""
    brightest: int = 0
    """The highest level of all pixels."""
    _first: dict[bytes, tuple[Label | None, str]] = field(default_factory=dict)

    def add(self, image: Prepared | Skipped) -> None:
        """Count one more image."""
        if isinstance(image, Skipped):
            self.skipped.append(image)
            return
        self.digests.append((image.digest, image.split))
        self.labels.append(image.label)
        self.has_grey = self.has_grey or bool(((image.pixels != 0) & (image.pixels != 255)).any())
        self.brightest = max(self.brightest, int(image.pixels.max()))
        if image.digest in self._first:
            label, split = self._first[image.digest]
            self.num_duplicates += 1
            self.num_across += split != image.split
            self.num_conflicts += label != image.label
        self._first.setdefault(image.digest, (image.label, image.split))

    @property
    def classes(self) -> list[Label]:
        """The sorted labels; empty unless every image has one."""
        found = {label for label in self.labels if label is not None}
        order: dict[Label, tuple[int, str]] = {
            label: (label, "") if isinstance(label, int) else (0, label) for label in found
        }
        return [] if None in self.labels else sorted(found, key=order.__getitem__)

    def count(self) -> dict[str, int]:
        """How many images each split has."""
        found = Counter(split for _, split in self.digests)
        return {split: found[split] for split in splits.SPLITS}


def nearly_black(brightest: int) -> str | None:
    """What is wrong with images whose highest level of 255 is 1: they were bits, and all would be read as black."""
    if brightest != 1:
        return None
    return "all levels are 0 or 1 of 255, which is black; save bits as bool (x > 0), or as levels 0 and 255 (x * 255)"
