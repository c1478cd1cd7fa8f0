"""What a training would be given: how many images in which splits, and the settings that follow; nothing is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kvae.config import TrainConfig
from kvae.data import choice, classes, datasets, inspection, named, sources
from kvae.errors import DataError
from kvae.files.text import shown


@dataclass(frozen=True)
class Plan:
    """A training that has not begun."""

    config: TrainConfig
    """The settings, with those that follow from the images."""
    splits: Mapping[str, int]
    """Number of images in each split."""
    image_shape: tuple[int, int, int]
    """`(height, width, channels)`."""
    source: str
    """Where the images are, or would come from."""
    num_skipped: int = 0
    """Images that cannot be used."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of an epoch."""
        return self.splits["train"] // self.config.batch_size

    @property
    def num_steps(self) -> int:
        """Optimiser steps of the training."""
        return self.config.epochs * self.steps_per_epoch


def plan(config: TrainConfig, data_dir: Path | None = None, progress: Callable[[int, int], None] | None = None) -> Plan:
    """Look at the images of a training: those of a named data set in their files, a user's own by decoding them.

    Args:
        config: the settings.
        data_dir: where the files of a named data set are.
        progress: called while a user's own images are decoded, with the number done and the total number.

    Raises:
        ConfigError: an unknown data set, or settings that do not suit the images.
        DataError: images that cannot be found or used.
    """
    found = _named(config, data_dir) if config.data is None else _own(config, progress)
    choice.check_size(found.config, found.splits["train"])
    choice.check_shift(found.config, found.image_shape)
    return found


def _named(config: TrainConfig, data_dir: Path | None) -> Plan:
    source = named.get(config.dataset)
    if datasets.missing(config.dataset, data_dir):  # the sizes are known without the files
        num_train, height, width = source.files[0].shape
        splits = {
            "train": num_train - source.num_validation,
            "validation": source.num_validation,
            "test": source.files[2].shape[0],
        }
        return Plan(config, splits, (height, width, 1), "not on this machine; it would be downloaded")
    data = datasets.of(config, data_dir)
    splits = {name: len(getattr(data, name).images) for name in ("train", "validation", "test")}
    return Plan(config, splits, data.image_shape, "on this machine")


def _own(config: TrainConfig, progress: Callable[[int, int], None] | None) -> Plan:
    config = choice.dense_for_tables(config)
    source = sources.open_all(config)
    found = inspection.inspect(config, progress, source)
    if found.refusal or found.image_shape is None:
        raise DataError(f"{shown(str(found.path))}: {found.refusal or 'no image can be used'}.")
    if config.model.conditional:
        classes.check_labelled(config.dataset, bool(found.labels), source)
    config = choice.with_likelihood(config, found.facts, found.image_shape)
    return Plan(config, found.splits, found.image_shape, shown(str(found.path)), len(found.skipped))
