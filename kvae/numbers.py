"""What counts as a number in settings, manifests and metrics."""

from typing import Any


def is_finite(value: Any) -> bool:
    """Whether a value is a number that fits in a float: no bool, NaN, infinity, or integer too large for a float."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def rescaled(low: float, high: float) -> str:
    """The line of Python that brings numbers from `low` to `high`, not all in [0, 1], there: for a message."""
    if low >= -0.01 and high <= 1.01:  # the rounding errors of a resampling
        return "np.clip(x, 0, 1)"
    for top in (255, 65535):
        if low >= 0 and top / 2 < high <= top:
            return f"x / {top}"
    if low >= -0.5 and high <= 0.5:
        return "x + 0.5"
    if low >= -1 and high <= 1:
        return "(x + 1) / 2"
    return "(x - x.min()) / (x.max() - x.min())"
