"""Makes a run: one folder with everything that training writes (`kvae.runs.layout` lists it)."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kvae import recipes
from kvae.config import TrainConfig
from kvae.data import choice, classes, datasets, decoded
from kvae.errors import ConfigError, KvaeError
from kvae.files import atomic, locks
from kvae.files.text import printable
from kvae.runs import beginning, layout
from kvae.runs import files as run_files
from kvae.runs.initial import inherited
from kvae.training import building, checkpoints, environment, initial
from kvae.training.finishing import Run
from kvae.training.looping import go_on


def train(
    config: TrainConfig | None = None,
    out: str | Path | None = None,
    data_dir: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    decoding: Callable[[int, int], None] | None = None,
    strategy: tf.distribute.Strategy | None = None,
    *,
    recipe: str | None = None,
    **settings: Any,
) -> Run:
    """Train a model, evaluate it on the test split, export it, and write it all into the new folder `out`.

    As short as the command line: `train(dataset="fashion_mnist_mini", architecture="mlp", epochs=5)`. With `init_from`
    it begins with the weights of another run, and a schedule and optimizer of its own.

    Args:
        config: the settings, or leave it out and name some of them; `init_from` is recorded with its hash.
        out: the run's folder; it must be empty or not exist. Default: a new folder in `runs`, as `kvae train` makes.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.
        callbacks: further Keras callbacks, such as a progress bar.
        decoding: called while the user's own images are decoded, with how many are done and how many there are.
        strategy: the devices, from `kvae.steps.strategies.create`; by default one device. If there are several
            processes, the chief calls this, and the others call `follow`.
        recipe: a key of `kvae.recipes.RECIPES` to start from. As on the command line, a data set's own recipe is
            followed if no setting says what else is to be trained.
        **settings: without `config`, settings as the command line names them: `latent_dim=8, prior="mixture"`.

    Raises:
        KvaeError: bad settings, missing data, a folder that is not empty or is in use by another training process, a
            full disk, or a loss that is not finite.
        Interrupted: the process was told to end; `resume` continues the run.
    """
    if config is None:
        config = _configured(recipe, settings)
    elif settings or recipe is not None:
        raise ConfigError("config has all settings already: give either a config, or a recipe and single settings.")
    if not isinstance(config, TrainConfig):
        raise ConfigError(
            f"config must be a kvae.config.TrainConfig; got {printable(repr(config), 40)}. Or name single settings, "
            f'such as dataset="fashion_mnist".'
        )
    config = choice.dense_for_tables(config)
    out = Path(out) if out is not None else beginning.default_folder(config)
    data_dir = Path(data_dir) if data_dir is not None else None
    config = initial.recorded(config.absolute())  # the run may be resumed from another folder
    beginning.check(out, config)
    data = datasets.of(config, data_dir, decoding)
    config = choice.settle(config, data)
    num_labels = classes.num_labels(data, config.model.conditional)
    vae = building.build(config, data.image_shape, len(data.train.images), strategy, num_labels)
    vae.prior.start_from(data.train.images, data.train.labels)
    initial.load_into(vae, config, data.label_names)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KvaeError(f"cannot write {out}: {error.strerror}.") from None
    with locks.held(out):
        beginning.check_new(out)  # again, now that nobody else can begin
        atomic.remove_abandoned(out)
        run_files.write_json(out / layout.ENVIRONMENT, environment.versions())
        run_files.write_json(out / layout.DATASET, _about(data, config))
        datasets.write_record(data, out / layout.IMAGES)
        if config.init_from:  # the run no longer needs the file that they came from
            checkpoints.save(vae, out, checkpoints.State())
        run_files.write_json(out / layout.CONFIG, config.to_dict())  # from here on the folder is a run
        return go_on(out, config, data, vae, checkpoints.State(), callbacks)


def _configured(recipe: str | None, settings: dict[str, Any]) -> TrainConfig:
    """The config of a recipe and settings, by the rules of `kvae train`."""
    if "init_from" in settings:
        settings = inherited(settings, with_data=recipe is None)
    return recipes.resolve(recipe or recipes.for_settings(settings), settings)


def _about(data: datasets.Dataset, config: TrainConfig) -> dict[str, Any]:
    """What a run records about its images."""
    sizes = {name: len(getattr(data, name).images) for name in ("train", "validation", "test")}
    found = data.provenance() | {"splits": sizes, "image_shape": list(data.image_shape)}
    if data.folder is not None:
        summary = decoded.read_summary(data.folder)
        found |= {name: summary[name] for name in ("num_duplicates", "num_across", "num_conflicts", "num_skipped")}
    return found | classes.about(data) if config.model.conditional else found
