"""Loads a model from a `.keras` file from any source: runs nothing in it, and reports a bad file in one line."""

import json
import math
import zipfile
from pathlib import Path
from typing import Any

import keras

from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.model.vae import VAE
from kvae.runs import layout
from kvae.steps import backend
from kvae.steps.keras_private import flat_layers

MAX_EXPANSION = 20
"""How many times its size a file may unpack to. Keras does not compress; its own limit applies only from 4 GB."""


def load(path: Path) -> VAE:
    """The model in a file that `model.save` wrote.

    Keras's safe mode is on: it rejects Python code in the file (a Lambda layer) and any class that is not from Keras or
    kvae or registered by the program. Keras 3.15, which kvae requires, also rejects weights stored in another file. The
    older `.h5` files, which Keras reads with older code, are never passed to it. Layers described as larger than their
    weights are rejected before they are created.

    Raises:
        KvaeError: the file is of another kind, or damaged, or does not hold a VAE.
    """
    if path.suffix != ".keras":
        raise KvaeError(f"cannot load {path}: expected a .keras file, as Keras 3 saves a model.")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
            if unpacked > MAX_EXPANSION * path.stat().st_size:
                raise ValueError(f"it would unpack to {unpacked:,} bytes")
            weights = archive.getinfo("model.weights.h5").file_size // 4
            if (largest := _largest_layer(json.loads(archive.read("config.json")))) > weights:
                raise ValueError(f"it describes a layer of {largest:,} weights, but holds at most {weights:,}")
        with backend.plain_settings():
            model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:  # errors in zip, JSON, HDF5 and the layers' own code have no common base
        cause = str(error).rpartition("Exception encountered: ")[2]  # before this, Keras lists all the model's settings
        raise KvaeError(f"cannot load {path}: {printable(cause) or type(error).__name__}") from None
    if not isinstance(model, VAE):
        raise KvaeError(f"cannot load {path}: it holds a {type(model).__name__}; expected a kvae VAE.")
    return model


def load_model(run: Path) -> Any:
    """The best model of a run, or the model in a .keras file, set to compute in float32 whatever it was trained in.

    Raises:
        KvaeError: the run has no model, or it cannot be read.
    """
    path = run if run.is_file() else run / layout.MODEL
    if not path.is_file():
        raise KvaeError(f"{run} has no {layout.MODEL}.")
    model = load(path)
    for layer in flat_layers(model):
        layer.dtype_policy = "float32"
    return model


def _largest_layer(described: Any) -> int:
    """The least number of weights in the largest layer of a model's config: one per input and output."""
    if isinstance(described, list):
        return max(map(_largest_layer, described), default=0)
    if not isinstance(described, dict):
        return 0
    layer = described.get("config")
    own = 0
    if isinstance(layer, dict):
        inputs = (described.get("build_config") or {}).get("input_shape") or [1]
        width = next(
            (layer[name] for name in ("units", "filters", "latent_dim") if isinstance(layer.get(name), int)), 0
        )
        groups = layer.get("groups", 1)
        own = (
            abs(width)
            * (inputs[-1] if isinstance(inputs[-1], int) else 1)
            // (groups if isinstance(groups, int) else 1)
        )
        if isinstance(components := layer.get("num_components"), int):  # of a prior: codes, or images
            sizes = layer.get("image_shape") or [width]
            own = abs(components * math.prod(size for size in sizes if isinstance(size, int)))
    return max([own, *map(_largest_layer, described.values())])
