"""What training needs to know and the user did not say, chosen from their own images.

Training reads images as 8-bit levels, and rounds floats to them. So the likelihood is bernoulli if every pixel is black
or white, and else discretized_logistic, which gives each of the 256 levels a probability; a density (normal,
continuous_bernoulli) has no upper bound on values that can only be one of 256.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from kvae.config import TrainConfig
from kvae.data import listing, shapes, sources
from kvae.data.datasets import Dataset
from kvae.data.tally import Facts
from kvae.errors import ConfigError
from kvae.files import pictures

logger = logging.getLogger(__name__)

BITS, LEVELS = "bernoulli", "discretized_logistic"
DENSE = "mlp"
"""The architecture for tables if that of the config is convolutional."""


class Choice(NamedTuple):
    """A likelihood, and why it suits the images."""

    likelihood: str
    why: str


def likelihood_for(facts: Facts, image_shape: Sequence[int]) -> Choice:
    """The likelihood for a user's own images.

    Args:
        facts: what is known about their pixels.
        image_shape: `(height, width, channels)`.
    """
    if not facts.has_grey:
        return Choice(BITS, "bits: every value is 0 or 255")
    levels = "values" if pictures.is_table(image_shape) else "grey" if image_shape[2] == 1 else "colour"
    rounded = " (floats are rounded to these 256 levels)" if facts.is_rounded else ""
    return Choice(LEVELS, f"8-bit {levels}{rounded}")


def misfit(likelihood: str, facts: Facts, image_shape: Sequence[int]) -> str | None:
    """Why a likelihood does not suit the images; None if it does, or if it is a usual choice for them."""
    if likelihood == BITS and facts.has_grey and (image_shape[2] == 3 or pictures.is_table(image_shape)):
        what = "a table's values" if pictures.is_table(image_shape) else "colour"
        return f"bernoulli is for bits, and draws each of {what} as 0 or 1; {LEVELS} is for 8-bit levels"
    if likelihood != BITS and not facts.has_grey:
        return f"every pixel is black or white; {likelihood} is for levels, and bernoulli for bits"
    return None


def settle(config: TrainConfig, data: Dataset) -> TrainConfig:
    """The config with all that it leaves open chosen from the data; a line in the log says each choice, and why.

    Args:
        config: the settings.
        data: what `kvae.data.of` returned for them.
    """
    config = dense_for_tables(config)
    return config if data.facts is None else with_likelihood(config, data.facts, data.image_shape)


def with_likelihood(config: TrainConfig, facts: Facts, image_shape: Sequence[int]) -> TrainConfig:
    """The config with the likelihood for a user's own images, unless it has one; the log says which, or that it is odd.

    Args:
        config: the settings.
        facts: what is known about the images' pixels.
        image_shape: `(height, width, channels)`.
    """
    if config.model.likelihood is None:
        likelihood, why = likelihood_for(facts, image_shape)
        logger.info("likelihood %s, because of %s; --likelihood takes another", likelihood, why)
        return replace(config, model=config.model.changed(likelihood=likelihood))
    if wrong := misfit(config.model.likelihood, facts, image_shape):
        logger.warning("warning: %s", wrong)
    return config


def dense_for_tables(config: TrainConfig) -> TrainConfig:
    """The config with dense networks if its data is a table: neighbouring columns are not alike, as pixels are."""
    if config.data is None or config.model.architecture != "conv":
        return config
    path = Path(config.data)
    if listing.kind_of(path) not in (listing.ARRAY, listing.IDX):
        return config
    header = sources.open_source(path, config.reading).parts[0].header
    if header is None or not header.is_row:
        return config
    hint = shapes.maybe_flat(header.width)
    logger.info("%s is a table: dense networks (--architecture %s) in place of convolutions%s", path.name, DENSE, hint)
    return replace(config, model=config.model.changed(architecture=DENSE))


def check_size(config: TrainConfig, num_train: int) -> None:
    """Raise ConfigError if a batch is larger than the training split, or the warm-up as long as the run."""
    if config.batch_size > num_train:
        raise ConfigError(f"batch_size must be at most {num_train}, the number of training images of {config.dataset}.")
    num_steps = config.epochs * (num_train // config.batch_size)
    if config.lr_warmup_steps >= num_steps:
        raise ConfigError(
            f"lr_warmup_steps must be less than {num_steps}, the optimiser steps of the run; "
            f"got {config.lr_warmup_steps}."
        )


def check_shift(config: TrainConfig, image_shape: tuple[int, int, int]) -> None:
    """Raise ConfigError if images of this shape, `(height, width, channels)`, cannot be moved by `shift` pixels."""
    if config.shift and pictures.is_table(image_shape):
        raise ConfigError(
            f"shift is for images, whose pixels have neighbours: {config.dataset} is a table, so it must be 0; got "
            f"{config.shift}."
        )
    if config.shift and config.shift >= min(image_shape[:2]):
        raise ConfigError(
            f"shift must be less than the height and the width of the images, {image_shape[0]} x {image_shape[1]} "
            f"pixels; got {config.shift}."
        )
