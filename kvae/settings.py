"""A config as the settings that produce it, and as the command that trains with it."""

from dataclasses import fields
from typing import Any

from kvae.config import TrainConfig, from_settings
from kvae.errors import ConfigError


def flat(config: TrainConfig) -> dict[str, Any]:
    """All settings of a model and of its training, side by side, as name and value."""
    values = config.to_dict()
    return values.pop("model") | values


def changed(config: TrainConfig) -> dict[str, Any]:
    """The settings that a config needs: those that are neither defaults nor follow from other settings."""
    needed = flat(config)
    for name in list(needed):
        rest = {key: value for key, value in needed.items() if key != name}
        try:
            if from_settings(rest) == config:
                needed = rest
        except ConfigError:  # another setting requires this one
            continue
    return needed


def command(config: TrainConfig) -> list[str]:
    """The words of the `kvae train` command with this config, or of `kvae fit-prior` if its prior was fitted so."""
    if config.fit is not None and config.prior_fit is not None:
        words = ["kvae", "fit-prior", str(config.prior_fit.get("run"))]
        return words + _options({item.name: getattr(config.fit, item.name) for item in fields(config.fit)})
    words = ["kvae", "train"]
    records = ("init_sha256", "prior_fit")  # which are not options
    return words + _options({name: value for name, value in changed(config).items() if name not in records})


def _options(settings: dict[str, Any]) -> list[str]:
    words = []
    for name, value in settings.items():
        if value is None:  # an option that is not given
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(str(value))
    return words
