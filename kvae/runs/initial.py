"""Where the weights that a new run begins with come from (`init_from`), and the settings of their model."""

import json
import logging
import zipfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from kvae.bundle.manifest import FILE_NAME
from kvae.config import PATHS, PRIOR_COMPONENTS, PRIORS, ModelConfig, TrainConfig
from kvae.errors import ConfigError, KvaeError
from kvae.files import regular
from kvae.files.text import printable
from kvae.runs import files as run_files
from kvae.runs import layout

logger = logging.getLogger(__name__)

DATA = ("dataset", *PATHS, "image_size", "grayscale", "alpha", "levels", "split_seed", "max_bad")
"""The settings that describe a data set."""
MAX_CONFIG = 10_000_000
"""A model's description with more bytes than this is not read."""


def weights_file(init_from: str) -> Path:
    """The `.keras` file that a run, or a file itself, stands for.

    Raises:
        ConfigError: it is neither.
    """
    path = Path(init_from)
    found = path / layout.MODEL if path.is_dir() else path
    if path.is_dir() and not found.exists() and (path / FILE_NAME).exists():
        raise ConfigError(
            f"init_from must be a run or a .keras file; {path} is a bundle, whose ONNX graphs cannot be trained. Name "
            f"the run that it was exported from, or that run's {layout.MODEL}."
        )
    if found.suffix != ".keras" or not found.exists():
        raise ConfigError(f"init_from must be a run with a {layout.MODEL}, or a .keras file; got {path}.")
    try:
        regular.check(found)
    except OSError as error:
        raise ConfigError(f"init_from {found} cannot be read: {error.strerror or error}.") from None
    return found


def model_settings(init_from: str) -> dict[str, Any]:
    """The settings of the model in a run or a `.keras` file, as `kvae.config.from_settings` takes them.

    They are those of the run that the file is in. Of a file elsewhere, the latent dimensions, the likelihood, the prior
    and whether it is conditional are known, and all of a ladder: the other settings must be given if they are not the
    defaults.

    Raises:
        ConfigError: `init_from` is neither a run nor a `.keras` file.
        KvaeError: the run's settings, or the file, cannot be read.
    """
    path = weights_file(init_from)
    config = run_config(path)
    if config is not None:
        return asdict(config.model) | {"binarize": config.binarize}
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("config.json").file_size > MAX_CONFIG:
                raise ValueError("its description is too large")
            parts = json.loads(archive.read("config.json"))["config"]
        found = _described(parts)
    except Exception as error:  # errors in zip and JSON, and missing names, have no common base
        reason = printable(str(error)) or type(error).__name__
        raise KvaeError(f"init_from {path} does not hold a model of kvae train: {reason}.") from None
    return found


def _described(parts: dict[str, Any]) -> dict[str, Any]:
    """What the config of a saved `VAE` says of its settings."""
    encoder, decoder = (parts[name]["config"] for name in ("encoder", "decoder"))
    plan = encoder.get("plan")
    if plan is None:
        found = {"latent_dim": encoder["latent_dim"]}
    else:
        found = {"architecture": "ladder", "latent_dim": plan["dense_dim"], "hidden_units": plan["hidden_units"]}
    found["likelihood"] = decoder["likelihood"]
    if decoder.get("num_labels") is not None:
        found["conditional"] = True
    registered = {f"kvae>{name.replace('_', '')}": name for name in PRIORS}
    prior = registered.get(str(parts["prior"].get("registered_name")).lower())
    if prior is not None:  # an old file has the prior's distribution
        found["prior"] = prior
        if prior in PRIOR_COMPONENTS:
            found["prior_components"] = parts["prior"]["config"]["num_components"]
    return found


def class_names(init_from: str) -> list[str] | None:
    """The names of the classes of the model, in order, which its run knows; None if it has none, or no run."""
    folder = run_folder(weights_file(init_from))
    found = None if folder is None else run_files.read_json(folder / layout.DATASET)
    counts = found.get("label_counts") if isinstance(found, dict) else None
    return list(counts) if isinstance(counts, dict) else None


def run_config(path: Path) -> TrainConfig | None:
    """The settings of the run that a `.keras` file is in; None if it is not in a run."""
    folder = run_folder(path)
    return None if folder is None else run_files.read_config(folder)


def run_folder(path: Path) -> Path | None:
    """The run that a `.keras` file is in; None if it is not in a run."""
    around = (path.resolve().parent, path.resolve().parent.parent)
    return next((folder for folder in around if (folder / layout.CONFIG).is_file()), None)


def inherited(settings: dict[str, Any], with_data: bool = True) -> dict[str, Any]:
    """Flat settings; with `init_from` among them, those of its model too, unless others are given.

    The data set is that of its run, unless one is given; a line in the log says so.

    Args:
        settings: what is given.
        with_data: whether to take over the data set; not if another place, such as a recipe, names one.
    """
    if settings.get("init_from") is None:
        return settings
    found = model_settings(settings["init_from"])
    if settings.get("prior", found.get("prior")) != found.get("prior"):
        found.pop("prior_components", None)  # of the other prior
    run = run_config(weights_file(settings["init_from"]))
    if run is not None and with_data and not {"dataset", *PATHS} & settings.keys():
        found |= {name: getattr(run, name) for name in DATA}
        logger.info("data set %s, as in %s; --data or --dataset takes another", run.dataset, settings["init_from"])
    return found | settings


def differences(init_from: str, config: TrainConfig) -> list[str]:
    """What is known to differ between the model of `init_from` and a config, as `name value, not value`."""
    before = model_settings(init_from)
    names = [item.name for item in fields(ModelConfig) if item.name in before]
    now = {name: getattr(config.model, name) for name in names}
    return [f"{name} {before[name]}, not {now[name]}" for name in names if before[name] != now[name]]
