"""Which arrays of an .npz hold images, and which their labels; some archives hold several splits."""

from pathlib import Path
from typing import NamedTuple

from kvae.data.split_names import IMAGE_NAMES, LABEL_NAMES, of_array
from kvae.errors import DataError
from kvae.files import arrays
from kvae.files.text import printable, shown


class Part(NamedTuple):
    """An array of images in an archive."""

    images: arrays.ArrayFile
    labels: arrays.ArrayFile | None
    split: str | None
    """Its split; None if the archive does not say it."""


def parts(path: Path) -> list[Part]:
    """The images in an archive: one array, or one for each split, as in Keras (`x_train`) and MedMNIST (`test_images`).

    Raises:
        DataError: it cannot be read, there are no images, or it does not say which array is which.
    """
    names = arrays.names_in(path)
    images, labels = (_by_split(path, names, kinds) for kinds in (IMAGE_NAMES, LABEL_NAMES))
    if not images:
        array = arrays.open_array(path, _known(names, IMAGE_NAMES) or ("images",))
        known = [name for name in _known(names, LABEL_NAMES) if name != array.member]
        return [Part(array, arrays.open_array(path, (known[0],)) if known else None, None)]
    told = printable(", ".join(names))
    if _known(names, IMAGE_NAMES):
        raise DataError(f"{shown(str(path))} holds {told}: images with and without a split. Keep one kind.")
    if "train" not in images:
        raise DataError(f"{shown(str(path))} holds {told}, but no training images, such as x_train.")
    return [
        Part(
            arrays.open_array(path, (name,)),
            arrays.open_array(path, (labels[split],)) if split in labels else None,
            split,
        )
        for split, name in images.items()
    ]


def images_of(path: Path) -> arrays.ArrayFile:
    """The one array of images in an archive.

    Raises:
        DataError: it holds several splits, or as for `parts`.
    """
    found = parts(path)
    if len(found) > 1 or found[0].split is not None:
        names = ", ".join(str(part.images.member) for part in found)
        raise DataError(f"{shown(str(path))} holds splits ({names}); save the images that you mean as a .npy.")
    return found[0].images


def _known(names: list[str], kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The arrays that have one of some names, whatever their case, in the order of these names."""
    return tuple(name for kind in kinds for name in names if name.lower() == kind)


def _by_split(path: Path, names: list[str], kinds: tuple[str, ...]) -> dict[str, str]:
    """The array of each split, among those named like `x_train`."""
    found: dict[str, str] = {}
    for name in names:
        split = of_array(name, kinds)
        if split in found:
            raise DataError(f"{shown(str(path))} has two arrays for one split: {printable(f'{found[split]}, {name}')}.")
        if split is not None:
            found[split] = name
    return found
