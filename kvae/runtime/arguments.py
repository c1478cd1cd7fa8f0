"""Checks of what a program passes to a `kvae.runtime.Bundle`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.runtime.latents import Floats

MAX_TEMPERATURE = 1e6
"""Far beyond any useful value; it keeps z within float32."""


def inputs(graph: str, given: Mapping[str, ArrayLike], ends: list[dict[str, Any]]) -> dict[str, Floats]:
    """The inputs of a graph as onnxruntime takes them; raises KvaeError if they do not fit the graph."""
    names = [end["name"] for end in ends]
    if not isinstance(given, Mapping):
        raise KvaeError(
            f"the inputs of the {graph} are a dict of {', '.join(names)}; got {printable(type(given).__name__)}."
        )
    if set(given) != set(names):
        found = ", ".join(map(str, given)) or "none"
        raise KvaeError(f"the {graph} has the inputs {', '.join(names)}; got {found}.")
    values = {end["name"]: batch(given[end["name"]], tuple(end["shape"][1:]), end["name"]) for end in ends}
    lengths = {name: len(array) for name, array in values.items()}
    if len(set(lengths.values())) > 1:
        raise KvaeError(f"the inputs of the {graph} must have the same number of rows; got {lengths}.")
    return values


def count(n: int, seed: int, temperature: float, start: int) -> int:
    """`n`; raises KvaeError if it or another argument of `sample` is out of range."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= noise.MAX_WORD:
        raise KvaeError(f"n must be an integer from 1 to 2^64 - 1; got {printable(repr(n), 80)}.")
    is_number = isinstance(temperature, (int, float, np.integer, np.floating)) and not isinstance(temperature, bool)
    if not is_number or not 0 <= temperature <= MAX_TEMPERATURE:
        raise KvaeError(
            f"temperature must be a number between 0 and {MAX_TEMPERATURE:g}; got {printable(repr(temperature), 80)}."
        )
    noise.check(seed, start, int(n))
    return int(n)


def batch(values: ArrayLike, shape: tuple[int, ...], name: str) -> Floats:
    """A batch as onnxruntime takes it; raises KvaeError if it does not have the shape `(batch, *shape)`."""
    try:
        given = np.asarray(values)
        if given.dtype.kind in "cSU":
            raise TypeError(f"it holds {given.dtype}")
        array = np.ascontiguousarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise KvaeError(f"{name} must be an array of real numbers: {error}.") from None
    if array.shape[1:] != shape or array.ndim != len(shape) + 1 or not len(array):
        expected = ", ".join(["batch", *map(str, shape)])
        raise KvaeError(f"{name} must have shape ({expected}), batch at least 1; got {array.shape}.")
    return array
