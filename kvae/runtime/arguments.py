"""Checks of what a program passes to a `kvae.runtime.Bundle`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.runtime.latents import Floats

MAX_TEMPERATURE = 1e6
"""Far beyond any useful value; it keeps z within float32."""


Temperature = float | Sequence[float] | NDArray[Any]
"""A factor on the prior's noise, or one for each group of a ladder."""


def inputs(graph: str, given: Mapping[str, ArrayLike], ends: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """The inputs of a graph as onnxruntime takes them; raises KvaeError if they do not fit the graph."""
    names = [end["name"] for end in ends]
    if not isinstance(given, Mapping):
        raise KvaeError(
            f"the inputs of the {graph} are a dict of {', '.join(names)}; got {printable(type(given).__name__)}."
        )
    if set(given) != set(names):
        found = ", ".join(map(str, given)) or "none"
        raise KvaeError(f"the {graph} has the inputs {', '.join(names)}; got {found}.")
    values = {
        end["name"]: whole(given[end["name"]], end["name"])
        if end["dtype"] == "int64"
        else batch(given[end["name"]], tuple(end["shape"][1:]), end["name"])
        for end in ends
    }
    lengths = {name: len(array) for name, array in values.items()}
    if len(set(lengths.values())) > 1:
        raise KvaeError(f"the inputs of the {graph} must have the same number of rows; got {lengths}.")
    return values


def outputs(graph: str, given: Iterable[str] | None, names: list[str]) -> list[str]:
    """The names of the outputs to compute, each once; raises KvaeError if they are not those of the graph."""
    if given is None:
        return names
    wanted = None if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if not wanted or not all(isinstance(name, str) and name in names for name in wanted):
        found = given if wanted is None else wanted
        raise KvaeError(
            f"the {graph} has the outputs {', '.join(names)}; outputs is a list of some of them; got "
            f"{printable(repr(found), 80)}."
        )
    return list(dict.fromkeys(wanted))


def count(n: int, seed: int, start: int) -> int:
    """`n`; raises KvaeError if it, the seed or the start is out of range."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or not 1 <= n <= noise.MAX_WORD:
        raise KvaeError(f"n must be an integer from 1 to 2^64 - 1; got {printable(repr(n), 80)}.")
    noise.check(seed, start, int(n))
    return int(n)


def temperatures(temperature: Temperature, groups: Sequence[int] | None) -> float | Floats:
    """The factor on the noise: a number, or one for each latent dimension, if one is given for each group.

    Raises:
        KvaeError: a temperature is out of range, or their number is not that of the groups.
    """
    try:
        given = np.asarray(temperature)
    except ValueError:  # lists of different lengths
        given = np.asarray(None)
    if given.dtype.kind not in "iuf":
        raise KvaeError(
            f"temperature must be a number between 0 and {MAX_TEMPERATURE:g}; got {printable(repr(temperature), 80)}."
        )
    given = given.astype(np.float64)
    within = (given >= 0) & (given <= MAX_TEMPERATURE)  # false for NaN
    if not within.all():
        worst = given[~within].flat[0] if given.ndim else given
        raise KvaeError(f"temperature must be a number between 0 and {MAX_TEMPERATURE:g}; got {worst:g}.")
    if given.ndim == 0:
        return float(given)
    if groups is None:
        raise KvaeError(f"temperature must be one number, because this model has no groups; got {given.size}.")
    if given.shape != (len(groups),):
        raise KvaeError(
            f"temperature must be one number, or one for each of the {len(groups)} groups; got {given.size}."
        )
    return np.repeat(given, groups).astype(np.float32)


def whole(values: ArrayLike, name: str) -> NDArray[np.int64]:
    """A batch of whole numbers, such as labels, as onnxruntime takes it; raises KvaeError if it is not one."""
    given = np.asarray(values)
    if given.dtype.kind not in "iu" or given.ndim != 1 or not len(given):
        raise KvaeError(
            f"{name} must be integers of shape (batch,), batch at least 1; got {given.dtype} {given.shape}."
        )
    return np.ascontiguousarray(given, np.int64)


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
