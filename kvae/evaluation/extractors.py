"""Networks whose features of images are compared: the shipped classifier, a user's graph, or the model's encoder."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.data import Dataset, named
from kvae.errors import BundleError, KvaeError
from kvae.files import shipped
from kvae.files.in_memory import InMemory
from kvae.files.text import printable
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Labels
from kvae.runtime.latents import Floats
from kvae.runtime.sessions import Graph, start_session
from kvae.runtime.sources import digest

SHIPPED = "fashion_mnist.onnx"
"""The shipped classifier's file, which `scripts/make_fashion_mnist_features.py` makes."""
SHIPPED_SHA256 = "275e3d060d21a22749e49aa818a193f415ee923209869fd296a2e707252ad62e"
SHIPPED_FOR = ("fashion_mnist", "fashion_mnist_mini")
"""The data sets of the images that it was trained on the likes of."""
FEATURES = "features"
CLASSES = ("class_probabilities", "logits")
"""Outputs, one number per class, of which the largest says what an image is of."""
MAX_FEATURES = 2048
BATCH_SIZE = 256
"""Images per call of onnxruntime."""


class Computed(NamedTuple):
    """What a network says about images."""

    features: Floats
    """`(n, num_features)`."""
    scores: Floats | None
    """One number per class, `(n, num_classes)`, the largest for what the image is of; None without classes."""


@dataclass(frozen=True)
class Extractor:
    """A network that describes images by numbers, in whose space they are compared."""

    kind: str
    """"classifier", "feature" (for a user's graph) or "code" (for the model's own encoder)."""
    about: str
    """What the network is, in words."""
    sha256: str | None
    """The hash of its graph; None for the model's own encoder, whose numbers are not comparable between models."""
    compute: Callable[[Floats, Labels | None], Computed] = field(repr=False)
    """From images `(n, height, width, channels)` in [0, 1], and their labels if the model has labels."""
    class_names: tuple[str, ...] = ()
    """The names of its classes, if they are known."""


def choose(bundle: Bundle, data: Dataset, path: str | PathLike[str] | None = None) -> Extractor:
    """The network to compare a model's samples by.

    Args:
        bundle: the model.
        data: the data set that it was trained on.
        path: an ONNX file with one input, float32 images `(batch, height, width, channels)` in [0, 1], an output
            `features`, `(batch, num_features)`, and perhaps `class_probabilities` or `logits`, `(batch, num_classes)`.
            By default the shipped classifier if the data set is one of `SHIPPED_FOR`, else the model's own encoder.

    Raises:
        BundleError: the file cannot be read, is refused by `kvae.bundle.onnx_scan`, or is not such a graph; or the
            model has no encoder.
    """
    if path is not None:
        return _of_graph(Path(path), "feature", f"features of {path}", data, bundle.device)
    return shipped_for(data, bundle.device) or _of_encoder(bundle)


def shipped_for(data: Dataset, device: str = "cpu") -> Extractor | None:
    """The shipped classifier, if it was trained on images like those of a data set; else None.

    Raises:
        BundleError: its file was changed.
    """
    if data.sha256 not in {named.get(name).sha256 for name in SHIPPED_FOR}:
        return None
    folder = shipped.folder("kvae", "evaluation", "features")
    try:
        content = (folder / SHIPPED).read_bytes() if folder is not None else b""
    except OSError as error:
        raise BundleError(f"cannot read {folder and folder / SHIPPED}: {error.strerror}. Install kvae again.") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHIPPED_SHA256:
        raise BundleError(
            f"the shipped classifier {SHIPPED} has sha256 {found[:12]}..., expected {SHIPPED_SHA256[:12]}...: it was "
            f"changed. Install kvae again."
        )
    about = "features of a small classifier of Fashion-MNIST that comes with kvae"
    return _of_graph(InMemory(SHIPPED, "kvae", content), "classifier", about, data, device)


def _of_graph(graph: Graph, kind: str, about: str, data: Dataset, device: str) -> Extractor:
    session = start_session(graph, device, threads=0)
    classes = _check_ends(graph, session, data.image_shape)
    wanted = [FEATURES] + ([classes] if classes else [])
    given = session.get_inputs()[0].name

    def compute(images: Floats, labels: Labels | None = None) -> Computed:
        parts = [_run(graph, session, wanted, {given: images[first : first + BATCH_SIZE]}) for first in _firsts(images)]
        features, *others = (np.concatenate(outputs) for outputs in zip(*parts, strict=True))
        return Computed(features, others[0] if others else None)

    return Extractor(kind, about, digest(graph), compute, data.class_names if classes else ())


def _check_ends(graph: Graph, session: Any, image_shape: tuple[int, ...]) -> str | None:
    """Raise BundleError if a graph does not take such images and compute features; returns its output of classes."""
    inputs, outputs = session.get_inputs(), {end.name: end for end in session.get_outputs()}
    if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != 4:
        found = ", ".join(f"{end.name}, {end.type} {end.shape}" for end in inputs) or "none"
        raise BundleError(
            f"{graph} must have one input, float32 images (batch, height, width, channels); its inputs are: "
            f"{printable(found)}."
        )
    batch, *shape = inputs[0].shape
    if any(isinstance(size, int) and size != needed for size, needed in zip(shape, image_shape, strict=True)):
        takes, needs = (" x ".join(map(str, sizes)) for sizes in (shape, image_shape))
        raise BundleError(f"{graph} takes images of {printable(takes)}, but the model's are {needs}.")
    if isinstance(batch, int):
        raise BundleError(f"{graph} takes batches of {batch} images alone; export it with a batch of any size.")
    if FEATURES not in outputs:
        raise BundleError(f"{graph} has no output named {FEATURES}; it has {printable(', '.join(outputs))}.")
    classes = next((name for name in CLASSES if name in outputs), None)
    for name in [FEATURES] + ([classes] if classes else []):
        if outputs[name].type != "tensor(float)" or len(outputs[name].shape) != 2:
            raise BundleError(
                f"{graph}: the output {name} must be float32 of shape (batch, numbers); it is {outputs[name].type} "
                f"{printable(outputs[name].shape)}."
            )
    return classes


def _run(graph: Graph, session: Any, wanted: list[str], inputs: dict[str, Floats]) -> list[NDArray[Any]]:
    try:
        found: list[NDArray[Any]] = session.run(wanted, inputs)
    except Exception as error:  # onnxruntime's exceptions share no narrower base
        raise BundleError(f"onnxruntime cannot run {graph}: {printable(error)}") from None
    count = len(next(iter(inputs.values())))
    for name, values in zip(wanted, found, strict=True):
        if values.ndim != 2 or len(values) != count or not 1 <= values.shape[1] <= MAX_FEATURES:
            raise BundleError(
                f"{graph}: the output {name} must have 1 to {MAX_FEATURES} numbers for each image; of {count} images "
                f"it has shape {values.shape}."
            )
    return found


def _of_encoder(bundle: Bundle) -> Extractor:
    def compute(images: Floats, labels: Labels | None = None) -> Computed:
        return Computed(bundle.encode(images, labels).loc, None)

    about = (
        "posterior means of the model's own encoder, because kvae has no classifier of these images: not comparable "
        "between models; for that, give a network of features"
    )
    return Extractor("code", about, None, compute)


def _firsts(images: Floats) -> range:
    return range(0, len(images), BATCH_SIZE)


def check_finite(features: Floats, what: str, extractor: Extractor) -> None:
    """Raise KvaeError if a feature is not a finite number."""
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise KvaeError(
            f"{extractor.about}: of {len(bad):,} of {len(features):,} {what} they are not finite numbers, so that "
            f"nothing can be measured."
        )
