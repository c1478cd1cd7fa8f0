"""JSON that every parser reads: Python by itself writes NaN and Infinity, which are not JSON."""

import json
import math
from typing import Any


def dumps(values: Any, indent: int | None = 2) -> str:
    """Values as JSON text; numbers that are not finite become null.

    Args:
        values: what `json.dumps` takes.
        indent: spaces per level; None for one line.
    """
    return json.dumps(_finite(values), indent=indent, allow_nan=False)


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _finite(value) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
