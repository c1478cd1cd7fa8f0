"""Shapes: whatever is known of them becomes constant; only the number of images is not."""

import numpy as np
import tensorflow as tf

from kvae.export.lowering.rules import Call, Sizes, Value, known, replaces


def _entries(value: Value) -> list[int | None] | None:
    """What is known of a vector of integers; None if nothing is."""
    if known(value) and value.ndim == 1:
        return [int(entry) for entry in value]
    return value.entries if isinstance(value, Sizes) else None


def _vector(tensor: tf.Tensor, entries: list[int | None]) -> Value:
    if None in entries:
        return Sizes(tensor, entries)
    return np.array(entries, tensor.dtype.as_numpy_dtype)


@replaces("Shape")
def shape(call: Call) -> Value:
    """All axes but the batch have a known size."""
    tensor = call.inputs[0]
    if tensor.shape.rank is None:
        return None
    return _vector(tf.shape(tensor, call.attribute("out_type")), tensor.shape.as_list())


@replaces("StridedSlice")
def strided_slice(call: Call) -> Value:
    """Entries of a shape. (Slices of images are left as they are.)"""
    vector, *bounds = call.inputs
    entries = _entries(vector)
    masks = {name: call.attribute(f"{name}_mask") for name in ("begin", "end", "shrink_axis", "new_axis", "ellipsis")}
    if entries is None or not all(map(known, bounds)) or masks["new_axis"] or masks["ellipsis"]:
        return None
    begin, end, stride = (int(bound[0]) for bound in bounds)
    if masks["shrink_axis"]:
        entry = entries[begin]
        return None if entry is None else np.array(entry, vector.tensor.dtype.as_numpy_dtype)
    chosen = slice(None if masks["begin"] else begin, None if masks["end"] else end, stride)
    return _vector(vector.tensor[chosen], entries[chosen])


@replaces("Pack")
def pack(call: Call) -> Value:
    """A shape put together from numbers."""
    if call.op.outputs[0].shape.rank != 1 or not call.op.outputs[0].dtype.is_integer:
        return None
    entries = [int(value) if known(value) else None for value in call.inputs]
    return Sizes(tf.stack(call.inputs), entries)


@replaces("ConcatV2")
def concat(call: Call) -> Value:
    """A shape put together from parts."""
    *parts, axis = call.inputs
    if call.op.outputs[0].shape.rank != 1 or not call.op.outputs[0].dtype.is_integer:
        return None
    entries: list[int | None] = []
    for part in parts:
        found = _entries(part)
        if found is None and part.shape[0] is None:
            return None
        entries += found or [None] * part.shape[0]
    return Sizes(tf.concat([getattr(part, "tensor", part) for part in parts], 0), entries)


@replaces("Cast")
def cast(call: Call) -> Value:
    """A shape in another type of integer."""
    vector, target = call.inputs[0], call.attribute("DstT")
    return Sizes(tf.cast(vector.tensor, target), vector.entries) if isinstance(vector, Sizes) else None


@replaces("Reshape")
def reshape(call: Call) -> Value:
    """With a single unknown size, which follows from the others."""
    tensor, sizes = call.inputs
    if not isinstance(sizes, Sizes) or sizes.entries.count(None) != 1 or -1 in sizes.entries:
        return None
    return tf.reshape(tensor, [-1 if entry is None else entry for entry in sizes.entries])


@replaces("BroadcastArgs")
def broadcast(call: Call) -> Value:
    """The shape of two tensors together, by the rule that a size of 1 stretches: the larger of the two sizes."""
    left, right = (value.tensor if isinstance(value, Sizes) else value for value in call.inputs)
    length = max(left.shape[0], right.shape[0])
    padded = [tf.pad(value, [[length - value.shape[0], 0]], constant_values=1) for value in (left, right)]
    return tf.maximum(*padded)
