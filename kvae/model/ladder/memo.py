"""Remembers, with a tensor of codes, what the top-down pass that made them computed on the way.

A posterior of groups runs the top-down network to draw; the decoder of these very codes would run all of it again. What
is remembered is an attribute of the tensor itself: it is found only for that tensor, not for one with equal values, and
lives as long as the tensor does, in a traced step as well as outside. So nothing has to be cleared.
"""

from typing import Any, NamedTuple

import tensorflow as tf

_NAME, _ORIGINAL = "_kvae_top_down", "_kvae_original"


class Memory(NamedTuple):
    """The result of a top-down pass."""

    owner: Any
    """The network that made the pass; the result is of no use to any other."""
    label: tf.Tensor | None
    """The labels of the images that the pass was made for, before they were repeated for each draw."""
    state: Any
    """What the pass ended with."""


def remember(codes: tf.Tensor, memory: Memory) -> None:
    """Keep a memory with the codes that the pass drew."""
    setattr(codes, _NAME, memory)


def recall(codes: tf.Tensor, owner: Any, label: tf.Tensor | None) -> Any:
    """The state of the pass that drew these codes in the same network with the same labels; None if there is none."""
    memory = getattr(codes, _NAME, None)
    if not isinstance(memory, Memory) or memory.owner is not owner:
        return None
    same = memory.label is label or (label is not None and getattr(label, _ORIGINAL, None) is memory.label)
    return memory.state if same else None


def repeats(values: tf.Tensor, original: tf.Tensor) -> tf.Tensor:
    """The values, which say from now on that they are those of `original`, repeated once for each draw."""
    setattr(values, _ORIGINAL, original)
    return values
