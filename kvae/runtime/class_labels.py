"""Labels y of images: as a person gives them, by name or number, and as the graphs take them, int64 `(n,)`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.manifest import Manifest
from kvae.errors import KvaeError
from kvae.files.text import printable

Label = int | str | Sequence[int | str] | NDArray[Any]
"""One label for all images, by number or name, or one for each image."""
Labels = NDArray[np.int64]
BEST = "best"
"""In place of a label, where images are read: for each image, the label with the highest ELBO. A class of this name is
given by its number, or as "Best"."""
ALL = "all"
"""In place of a label, in `kvae sample`: every class. A class of this name is given like one named `BEST`."""
RESERVED = f" {BEST} is a choice only for images that are read, {ALL} only for kvae sample."
SHOWN = 10
"""Maximum number of labels in a message."""


def resolve(manifest: Manifest, label: Label | None, n: int) -> Labels | None:
    """The labels of `n` images as the graphs take them; None for a model without labels.

    A text is first looked up among the names, exactly, then without regard to upper and lower case; a text that is not
    a name, but a number, is the number of a class, from 0, unless a name is a number too. An integer always is, and a
    float that is a whole number. A bool is the class named False or True.

    Args:
        manifest: the model's.
        label: one label for all, or one for each of them. One label takes no memory per image.
        n: number of images.

    Raises:
        KvaeError: the model has labels and none is given, or the other way round; a label is not one of the model's,
            in which case the message says which image's it is; or the number of labels is not `n`.
    """
    names = manifest.labels
    if names is None:
        if label is not None:
            raise KvaeError("this model has no labels: it was not trained with --conditional. Leave the label out.")
        return None
    if label is None:
        raise KvaeError(f"this model is conditional: it needs the images' labels. {_known(names)}")
    given = label if isinstance(label, str) else np.asarray(label)
    if isinstance(given, str) or given.ndim == 0:
        return np.broadcast_to(np.int64(_number(names, given if isinstance(given, str) else given.item())), (n,))
    if given.shape != (n,):
        raise KvaeError(f"label must be one label, or one for each of the {n:,} images; got shape {given.shape}.")
    if given.dtype.kind in "iuf":
        wrong = np.flatnonzero(~((given >= 0) & (given < len(names)) & (given == np.rint(given))))
        if wrong.size:
            _number(names, given[wrong[0]].item(), wrong[0])
        return np.ascontiguousarray(given, np.int64)
    if given.dtype.kind in "USb":
        kinds, first, inverse = np.unique(given, return_index=True, return_inverse=True)
        items = kinds.astype(str) if given.dtype.kind in "US" else kinds
        numbers = [_number(names, item, row) for item, row in zip(items.tolist(), first, strict=True)]
        return np.array(numbers, np.int64)[inverse]
    return np.array([_number(names, item, row) for row, item in enumerate(given.tolist())], np.int64)


def is_best(manifest: Manifest, label: Label | None) -> bool:
    """Whether a label means `BEST`: this word always does, if the model has labels."""
    return isinstance(label, str) and label == BEST and manifest.labels is not None


def all_of(manifest: Manifest, count: int) -> Labels:
    """Labels for `count` images of every class, one class after the other, `(classes * count,)`.

    Raises:
        KvaeError: the model has no labels.
    """
    if manifest.labels is None:
        raise KvaeError("this model has no labels: it was not trained with --conditional. Leave the label out.")
    return np.repeat(np.arange(len(manifest.labels), dtype=np.int64), count)


def probs(manifest: Manifest) -> NDArray[np.float64]:
    """p(y): the share of each label among the training images, `(classes,)`, of a model that has labels."""
    return np.diff(np.array([0, *(manifest.label_weights or [])], np.float64)) * 2.0**-53


def _number(names: list[str], label: Any, row: Any = None) -> int:
    """The number of one label; an error names the image, number `row`."""
    of_row = "" if row is None else f" of image {row:,}"
    if isinstance(label, bool):
        alike = [index for index, name in enumerate(names) if name.casefold() == str(label).casefold()]
        if len(alike) != 1:
            raise KvaeError(
                f"the label{of_row} is {label}, but no class is named {label}: give the name or the number of a class, "
                f"such as an integer for each image. {_known(names)}"
            )
        return alike[0]
    if isinstance(label, str):
        if label in names:
            return names.index(label)
        alike = [index for index, name in enumerate(names) if name.casefold() == label.casefold()]
        if len(alike) == 1:
            return alike[0]
        if not _is_number(label) or any(map(_is_number, names)):
            from kvae.families import suggestion  # needed only for this error

            near = RESERVED if label in (BEST, ALL) else suggestion(label, names)
            raise KvaeError(f"label '{printable(label, 100)}'{of_row} is unknown.{near} {_known(names)}")
        label = int(label[:20])
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if not isinstance(label, int):
        raise KvaeError(f"a label is the name or the number of a class; got {printable(repr(label), 100)}{of_row}.")
    if not 0 <= label < len(names):
        raise KvaeError(f"label {label}{of_row} is out of range: labels are numbered from 0 to {len(names) - 1}.")
    return label


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _known(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:SHOWN]))
    return f"Labels: {shown}." if len(names) <= SHOWN else f"Labels: {shown}, ... ({len(names):,} in all)."
