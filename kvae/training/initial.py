"""Begins a new run with the weights of another one."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kvae.bundle.manifest import sha256
from kvae.config import TrainConfig
from kvae.errors import ConfigError
from kvae.files.text import printable
from kvae.model.vae import VAE
from kvae.runs import initial
from kvae.training.keras_files import load_model

logger = logging.getLogger(__name__)


def recorded(config: TrainConfig) -> TrainConfig:
    """A config with the absolute path and the hash of the file that `init_from` stands for.

    Raises:
        ConfigError: `init_from` is neither a run nor a `.keras` file; or the config has the hash of another file.
    """
    if config.init_from is None:
        return config
    path = initial.weights_file(config.init_from)
    found = sha256(path)
    if config.init_sha256 not in (None, found):
        raise ConfigError(
            f"init_from {path} has changed: its sha256 is {found[:12]}..., expected {str(config.init_sha256)[:12]}...."
        )
    return replace(config, init_from=str(Path(config.init_from).absolute()), init_sha256=found)


def load_into(vae: VAE, config: TrainConfig, label_names: Sequence[str] | None = None) -> None:
    """Give a model the weights of `config.init_from`, if there is one; the optimizer begins afresh.

    Args:
        vae: the model.
        config: the settings.
        label_names: the names of the model's classes. If those of `init_from` are others, a warning says so.

    Raises:
        ConfigError: the models differ; the message says in what.
        KvaeError: the file cannot be read.
    """
    if config.init_from is None:
        return
    path = initial.weights_file(config.init_from)
    old = load_model(path)
    if old.image_shape != vae.image_shape:
        raise ConfigError(
            f"init_from {path} is a model of images of shape {_words(old.image_shape)}, not {_words(vae.image_shape)}: "
            f"use --image-size and --grayscale to bring the images to that shape."
        )
    if old.num_labels != vae.num_labels:
        raise ConfigError(
            f"init_from {path} is a model {_of_classes(old.num_labels)}, not {_of_classes(vae.num_labels)}: "
            f"train it on images with as many labels, with or without --conditional like the model itself."
        )
    pairs = [(getattr(old, name), getattr(vae, name)) for name in ("encoder", "decoder", "prior")]
    if any(_shapes(one) != _shapes(other) for one, other in pairs):
        found = "; ".join(initial.differences(config.init_from, config)) or "architecture or hidden_units"
        raise ConfigError(f"init_from {path} is a model with other networks: {found}. Leave these settings out.")
    for one, other in pairs:
        other.set_weights(one.get_weights())
    before = initial.class_names(config.init_from) if vae.num_labels is not None else None
    for number, (old_name, name) in enumerate(zip(before or (), label_names or (), strict=False)):
        if old_name != name:
            logger.warning(
                "warning: the classes of init_from %s have other names: class %d, which was %s, is %s from now on",
                path,
                number,
                printable(old_name, 60),
                printable(name, 60),
            )
            return


def _shapes(network: Any) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in network.weights]


def _of_classes(num_labels: int | None) -> str:
    return "without labels" if num_labels is None else f"of {num_labels:,} class{'es' if num_labels > 1 else ''}"


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
