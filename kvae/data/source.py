"""What a source of images is: images under a path, each with a name and perhaps a label and a split."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from kvae.data.decoding import Content
from kvae.data.labels import Label
from kvae.data.pixels import Header

CHUNK_BYTES = 2**22
"""Bytes of an array that are read at a time."""
Listing = list[tuple[str, int, int]]


class Item(NamedTuple):
    """One image."""

    name: str
    label: Label | None
    content: Content
    split: str | None = None
    """The held-out split that the user put it into; None for a training image, which may yet be held out."""


class Source(Protocol):
    """The images under a path, which can be read several times."""

    path: Path
    kind: str
    """What the path is, in a word or two."""
    listing: Listing
    """Each file's name under the path, its bytes, and when it was written (ns); it changes if the images change."""
    given: frozenset[str]
    """The held-out splits that the user gave, "validation" or "test"; the others are taken from the training images."""
    num_others: int
    """Files of a folder that are ignored because of their names."""
    num_unlabelled: int
    """Pictures of a folder that are not in a sub-folder although others are: then none has a label."""

    @property
    def parts(self) -> "list[Part]":
        """The parts, in order."""
        ...

    def items(self) -> Iterator[Item]:
        """The images, in the order of their names."""
        ...


class Part(Source, Protocol):
    """A source that is not made of others."""

    count: int | None
    """How many images there are; None if that is known only after reading them all."""
    header: Header | None
    """The header that all images share; None if each is a separate picture."""
    image_bytes: int
    """Bytes of memory that an image takes before it is decoded; 0 if it stays in its file."""

    def check_numbers(self) -> None:
        """Raise DataError if the numbers of an array are not in the range of images."""
        ...


def as_given(split: str | None) -> str | None:
    """A split as an item has it: None for the training split, from which others may be taken."""
    return None if split == "train" else split


def held_out(found: Iterable[str]) -> frozenset[str]:
    return frozenset(found) - {"train"}
