"""The points of a sweep: which settings vary, and which are shared."""

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kvae.bundle import caveats
from kvae.config import ModelConfig, TrainConfig, from_settings, kind_of
from kvae.errors import ConfigError
from kvae.families import suggestion, unknown

PRESETS: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "why-kl": (
        {"dataset": "fashion_mnist_mini", "architecture": "mlp", "epochs": 60},
        {
            "λ = 2": {"entropy_weight": 2.0},
            "λ = 1: KL": {"regularizer": "kl"},
            "λ = 0.5": {"entropy_weight": 0.5},
            "λ = 0.1": {"entropy_weight": 0.1},
            "λ = 0: cross-entropy": {"regularizer": "cross-entropy"},
            "no regulariser": {"regularizer": "none"},
        },
    ),
}
"""Experiments by name: the settings that all runs share, and for each run, under its label, those that vary."""


@dataclass(frozen=True)
class Setting:
    """One point of a sweep."""

    varied: dict[str, Any]
    """The settings that distinguish it, as they were given."""
    config: TrainConfig
    label: str | None = None

    @property
    def name(self) -> str:
        """Its label, or its varied settings: "entropy_weight=0.1, beta=4"."""
        return self.label or ", ".join(f"{key}={_text(value)}" for key, value in self.varied.items())

    @property
    def folder(self) -> str:
        """The name of its run: the varied settings, and a hash of all settings."""
        digest = hashlib.sha256(json.dumps(self.config.to_dict(), sort_keys=True).encode()).hexdigest()
        varied = ",".join(f"{key}={_text(value)}" for key, value in self.varied.items())
        return f"{varied[:80]}-{digest[:8]}"


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """Parse "beta=0.25,1,4" into a field and its values.

    Raises:
        ConfigError: no such field, or a value of the wrong kind.
    """
    name, equals, rest = text.partition("=")
    name = name.strip().replace("-", "_")
    known = {
        item.name: item
        for config in (TrainConfig, ModelConfig)
        for item in fields(config)
        if item.metadata and kind_of(item) is not bool
    }
    names = [*known, "regularizer"]
    if name not in names:
        raise ConfigError(f"cannot vary '{name}'.{suggestion(name, names)} Settings: {', '.join(names)}.")
    texts = [value.strip() for value in rest.split(",")]
    if not equals or not all(texts):
        raise ConfigError(f"--vary expects SETTING=VALUE,VALUE,...; got '{text}'.")
    if name == "regularizer" or known[name].metadata["choices"] or kind_of(known[name]) is str:
        return name, texts
    kind = kind_of(known[name])
    try:
        values = [kind(value) for value in texts]
    except ValueError:
        raise ConfigError(f"the values of {name} must be numbers ({kind.__name__}); got '{rest}'.") from None
    return name, values


def grid(base: Mapping[str, Any], vary: Sequence[tuple[str, list[Any]]]) -> list[Setting]:
    """All combinations of the varied values, the first field slowest.

    Raises:
        ConfigError: a field is both set and varied, or varied twice; or bad settings.
    """
    names = [name for name, _ in vary]
    for name in names:
        if names.count(name) > 1 or name in base:
            raise ConfigError(f"{name} is given more than once: either vary it or set it.")
    found: dict[TrainConfig, Setting] = {}
    for values in itertools.product(*(values for _, values in vary)):
        point = dict(zip(names, values, strict=True))
        setting = Setting(point, from_settings({**base, **point}))
        found.setdefault(setting.config, setting)  # a value given twice counts once
    return list(found.values())


def preset(name: str, base: Mapping[str, Any]) -> list[Setting]:
    """The settings of a preset; `base` overrides some of the shared ones.

    Raises:
        ConfigError: the preset is unknown, or `base` sets a field that the preset varies.
    """
    if name not in PRESETS:
        raise ConfigError(unknown("preset", name, PRESETS))
    shared, points = PRESETS[name]
    own = {key for point in points.values() for key in point} | {"beta"}  # the regulariser "none" sets beta
    for key in base:
        if key in own:
            raise ConfigError(f"the preset {name} varies {key}: it cannot be set as well.")
    return [Setting(point, from_settings({**shared, **base, **point}), label) for label, point in points.items()]


def reference(settings: Sequence[Setting]) -> int:
    """The index of the setting that the others are compared with."""
    plain = (index for index, setting in enumerate(settings) if _is_elbo(setting.config))
    return next(plain, 0)


def _is_elbo(config: TrainConfig) -> bool:
    """Whether the loss is the negative ELBO."""
    return config.objective == "elbo" and (
        caveats.about_loss(config.beta, config.entropy_weight, config.free_bits) is None
    )


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
