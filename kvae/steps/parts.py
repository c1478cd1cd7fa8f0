"""A batch cut into parts that are computed side by side, so that each core has one."""

from collections.abc import Callable
from typing import Any, TypeVar

import tensorflow as tf

from kvae.steps.draws import Draws
from kvae.steps.example import Example

Terms = TypeVar("Terms", bound=tuple[Any, ...])


def side_by_side(function: Callable[[Example, Draws], Terms], example: Example, draws: Draws, num_parts: int) -> Terms:
    """What `function` returns of a batch, a named tuple of tensors `(..., batch)`, computed in parts.

    Args:
        function: computes each image by itself; it is given the images of a part, and the random numbers of these.
        example: the batch.
        draws: its random numbers.
        num_parts: how many; 1 calls `function` once.
    """
    if num_parts == 1:
        return function(example, draws)
    size = -(-example.num_images // num_parts)
    parts = [function(example.part(first, size), draws.skip(first)) for first in (n * size for n in range(num_parts))]
    return type(parts[0])(*(tf.concat(values, axis=-1) for values in zip(*parts, strict=True)))
