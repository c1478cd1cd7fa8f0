"""The table of replacements, which the topics' files fill, and what a replacement is given."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

Value = Any
"""What stands for a tensor of the traced graph while it is lowered: a numpy array if its value is known, else a tensor
of the new graph; `Sizes` for a shape that is known in part; a list for a TensorList; a handle for a variable."""


class Sizes(NamedTuple):
    """A vector of integers, such as a shape, of which some are known."""

    tensor: tf.Tensor
    entries: list[int | None]


class Refused(Exception):
    """An operation that cannot be exported."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.reason = reason
        """What the layer does, after "it"."""
        self.advice = advice
        """The replacement, as an imperative."""


class Call(NamedTuple):
    """One operation of the traced graph, as its replacement sees it."""

    op: tf.Operation
    inputs: list[Value]
    run: Callable[[str, list[Value]], list[Value]]
    """Lowers a function of the graph, by name, with these arguments."""

    def attribute(self, name: str) -> Any:
        """An attribute of the operation."""
        return self.op.get_attr(name)


Replacement = Callable[[Call], Any]
REPLACEMENTS: dict[str, Replacement] = {}
"""By the operation's type. Each returns a tuple of the outputs, or the only output, or None: keep the operation."""


def replaces(*types: str) -> Callable[[Replacement], Replacement]:
    """Decorator: the function replaces operations of these types."""

    def register(function: Replacement) -> Replacement:
        REPLACEMENTS.update(dict.fromkeys(types, function))
        return function

    return register


def known(value: Value) -> bool:
    """Whether a value does not depend on the network's inputs."""
    return isinstance(value, (np.ndarray, np.generic))


def number(value: Value, what: str) -> int:
    """A known scalar.

    Raises:
        Refused: it depends on the network's inputs.
    """
    if not known(value):
        raise Refused(f"has {what} that depends on the data", "use a fixed one")
    return int(value)
