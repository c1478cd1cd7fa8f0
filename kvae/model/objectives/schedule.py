"""How the weight of the regulariser changes during training: one ramp, ramps that repeat, or a list."""

from dataclasses import dataclass

import tensorflow as tf

from kvae.config import TrainConfig
from kvae.errors import ConfigError
from kvae.model.objectives.objective import Objective

NUM_CYCLES = 4
RISING = 0.5
"""The fraction of a cycle, or of a training, in which beta grows; as in the paper."""


@dataclass(frozen=True)
class BetaSchedule:
    """The fraction of beta that applies at each optimiser step. All fields are 0 or empty for a constant beta.

    Raises:
        ConfigError: fields that contradict one another.

    References:
        Bowman et al., arXiv 1511.06349 (one ramp); Fu et al., arXiv 1903.10145, equation 6 (cycles: M is
        `NUM_CYCLES`, R is `RISING`, both as in the paper).
    """

    warmup_steps: int = 0
    """Steps in which the fraction grows linearly from 0 to 1."""
    cycle_steps: int = 0
    """Steps after which the ramp begins again; 0 for never."""
    shares: tuple[float, ...] = ()
    """Fractions that each hold for `share_steps`; the last one stays. They take the place of a ramp."""
    share_steps: int = 0

    def __post_init__(self) -> None:
        if self.shares and (self.warmup_steps or self.share_steps < 1):
            raise ConfigError("shares need share_steps of at least 1, and take the place of warmup_steps.")
        if self.cycle_steps and not 0 < self.warmup_steps <= self.cycle_steps:
            raise ConfigError(
                f"cycle_steps needs warmup_steps of 1 to cycle_steps ({self.cycle_steps}); got {self.warmup_steps}."
            )

    def share(self, step: tf.Tensor) -> tf.Tensor | float:
        """The fraction at a step, counted from 0 (int64 `()`)."""
        if self.shares:
            index = tf.minimum(step // self.share_steps, len(self.shares) - 1)
            return tf.gather(tf.constant(self.shares, tf.float32), index)
        if not self.warmup_steps:
            return 1.0
        if self.cycle_steps:
            step = step % self.cycle_steps
        return tf.minimum(1.0, tf.cast(step, tf.float32) / self.warmup_steps)

    @classmethod
    def of_config(cls, config: TrainConfig, steps_per_epoch: int) -> "BetaSchedule":
        """The schedule that the training settings describe."""
        total = config.epochs * steps_per_epoch
        if betas := config.betas:
            return cls(shares=tuple(beta / config.beta for beta in betas), share_steps=steps_per_epoch)
        if config.beta_schedule == "cyclical":
            cycle = max(1, -(-total // NUM_CYCLES))
            return cls(warmup_steps=max(1, int(cycle * RISING)), cycle_steps=cycle)
        if config.beta_schedule == "linear" and not config.kl_warmup_epochs:
            return cls(warmup_steps=max(1, int(total * RISING)))
        return cls(warmup_steps=config.kl_warmup_epochs * steps_per_epoch)


@dataclass(frozen=True, kw_only=True)
class ScheduledObjective(Objective):
    """An objective whose weight of the regulariser follows a `BetaSchedule` in training.

    Args:
        beta: the weight.
        warmup_steps: optimiser steps over which the weight grows linearly from 0 to `beta`; default 0, no warm-up.
            Only training is warmed up: `evaluate` always uses the full weight.
        cycle_steps: optimiser steps after which the warm-up begins again; default 0, never.
        shares: the fractions of `beta` in the first epochs, instead of a warm-up; afterwards the last one stays.
        share_steps: optimiser steps for which each of `shares` holds.
    """

    warmup_steps: int = 0
    cycle_steps: int = 0
    shares: tuple[float, ...] = ()
    share_steps: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "shares", tuple(self.shares))  # a list, if it comes from JSON
        self._schedule  # noqa: B018  # checks its settings

    @property
    def _schedule(self) -> BetaSchedule:
        return BetaSchedule(self.warmup_steps, self.cycle_steps, self.shares, self.share_steps)

    def ramp(self, step: tf.Tensor) -> tf.Tensor | float:
        return self._schedule.share(step)
