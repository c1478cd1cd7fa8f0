"""What counts as a number in settings, manifests and metrics."""

from typing import Any


def is_finite(value: Any) -> bool:
    """Whether a value is a number that fits in a float: no bool, NaN, infinity, or integer too large for a float."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
