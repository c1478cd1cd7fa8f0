"""`--label`: the class of the images that a conditional model draws or is shown."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kvae.cli import complete, terminal
from kvae.errors import KvaeError
from kvae.files.reading import Reading

GIVEN = (
    "For a conditional model: the label of all IMAGES, by name or number; or best, for each the one with the highest "
    "ELBO. [default: their own, from folders named like the classes or the labels in an .npz]"
)


def label_option(text: str = GIVEN) -> Any:
    """The option --label."""
    return click.option("--label", metavar="LABEL", shell_complete=complete.labels, help=text)


def of_images(bundle: Any, images: Any, label: str | None, whole: bool = True) -> Any:
    """The labels of these images, as the functions of `kvae.runtime` take them; None for a model without labels.

    Args:
        bundle: the model.
        images: the images, from `kvae.data.images.open_for`.
        label: what --label says.
        whole: whether no pixel of them is missing, as "best" needs it.

    Raises:
        KvaeError: neither --label nor the images themselves say it, or they name no class of the model.
    """
    from kvae.runtime import class_labels

    if not whole and class_labels.is_best(bundle.manifest, label):
        raise KvaeError("--label best needs whole images, and these have missing pixels: name their class.")
    if label is not None or bundle.labels is None:
        return checked(bundle, label)
    from kvae.data import image_labels

    found = image_labels.of_images(images, bundle.labels)
    if found is None:
        best = "or --label best, " if whole else ""
        raise KvaeError(
            f"this model is conditional, and these images say no label: give --label NAME for all of them, {best}or "
            f"put them into folders named like the classes. {_known(bundle.labels)}"
        )
    return found


def of_files(bundle: Any, paths: Sequence[Path], resize: bool, reading: Reading, label: str | None) -> Any:
    """The same for images that are read elsewhere."""
    if label is not None or bundle.labels is None:
        return checked(bundle, label)
    from kvae.data.images import open_for

    return of_images(bundle, open_for(bundle.manifest, paths, resize, reading), None)


def of_names(bundle: Any, names: Sequence[str] | None, label: str | None) -> Any:
    """The labels of a data set's images: --label, or else the names of their classes; None for a model without labels.

    Raises:
        KvaeError: the images have no labels, or they name no class of the model.
    """
    if bundle.labels is None or label is not None:
        return checked(bundle, label)
    if names is None:
        return required(bundle, None)
    from kvae.data import classes

    return classes.numbers(bundle.labels, names, "the test images", 0)


def checked(bundle: Any, label: str | None) -> str | None:
    """--label as it was given, if it is a class of the model, or best; None if it was not.

    Raises:
        KvaeError: it is not, or the model has no labels.
    """
    from kvae.runtime import class_labels

    if class_labels.is_best(bundle.manifest, label):
        _tell_of_namesake(bundle, class_labels.BEST)
    else:
        _check(bundle, label)
    return label


def required(bundle: Any, label: str | None) -> str | None:
    """The same, if there is nothing else from which the label could be known.

    Raises:
        KvaeError: the model has labels, and none was given.
    """
    if label is None and bundle.labels is not None:
        raise KvaeError(f"this model is conditional: give --label NAME. {_known(bundle.labels)}")
    from kvae.runtime import class_labels

    if not class_labels.is_best(bundle.manifest, label):
        _check(bundle, label)
    return label


def is_all(bundle: Any, label: str | None) -> bool:
    """Whether --label means every class: this word always does, if the model has labels."""
    from kvae.runtime.class_labels import ALL

    if label != ALL or bundle.labels is None:
        return False
    _tell_of_namesake(bundle, ALL)
    return True


def about_numbers(bundle: Any) -> str | None:
    """What labels mean for the numbers of a conditional model; None for others."""
    if bundle.labels is None:
        return None
    return (
        "elbo is a lower bound on log p(x|y), given each image's label y; kvae evaluate also estimates log p(x) = "
        "log sum_y p(y) p(x|y)"
    )


def _check(bundle: Any, label: str | None) -> None:
    """Raise KvaeError if --label is given, but not a class of the model."""
    from kvae.runtime import class_labels

    if label is not None:
        class_labels.resolve(bundle.manifest, label, 1)


def _tell_of_namesake(bundle: Any, word: str) -> None:
    """Say how to give the class that has the name of a choice, if there is one."""
    if word in bundle.labels:
        terminal.tell(
            f"note: --label {word} is a choice, not the class of this name; --label {word.capitalize()}, or its number "
            f"{bundle.labels.index(word)}, is the class"
        )


def _known(names: Sequence[str]) -> str:
    from kvae.files.text import printable

    return f"Labels: {', '.join(map(printable, names[:10]))}{', ...' * (len(names) > 10)}."
