"""Splits a batch into parts that are computed in parallel, one per core."""

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

from kvae.steps.draws import Draws
from kvae.steps.example import Example

Terms = TypeVar("Terms", bound=tuple[Any, ...])


def side_by_side(function: Callable[[Example, Draws], Terms], example: Example, draws: Draws, num_parts: int) -> Terms:
    """What `function` returns for a batch, a named tuple of tensors `(..., batch)`, computed in parts.

    Args:
        function: treats each image independently; it is given the images of a part and their random numbers.
        example: the batch.
        draws: its random numbers.
        num_parts: number of parts; 1 calls `function` once.
    """
    if num_parts == 1:
        return function(example, draws)
    size = -(-example.num_images // num_parts)
    parts = [function(example.part(first, size), draws.skip(first)) for first in (n * size for n in range(num_parts))]
    return type(parts[0])(*(tf.concat(values, axis=-1) for values in zip(*parts, strict=True)))
