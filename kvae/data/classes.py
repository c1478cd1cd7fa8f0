"""The classes of a data set's images: whether a conditional model can be trained on them, and labels as numbers."""

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.fields import CHECKS, MAX_ENTRIES, MAX_LABEL
from kvae.data.dataset import Dataset
from kvae.data.labels import Label
from kvae.data.source import Source
from kvae.errors import DataError
from kvae.families import suggestion
from kvae.files.text import printable, shown

logger = logging.getLogger(__name__)

SHOWN = 5
"""Maximum number of wrong classes that a message names."""
NAMED = 10
"""Maximum number of names in a list of all classes."""
HOW = "sort the pictures into sub-folders, one per class, or save labels beside the images in an .npz (images, labels)"


def check(data: Dataset, source: Source | None = None) -> None:
    """Refuse a data set that no conditional model can be trained on; the log tells the classes.

    Args:
        data: the data set.
        source: where a user's own images come from.

    Raises:
        DataError: there are no labels, or only for some images; more than `kvae.bundle.fields.MAX_ENTRIES` classes;
            names that a bundle does not allow; or a class without training images.
    """
    check_labelled(data.name, data.label_names is not None and data.train.labels is not None, source)
    names = data.label_names or []
    _check_names(data.name, names)
    counts = label_counts(data)
    missing = [names[index] for index in np.flatnonzero(counts == 0)]
    if missing:
        raise DataError(
            f"{data.name}: no training image has the label {_told(missing)}, which only held-out images have, so "
            f"p(x|y) cannot be learned for it. Add images of it, remove those there are, or try another --split-seed."
        )
    logger.info("%s: classes %s", data.name, describe(data))
    single = [names[index] for index in np.flatnonzero(counts == 1)]
    if single:
        logger.warning("warning: %s: only one training image has the label %s", data.name, _told(single))


def check_labelled(dataset: str, has_labels: bool, source: Source | None = None) -> None:
    """Refuse images of which some, or all, have no label.

    Args:
        dataset: the name of the data set.
        has_labels: whether it has labels.
        source: where a user's own images come from.

    Raises:
        DataError: the message says how to label them.
    """
    if source is not None and source.num_unlabelled:
        raise DataError(
            f"{shown(str(source.path))}: {source.num_unlabelled:,} images have no label, though others have one. "
            f"A conditional model needs one for each: {HOW}; or leave out --conditional."
        )
    if not has_labels:
        where = dataset if source is None else shown(str(source.path))
        raise DataError(f"{where}: the images have no labels. For --conditional, {HOW}; or leave out --conditional.")


def _check_names(dataset: str, names: Sequence[str]) -> None:
    if len(names) > MAX_ENTRIES:
        raise DataError(
            f"{dataset}: the images have {len(names):,} different labels; a conditional model has at most "
            f"{MAX_ENTRIES:,} classes. Are they the images' names, or numbers to regress on?"
        )
    fits, _ = CHECKS["labels"]
    wrong = next((name for name in names if not fits([name])), None)
    if wrong is not None:
        raise DataError(
            f"{dataset}: '{printable(wrong, 60)}' cannot be the name of a class: expected 1 to {MAX_LABEL} characters "
            f"in one line."
        )
    if len(set(names)) < len(names):
        double = next(name for index, name in enumerate(names) if name in names[:index])
        raise DataError(f"{dataset}: the label {double} is an integer for some images and a text for others. Keep one.")


def num_labels(data: Dataset, conditional: bool) -> int | None:
    """The number of classes of a conditional model of these images; None for a model without labels."""
    return len(data.label_names or []) if conditional else None


def label_counts(data: Dataset) -> NDArray[np.int64]:
    """How many training images each class has, `(classes,)`; for a data set that `check` accepts."""
    return np.bincount(np.asarray(data.train.labels), minlength=len(data.label_names or [])).astype(np.int64)


def about(data: Dataset) -> dict[str, Any]:
    """What a run of a conditional model records about the labels, beside the images' own hash."""
    digest = hashlib.sha256("\n".join(data.label_names or []).encode())
    for split in (data.train, data.validation, data.test):
        digest.update(np.asarray(split.labels, "<i8").tobytes())
    counts = dict(zip(data.label_names or [], label_counts(data).tolist(), strict=True))
    return {"label_counts": counts, "labels_sha256": digest.hexdigest()}


def check_same(data: Dataset, recorded: dict[str, Any], run: object) -> None:
    """Raise DataError if the labels are not those that a run recorded."""
    before, now = recorded.get("labels_sha256"), about(data)["labels_sha256"]
    if before != now:
        raise DataError(
            f"the labels of {data.name} differ from those that {run} began with: sha256 {now[:12]}..., expected "
            f"{str(before)[:12]}.... Restore them, or start a new run."
        )


def describe(data: Dataset) -> str:
    """The classes as text for people: how many there are, and how many training images they have."""
    names, counts = data.label_names or [], label_counts(data)
    fewest, most = int(counts.min()), int(counts.max())
    each = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
    return f"{listed(names)} ({each} training images each)"


def listed(names: Sequence[str]) -> str:
    """How many classes there are, and the names of the first ones."""
    return f"{len(names):,}: {', '.join(map(shown, names[:NAMED]))}{', ...' * (len(names) > NAMED)}"


def numbers(
    names: Sequence[str], labels: Sequence[Label], source: object, first: int | None = None
) -> NDArray[np.int64]:
    """Labels of images, as they were read, as the numbers of a model's classes, `(n,)`.

    A label is looked up among the names, an integer as its digits; upper and lower case do not matter if only one name
    fits. Integers that are no names are the numbers of classes, unless names are integers too.

    Args:
        names: those of the model's classes.
        labels: the label of each image.
        source: where they come from, for the message.
        first: the row of the first label in an array, so that the message names the row of a wrong one.

    Raises:
        DataError: a label is not one of the classes; the message has its row and the nearest name.
    """
    exact = {name: index for index, name in enumerate(names)}
    folded: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        folded.setdefault(name.casefold(), []).append(index)

    are_integers = any(name.lstrip("-").isdecimal() for name in names)

    def number(label: Label) -> int:
        text = str(label)
        if text in exact:
            return exact[text]
        if len(alike := folded.get(text.casefold(), [])) == 1:
            return alike[0]
        if isinstance(label, int) and not are_integers and 0 <= label < len(names):
            return label
        near = suggestion(text, list(names))
        which = f"'{printable(text, 60)}'"
        if first is not None:
            which = f"of row {first + list(labels).index(label):,}, {which},"
        raise DataError(f"{source}: the label {which} is none of the model's classes.{near} Classes: {listed(names)}.")

    known = {label: number(label) for label in dict.fromkeys(labels)}
    return np.array([known[label] for label in labels], np.int64)


def _told(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:SHOWN])) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")
