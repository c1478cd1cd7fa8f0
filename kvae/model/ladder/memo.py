"""Remembers, with a tensor of codes, what the top-down pass that made them computed on the way.

A posterior of groups runs the top-down network to draw; the decoder of these very codes would run all of it again. What
is remembered is an attribute of the tensor itself: it is found only for that tensor, not for one with equal values, and
lives as long as the tensor does. So nothing has to be cleared. Only the tensors of a traced step remember: others may
be decoded after the weights have changed.
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
    """Keep a memory with the codes that the pass drew, if they are part of a traced step."""
    if not tf.executing_eagerly():
        setattr(codes, _NAME, memory)


def recall(codes: tf.Tensor, owner: Any, label: tf.Tensor | None) -> Any:
    """The state of the pass that drew these codes in the same network with the same labels; None if there is none."""
    memory = getattr(codes, _NAME, None)
    if not isinstance(memory, Memory) or memory.owner is not owner:
        return None
    same = memory.label is label or (label is not None and getattr(label, _ORIGINAL, None) is memory.label)
    return memory.state if same else None


def tiled(values: tf.Tensor, draws: Any) -> tf.Tensor:
    """The rows of a batch once for each draw, `(draws * batch, ...)`, which know what they repeat."""
    if isinstance(draws, int) and draws == 1:
        return values
    found = tf.tile(values, [draws] + [1] * (values.shape.rank - 1))
    setattr(found, _ORIGINAL, values)
    return found
