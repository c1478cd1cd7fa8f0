"""JSON as programs read it: `--json` never prints NaN or Infinity, which are not JSON, but null in their place."""

import json
import math
from typing import Any


def dumps(value: Any, indent: int | None = None) -> str:
    """A value as JSON text, with null for each number that is not finite."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
