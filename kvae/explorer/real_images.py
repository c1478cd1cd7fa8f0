"""Real test images for the explorer: a dozen to click, and where many of them have their codes.

They come from a data set whose licence is known, never from a user's own images, and only from what is on this machine.
"""

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.config import DATASETS
from kvae.data import datasets
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.files import pictures
from kvae.runtime.bundle import Bundle

SHIPPED = {"fashion_mnist": "fashion_mnist_mini"}
"""Where the test images of a data set come from instead, if a part of its test split is shipped with kvae."""
NUM_IMAGES = 12
NUM_CODES = 400


def of(bundle: Bundle) -> dict[str, Any] | None:
    """What the page's `model/examples.json` holds; None if there are no such images for this model.

    Returns:
        `images` (bytes of all of them in a row, in base64), their `labels` (numbers, or null) and `codes` (the means of
        their posteriors, at noise 0 in a model with groups); `source` and `licence` of the images; the `names` of the
        classes; and the `map`: `points` and `labels` of many more images on the plane through `centre` with the
        orthonormal `axes` along which their codes differ most (principal components).
    """
    name = str(bundle.manifest.dataset.get("name"))
    name = SHIPPED.get(name, name)
    if "encoder" not in bundle.graphs or name not in DATASETS or datasets.where(name) is None:
        return None
    data = datasets.load(name)
    if data.licence is None or data.image_shape != tuple(bundle.manifest.image_shape):
        return None
    labels = held_out_labels(data, "test")
    if bundle.manifest.labels is not None and (labels is None or bundle.manifest.labels != list(data.class_names)):
        return None
    images = held_out(data, "test", bundle.manifest.binarize == "dynamic")[:NUM_CODES]
    labels = None if labels is None else labels[:NUM_CODES]
    chosen = _one_of_each(labels, len(images))
    given = None if bundle.manifest.labels is None else labels
    codes = bundle.encode(pictures.to_float32(images), given).loc.astype(np.float64)
    return {
        "images": base64.b64encode(images[chosen].tobytes()).decode(),
        "labels": None if labels is None else labels[chosen].tolist(),
        "codes": _short(codes[chosen]),
        "source": name,
        "licence": data.licence,
        "names": list(data.class_names),
        "map": None if codes.shape[1] < 2 else _map(codes, labels),
    }


def _one_of_each(labels: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
    """The first image of each class, then the second of each, until there are enough."""
    if labels is None:
        return np.arange(min(NUM_IMAGES, count))
    turn = np.array([np.sum(labels[:index] == label) for index, label in enumerate(labels)])
    return np.lexsort((labels, turn))[:NUM_IMAGES]


def _map(codes: NDArray[np.float64], labels: NDArray[np.int64] | None) -> dict[str, Any]:
    centre = codes.mean(axis=0)
    _, _, directions = np.linalg.svd(codes - centre, full_matrices=False)
    axes = directions[:2]
    return {
        "centre": _short(centre),
        "axes": _short(axes),
        "points": _short((codes - centre) @ axes.T, 4),
        "labels": None if labels is None else labels.tolist(),
    }


def _short(values: NDArray[np.float64], digits: int = 9) -> list[Any]:
    """The values as JSON: by default so many digits as a float32 has."""
    rounded = np.array([float(f"{value:.{digits}g}") for value in values.ravel()])
    return list(rounded.reshape(values.shape).tolist())
