"""What counts as a number in settings, manifests and metrics."""

from typing import Any


def is_finite(value: Any) -> bool:
    """Whether a value is a number that fits in a float: no bool, NaN, infinity, or integer too large for a float."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def rescaled(low: float, high: float, array: str = "x") -> str:
    """The line of Python that brings numbers from `low` to `high` into [0, 1], for the message that refuses them.

    Args:
        low: the least number that was seen.
        high: the greatest.
        array: what the line calls the array.
    """
    if low >= -0.01 and high <= 1.01:  # the rounding errors of a resampling
        return f"np.clip({array}, 0, 1)"
    for top in (255, 65535):
        if low >= 0 and top / 2 < high <= top:
            return f"{array} / {top}"
    if low >= -1 and high <= 1:
        return f"({array} + 1) / 2"
    return f"({array} - {array}.min()) / ({array}.max() - {array}.min())"
