"""The labels that a user's images come with: the sub-folders that pictures lie in, and the labels in an .npz."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvae.data import archives, classes, labels
from kvae.data.image_files import Part, Picture, Stack
from kvae.data.images import Images
from kvae.errors import DataError


def of_images(images: Images, names: Sequence[str]) -> NDArray[np.int64] | None:
    """The number of each image's class, `(n,)`, those that will be skipped included; None if no image has a label.

    A picture's label is the outermost of the folders that it lies in, below the folder that the user named, whose name
    is one of the classes, or else that folder. An array has those that its .npz has beside it. Names and numbers are
    read as `kvae.data.classes.numbers` reads them.

    Args:
        images: the images.
        names: those of the model's classes.

    Raises:
        DataError: a label is not one of the classes, or only some of the images have one.
    """
    found = [_of_part(part, names) for part in images.parts]
    missing = sum(part.count for part, own in zip(images.parts, found, strict=True) if own is None)
    if missing == images.count:
        return None
    if missing:
        first = next(part for part, own in zip(images.parts, found, strict=True) if own is None)
        raise DataError(
            f"{missing:,} of {images.count:,} images have no label, the first is {first.name(0)}: put each picture "
            f"into a folder named like its class, or give --label."
        )
    return np.concatenate([own for own in found if own is not None])


def _of_part(part: Part, names: Sequence[str]) -> NDArray[np.int64] | None:
    if isinstance(part, Picture):
        return _of_picture(part.path, part.root, names)
    if isinstance(part, Stack) and part.path.suffix.lower() == ".npz":
        array = archives.parts(part.path)[0].labels
        if array is not None:
            read = labels.read(str(part.path), array, part.total)
            return classes.numbers(names, read[part.first : part.first + part.count], part.path, part.first)
    return None


def _of_picture(path: Path, root: Path | None, names: Sequence[str]) -> NDArray[np.int64] | None:
    folders = list(path.relative_to(root).parts[:-1]) if root is not None else []
    known = {name.casefold() for name in names}
    around = (root if root is not None else path.parent).absolute().name
    for folder in [*folders, around]:
        if folder.casefold() in known:
            return classes.numbers(names, [folder], path)
    return classes.numbers(names, folders[-1:], path) if folders else None
