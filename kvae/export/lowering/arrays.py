"""Operations on arrays that tf2onnx lacks, or turns into loops."""

import numpy as np
import tensorflow as tf

from kvae.export.lowering.rules import Call, Value, known, replaces


@replaces("Bucketize")
def bucketize(call: Call) -> Value:
    """How many boundaries are at most as large as each number: `keras.layers.Discretization`."""
    boundaries = tf.constant(call.attribute("boundaries"), tf.float32)
    reached = tf.cast(call.inputs[0], tf.float32)[..., None] >= boundaries
    return tf.reduce_sum(tf.cast(reached, tf.int32), axis=-1)


@replaces("Cumprod")
def cumulative_product(call: Call) -> Value:
    """One product after the other, along an axis of known length."""
    tensor, axis = call.inputs
    if not known(axis) or tensor.shape[int(axis)] is None:
        return None
    parts = tf.unstack(tensor, axis=int(axis))
    if call.attribute("reverse"):
        parts.reverse()
    if call.attribute("exclusive"):
        parts = [tf.ones_like(parts[0]), *parts[:-1]]
    for place in range(1, len(parts)):
        parts[place] = parts[place - 1] * parts[place]
    return tf.stack(parts[::-1] if call.attribute("reverse") else parts, axis=int(axis))


@replaces("XlaDynamicUpdateSlice")
def update_slice(call: Call) -> Value:
    """A part of a tensor replaced, at a known place: `keras.ops.slice_update`."""
    tensor, update, starts = call.inputs
    sizes, parts = tensor.shape.as_list(), update.shape.as_list()
    if not known(starts) or sizes[0] != parts[0] or None in sizes[1:] or starts[0] != 0:
        return None
    margins = [[0, 0]] + [
        [int(start), size - int(start) - part]
        for start, size, part in zip(starts[1:], sizes[1:], parts[1:], strict=True)
    ]
    inside = np.pad(np.ones([1, *parts[1:]], bool), margins)
    return tf.where(inside, tf.pad(update, margins), tensor)
