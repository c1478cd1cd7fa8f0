"""The data that a bundle was trained on, found again from what its manifest and its run say."""

import json
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.manifest import Manifest
from kvae.config import TrainConfig
from kvae.data import datasets
from kvae.data.held_out_split import held_out
from kvae.errors import DataError
from kvae.runs.layout import CONFIG

OWN_SETTINGS = ("image_size", "grayscale", "alpha", "levels", "split_seed", "max_bad")
"""The settings that make a data set of a user's images."""


def data_of(manifest: Manifest, data_dir: Path | None = None, own: Path | None = None) -> datasets.Dataset:
    """The data set that a bundle was trained on.

    Args:
        manifest: the bundle's.
        data_dir: where the files of a named data set are; see `kvae.data.datasets.load`.
        own: where the images of a user's own are; see `own_images`.

    Raises:
        DataError: the images are not to be had, or not the same any more.
    """
    name, sha256 = manifest.dataset["name"], manifest.dataset["sha256"]
    source = datasets.SOURCES.get(name)
    if own is not None and source is not None and source.sha256 == sha256:
        raise DataError(
            f"the model was trained on {name}: --data is for models of images of one's own. kvae score takes any."
        )
    if own is not None:
        settings = {key: manifest.training[key] for key in OWN_SETTINGS if key in manifest.training}
        data = datasets.of(TrainConfig(dataset=name, data=str(own), **settings))
        if data.sha256 != sha256:
            raise DataError(
                f"the images in {own} are not those that the model was trained on (sha256 {data.sha256[:12]}..., "
                f"expected {sha256[:12]}...): some were changed, added or taken away."
            )
        return data
    if source is None:
        raise DataError(
            f"the model was trained on '{name}', images of somebody's own, and the run that knows where they are is "
            f"not beside it. Name them by --data."
        )
    if source.sha256 != sha256:  # before anything is downloaded
        raise DataError(
            f"the model was trained on another {name} (sha256 {sha256[:12]}...) than kvae has "
            f"({source.sha256[:12]}...). Name them by --data, if they are images of your own."
        )
    return datasets.load(name, data_dir)


def own_images(bundle: Path) -> Path | None:
    """Where the run that a bundle stands in says its images are; None for a named data set, or without a run.

    Args:
        bundle: a bundle folder, or a graph in one.

    Raises:
        DataError: they are there no more.
    """
    folder = bundle.resolve().parent if bundle.is_file() else bundle.resolve()
    try:
        config = json.loads((folder.parent / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    path = config.get("data") if isinstance(config, dict) else None
    if not isinstance(path, str):
        return None
    if not os.path.lexists(path):
        raise DataError(
            f"the images that {folder.parent} was trained on are not in {path} any more. Name them by --data."
        )
    return Path(path)


def test_images(manifest: Manifest, data_dir: Path | None = None, own: Path | None = None) -> NDArray[np.uint8]:
    """The test images of `data_of` a bundle, binarised if the model is one of bits."""
    return held_out(data_of(manifest, data_dir, own), "test", manifest.is_of_bits)
