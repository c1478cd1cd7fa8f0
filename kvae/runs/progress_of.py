"""Whether a training had come to rest when it ended, judged by its history alone.

A learning rate that decays to 0 flattens every curve at its end, converged or not. So the last third of the epochs is
looked at as a whole, and its fall is compared with what the training gained before.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LOSS = "val_loss"
"""The column of a history that is judged."""
MIN_EPOCHS = 3
"""Fewer epochs show no course that could be judged."""
SHARE = 0.1
"""From this share of the whole fall on, the last third still counts."""


class Fall(NamedTuple):
    """How the validation loss fell at the end of a training."""

    epochs: int
    """The number of epochs looked at, the last third."""
    nats: float
    """By how much the loss fell over them, in nats per image; negative if it rose."""


def last_fall(history: Mapping[str, Sequence[float]]) -> Fall:
    """How the validation loss fell over the last third of the epochs, at least two of them.

    Args:
        history: columns by name, one number per epoch, as `kvae.runs.files.read_history` returns them. Epochs whose
            loss is not finite are left out.
    """
    losses = _losses(history)
    epochs = max(2, len(losses) // 3)
    if len(losses) <= epochs:
        return Fall(0, 0.0)
    return Fall(epochs, float(losses[-1 - epochs] - losses[-1]))


def still_falling(history: Mapping[str, Sequence[float]]) -> bool:
    """Whether the validation loss was still falling at the end, so that more epochs would very likely lower it.

    It was if, over the last third of the epochs, it fell by more than it rose from any epoch to the next, and by at
    least `SHARE` of its whole fall. The whole fall is measured from the median of the first three epochs, so that one
    epoch far above the others does not hide the rest. With fewer than `MIN_EPOCHS` epochs it cannot be told: False.

    Args:
        history: as for `last_fall`.
    """
    losses = _losses(history)
    if len(losses) < MIN_EPOCHS:
        return False
    epochs, nats = last_fall(history)
    whole = float(np.median(losses[:3]) - losses.min())
    largest_rise = float(np.diff(losses[-1 - epochs :]).max())
    return nats > max(0.0, largest_rise) and nats >= SHARE * whole


def _losses(history: Mapping[str, Sequence[float]]) -> NDArray[np.float64]:
    losses = np.asarray(history.get(LOSS, ()), np.float64)
    return losses[np.isfinite(losses)]
