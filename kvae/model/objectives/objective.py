"""What an objective is: a loss over the terms of a batch, and a caveat if it is not the negative ELBO."""

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any

import tensorflow as tf

from kvae.config import TrainConfig
from kvae.errors import ConfigError, KvaeError
from kvae.model.terms import Terms


@dataclass(frozen=True, kw_only=True)
class Objective(ABC):
    """A loss. A subclass is a frozen dataclass of its settings, in one file of this folder, named after it.

    The file ends in `OBJECTIVE = Subclass`. Your own subclass, if registered with Keras, is saved with the model too.

    Args:
        beta: weight of the regulariser; the model holds it as a variable, so that it can change during training.
    """

    beta: float = 1.0

    def __new__(cls, *_: Any, **__: Any) -> "Objective":
        for name in ("__setattr__", "__delattr__"):  # those of a frozen dataclass, whose error names no way out
            setattr(cls, name, _refused)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        try:
            beta = float(self.beta)
        except (TypeError, ValueError):
            beta = math.nan
        if not 0.0 <= beta < math.inf:
            raise ConfigError(f"beta must be a finite number of at least 0; got {self.beta!r}.")
        object.__setattr__(self, "beta", beta)  # a number of numpy's, perhaps

    @property
    def num_draws(self) -> int:
        """The number of draws from each posterior that the loss uses: 1, unless a subclass says otherwise."""
        return 1

    @abstractmethod
    def loss(self, terms: Terms, beta: tf.Tensor | float) -> tf.Tensor:
        """The scalar to minimise, in nats per image.

        Args:
            terms: the terms of a batch.
            beta: the weight of the regulariser at this step.
        """

    def ramp(self, step: tf.Tensor) -> tf.Tensor | float:
        """The fraction of `beta` that applies at an optimiser step (int64 `()`); 1 by default."""
        return 1.0

    @property
    def caveat(self) -> str | None:
        """What to say about the loss if it is not the negative ELBO; None if it is."""
        return None

    @classmethod
    def of_config(cls, config: TrainConfig, steps_per_epoch: int) -> "Objective":
        """The objective that the training settings describe."""
        return cls(beta=config.beta)

    def settings(self) -> dict[str, Any]:
        """The settings that a bundle records, as JSON values."""
        caveat = {} if self.caveat is None else {"loss_caveat": self.caveat}
        return {"objective": type(self).__name__.lower()} | asdict(self) | caveat

    def get_config(self) -> dict[str, Any]:
        """The settings to save in a `.keras` file."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Objective":
        """The objective that `get_config` described."""
        return cls(**config)


def check_num_draws(num_draws: object) -> None:
    """Raise ConfigError unless this is a number of draws."""
    if not isinstance(num_draws, int) or isinstance(num_draws, bool) or num_draws < 1:
        raise ConfigError(f"num_draws must be an integer of at least 1; got {num_draws!r}.")


def _refused(objective: Objective, name: str, *_: Any) -> None:
    """Refuse to change a setting of an objective."""
    kind = type(objective).__name__
    if name == "beta":
        advice = "Set vae.beta instead"
    elif name in {setting.name for setting in fields(objective)}:
        advice = f"Give the model another one: vae.objective = dataclasses.replace(vae.objective, {name}=...)"
    else:
        advice = f"It has {', '.join(setting.name for setting in fields(objective))}"
    raise KvaeError(f"{kind}.{name} cannot be set: an objective does not change. {advice}.")
