"""Finds the data that a bundle was trained on, from its manifest and its run."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.manifest import Manifest
from kvae.config import DATASETS, PATHS, TrainConfig
from kvae.data import datasets, named
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.data.published_bits import check_published, published_bits
from kvae.errors import DataError, KvaeError
from kvae.runs import files as run_files
from kvae.runs.layout import CONFIG

OWN_SETTINGS = ("image_size", "grayscale", "alpha", "levels", "split_seed", "max_bad")
"""The settings that define a data set of the user's own images."""
OWN_SPLITS = PATHS[1:]
"""The settings that are paths of further images of it."""
BITS = {"kvae": "kvae's frozen bits", "published": "the bits of arXiv 2209.15514"}
"""Which bits the test images of a model of binarised images can be, and how a heading says so; see
`kvae.bundle.binarization` and `kvae.data.published_bits`."""


def data_of(
    manifest: Manifest,
    data_dir: Path | None = None,
    own: Path | None = None,
    beside: Mapping[str, str] = MappingProxyType({}),
) -> datasets.Dataset:
    """The data set that a bundle was trained on.

    Args:
        manifest: the bundle's manifest.
        data_dir: where the files of a named data set are; see `kvae.data.datasets.load`.
        own: where the user's own images are; see `own_images`.
        beside: where those of splits of their own are; see `own_splits`.

    Raises:
        DataError: the images cannot be loaded, or have changed.
    """
    name, sha256 = manifest.dataset["name"], manifest.dataset["sha256"]
    source = named.get(name) if name in DATASETS else None
    if own is not None and source is not None and source.sha256 == sha256:
        raise DataError(
            f"the model was trained on {name}: --data is only for models trained on your own images. kvae score takes "
            f"any images."
        )
    if own is not None:
        settings = {key: manifest.training[key] for key in OWN_SETTINGS if key in manifest.training} | dict(beside)
        data = datasets.of(TrainConfig(dataset=name, data=str(own), **settings))
        if data.sha256 != sha256:
            lacking = [key for key in OWN_SPLITS if manifest.training.get(key) is not None and key not in beside]
            why = f" It had {' and '.join(lacking)} too, whose paths only its run records." if lacking else ""
            raise DataError(
                f"the images in {own} differ from those that the model was trained on (sha256 {data.sha256[:12]}..., "
                f"expected {sha256[:12]}...): some were changed, added or removed.{why}"
            )
        return data
    if source is None:
        raise DataError(
            f"the model was trained on '{name}', which is not a built-in data set, and the bundle is not in its run, "
            f"which records where the images are. Give their location with --data."
        )
    if source.sha256 != sha256:  # before anything is downloaded
        raise DataError(
            f"the model was trained on a different {name} (sha256 {sha256[:12]}...) from kvae's "
            f"({source.sha256[:12]}...). If they are your own images, give their location with --data."
        )
    return datasets.load(name, data_dir)


def own_images(bundle: Path) -> Path | None:
    """Where a bundle's run says its images are; None for a named data set, or if the bundle is not in a run.

    Args:
        bundle: a bundle folder, or a graph in one.

    Raises:
        DataError: they are no longer there.
    """
    run, config = _config_around(bundle)
    path = config.get("data")
    if not isinstance(path, str):
        return None
    if not os.path.lexists(path):
        raise DataError(
            f"the images that {run} was trained on are no longer in {path}. Give their location with --data."
        )
    return Path(path)


def own_splits(bundle: Path) -> dict[str, str]:
    """Where a bundle's run says its validation and test images are, by setting, if they have paths of their own.

    Args:
        bundle: a bundle folder, or a graph in one.
    """
    _, config = _config_around(bundle)
    return {name: config[name] for name in OWN_SPLITS if isinstance(config.get(name), str)}


def own_paths(bundle: Path) -> list[Path]:
    """Everything that a bundle's run says the user's own images were read from, whether or not it is still there.

    Args:
        bundle: a bundle folder, or a graph in one.
    """
    _, config = _config_around(bundle)
    return [Path(config[name]) for name in PATHS if isinstance(config.get(name), str)]


def _config_around(bundle: Path) -> tuple[Path, dict[str, Any]]:
    """The run that a bundle lies in, and its settings, which are empty if it is not in a run."""
    run = (bundle.resolve().parent if bundle.is_file() else bundle.resolve()).parent
    try:
        config = run_files.read_json(run / CONFIG)
    except KvaeError:  # whatever lies next to a bundle need not be a run
        return run, {}
    return run, config if isinstance(config, dict) else {}


class TestImages(NamedTuple):
    """The images that a model is evaluated on."""

    images: NDArray[np.uint8]
    """`(n, height, width, channels)`; bytes 0 and 255 for a model of binarised images."""
    labels: list[str] | None
    """The name of each one's class, if the data set has labels."""
    grey: NDArray[np.uint8] | None
    """The grey images from which the bits were drawn, if the model is of binarised images."""


def test_images(
    manifest: Manifest,
    data_dir: Path | None = None,
    own: Path | None = None,
    beside: Mapping[str, str] = MappingProxyType({}),
) -> NDArray[np.uint8]:
    """The test images of `data_of` a bundle, binarised if the model is one of binarised images.

    Raises:
        DataError: as `data_of`; or the images do not have the shape that the model takes.
    """
    return labelled_test_images(manifest, data_dir, own, beside).images


def labelled_test_images(
    manifest: Manifest,
    data_dir: Path | None = None,
    own: Path | None = None,
    beside: Mapping[str, str] = MappingProxyType({}),
    bits: str = "kvae",
) -> TestImages:
    """`test_images`, with what is known of them.

    Args:
        manifest: the bundle's manifest.
        data_dir: as for `data_of`.
        own: likewise.
        beside: likewise.
        bits: which bits binarised images are: a key of `BITS`.

    Raises:
        DataError: as `test_images`; or there are no published bits for the model.
    """
    if bits == "published":  # before anything is read
        check_published(manifest.dataset["name"], manifest.dataset["sha256"], manifest.is_of_bits)
    data = data_of(manifest, data_dir, own, beside)
    grey, labels = held_out(data, "test", False), held_out_labels(data, "test")
    if list(grey.shape[1:]) != manifest.image_shape:
        shapes = [" x ".join(map(str, shape)) for shape in (manifest.image_shape, grey.shape[1:])]
        raise DataError(
            f"the model takes images of {shapes[0]}, but those of {manifest.dataset['name']}, on which it says that it "
            f"was trained, are {shapes[1]}."
        )
    names = None if labels is None else [data.class_names[label] for label in labels.tolist()]
    if not manifest.is_of_bits:
        return TestImages(grey, names, None)
    return TestImages(published_bits(data) if bits == "published" else held_out(data, "test", True), names, grey)
