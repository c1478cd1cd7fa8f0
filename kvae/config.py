"""Settings of a model and of its training: defaults, ranges and help texts live here, once.

The command line makes its options from these fields, and a run keeps them as `config.json`.
"""

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from kvae.errors import ConfigError

DEFAULT_HIDDEN_UNITS = {"conv": 128, "mlp": 512}
"""Width of the hidden dense layer where `hidden_units` is not given, by architecture."""
_DEFAULT_TEXT = ", ".join(f"{units} for {name}" for name, units in DEFAULT_HIDDEN_UNITS.items())


def _setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> Any:
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "above": above, "choices": choices}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What the networks look like. Raises ConfigError for a value outside its range."""

    architecture: str = _setting("conv", "Convolutional networks, or dense ones.", choices=("conv", "mlp"))
    latent_dim: int = _setting(16, "Number of latent dimensions.", minimum=1)
    hidden_units: int | None = _setting(None, f"Units of the hidden dense layer. [default: {_DEFAULT_TEXT}]", minimum=1)
    likelihood: str = _setting(
        "bernoulli",
        "The likelihood p(x|z). bernoulli takes grey intensities as they are.",
        choices=("bernoulli", "normal"),
    )

    def __post_init__(self) -> None:
        _check(self)
        if self.hidden_units is None:
            object.__setattr__(self, "hidden_units", DEFAULT_HIDDEN_UNITS[self.architecture])


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained. Raises ConfigError for a value outside its range."""

    model: ModelConfig = field(default_factory=ModelConfig)
    dataset: str = _setting("fashion_mnist", "Name of the data set.")
    epochs: int = _setting(20, "Passes over the training images.", minimum=1)
    batch_size: int = _setting(128, "Images per optimiser step.", minimum=1)
    learning_rate: float = _setting(
        2e-3, "Adam's first learning rate; it falls to 0 along half a cosine over the run.", above=0.0
    )
    beta: float = _setting(1.0, "Weight of the KL in the loss; 1 makes the loss the negative ELBO.", minimum=0.0)
    kl_warmup_epochs: int = _setting(0, "Epochs over which beta grows from 0, linearly.", minimum=0)
    seed: int = _setting(
        0, "Seed of the weights, the order of images and the posterior's draws.", minimum=0, maximum=2**32 - 1
    )

    def __post_init__(self) -> None:
        _check(self)
        if self.kl_warmup_epochs >= self.epochs:
            raise ConfigError(
                f"kl_warmup_epochs must be less than epochs ({self.epochs}), or beta is never reached; "
                f"got {self.kl_warmup_epochs}."
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON values; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "TrainConfig":
        """The config that `to_dict` described.

        Raises:
            ConfigError: a setting is unknown or outside its range.
        """
        try:
            return cls(**(values | {"model": ModelConfig(**values.get("model", {}))}))
        except (TypeError, AttributeError) as error:
            raise ConfigError(f"not a kvae training config: {error}.") from None


def _check(config: Any) -> None:
    for item in fields(config):
        rules, value = item.metadata, getattr(config, item.name)
        if not rules or (value is None and item.default is None):
            continue
        if rules["choices"]:
            if value not in rules["choices"]:
                raise ConfigError(f"{item.name} must be one of {', '.join(rules['choices'])}; got '{value}'.")
            continue
        kind = str if isinstance(item.default, str) else float if isinstance(item.default, float) else int
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if kind is str:
            fits = isinstance(value, str)
        elif kind is int:
            fits = number and isinstance(value, int)
        else:
            fits = number
        if fits and kind is not str:
            fits = (
                (rules["minimum"] is None or value >= rules["minimum"])
                and (rules["maximum"] is None or value <= rules["maximum"])
                and (rules["above"] is None or value > rules["above"])
            )
        if not fits:
            raise ConfigError(f"{item.name} must be {_describe(kind, rules)}; got {value!r}.")


def _describe(kind: type, rules: Any) -> str:
    noun = {int: "an integer", float: "a number", str: "a name"}[kind]
    bounds = [
        f"{words} {rules[key]:g}" if key != "maximum" else f"{words} {rules[key]}"
        for key, words in (("minimum", "of at least"), ("maximum", "at most"), ("above", "above"))
        if rules[key] is not None
    ]
    return " ".join([noun, " and ".join(bounds)]).strip()
