"""Learning rates: the schedule of a run, and what becomes of it when a saved model is trained further."""

import math
import warnings
from typing import Any

import keras

from kvae.errors import KvaeError
from kvae.steps.keras_private import rate_of

SCHEDULE = keras.optimizers.schedules.LearningRateSchedule
TINY = 1e-9
"""Adam moves a weight by about the rate: a lower one hardly changes the weights, which are some 0.01, in float32."""
AGAIN = "Compile the model again, for example compile(optimizer=kvae.steps.FusedAdam(1e-3))."


@keras.saving.register_keras_serializable("kvae")
class RunCosine(keras.optimizers.schedules.CosineDecay):
    """The schedule of a run: a linear warm-up, then half a cosine down to 0 at its last step; see `constant`."""


def run_cosine(peak: float, num_steps: int, warmup_steps: int = 0) -> RunCosine:
    """The schedule of a run.

    Args:
        peak: the learning rate after the warm-up.
        num_steps: optimiser steps of the run, after which the rate is 0.
        warmup_steps: optimiser steps over which the rate grows from 0; fewer than `num_steps`.
    """
    if not warmup_steps:
        return RunCosine(peak, num_steps)
    return RunCosine(0.0, num_steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps)


def constant(optimizer: dict[str, Any]) -> dict[str, Any]:
    """The config of a saved optimizer, with the peak of its `RunCosine` as a constant rate; any other as it is."""
    settings: Any = optimizer.get("config")
    rate = settings.get("learning_rate") if isinstance(settings, dict) else None
    if not isinstance(rate, dict) or rate.get("registered_name") != "kvae>RunCosine":
        return optimizer
    peak = rate["config"].get("warmup_target") or rate["config"]["initial_learning_rate"]
    return optimizer | {"config": settings | {"learning_rate": peak}}


def is_old(rate: Any, iterations: Any) -> bool:
    """Whether a rate is that of a run from before `RunCosine`, a plain cosine, and has come to its end at 0."""
    return type(rate) is keras.optimizers.schedules.CosineDecay and is_over(rate, iterations)


def held(rate: Any) -> Any:
    """The peak of a plain cosine as a schedule that stays there."""
    return keras.optimizers.schedules.CosineDecay(_peak(rate), 1, alpha=1.0)


def peak(optimizer: Any) -> float:
    """The highest learning rate of an optimizer, as far as a cosine schedule says it; else the one at this step."""
    rate = rate_of(optimizer)
    if isinstance(rate, keras.optimizers.schedules.CosineDecay):
        return _peak(rate)
    return float(optimizer.learning_rate)


def _peak(rate: Any) -> float:
    return float(rate.warmup_target or rate.initial_learning_rate)


def is_over(rate: Any, iterations: Any) -> bool:
    """Whether a schedule gives 0 for the next step and all after it."""
    if not isinstance(rate, SCHEDULE):
        return False
    return float(rate(iterations)) == 0.0 == float(rate(iterations + 1))


def check_not_over(optimizer: Any) -> None:
    """Raise KvaeError if training could not change the weights, because the learning rate's schedule is over.

    Warn if it has fallen so low that training would hardly change them. A constant rate of 0 is the user's choice.
    """
    rate = rate_of(optimizer)
    now = None if rate is None else float(optimizer.learning_rate)
    if now is not None and not 0.0 <= now < math.inf:
        raise KvaeError(
            f"the learning rate must be a finite number of at least 0; got {now:g}. Compile the model again."
        )
    if is_over(rate, optimizer.iterations):
        raise KvaeError(
            f"the learning rate is 0: its schedule ended before step {int(optimizer.iterations.numpy())}, and fit "
            f"would change nothing. {AGAIN}"
        )
    is_own = isinstance(rate, SCHEDULE) and not isinstance(rate, RunCosine)  # a run may stop just before its end
    if now and now < TINY and is_own and float(rate(optimizer.iterations + 1)) <= now:
        warnings.warn(
            f"the learning rate has fallen to {now:.3g} by step {int(optimizer.iterations.numpy())} of its schedule: "
            f"fit would hardly change the weights. {AGAIN}",
            stacklevel=3,
        )
