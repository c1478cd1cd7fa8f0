"""Resizing that ONNX computes otherwise, as products with fixed matrices."""

from typing import Any

import numpy as np
import tensorflow as tf

from kvae.export.lowering.rules import Call, Value, known, replaces


def _attributes(call: Call) -> dict[str, Any]:
    return {entry.name: call.attribute(entry.name) for entry in call.op.op_def.attr if entry.name != "T"}


def _weights(call: Call, size: int, new_size: int, axis: int) -> np.ndarray:
    """The matrix `(new_size, size)` by which the operation resizes along an axis, found by resizing unit vectors."""
    units = tf.reshape(tf.eye(size), [1, size, 1, size] if axis == 1 else [1, 1, size, size])
    target = [new_size, 1] if axis == 1 else [1, new_size]
    attributes = _attributes(call)
    function = getattr(tf.raw_ops, call.op.type)
    with tf.init_scope():
        if call.op.type == "ScaleAndTranslate":
            place = axis - 1
            scale, shift = (np.ones(2, np.float32), np.zeros(2, np.float32))
            scale[place], shift[place] = call.inputs[2][place], call.inputs[3][place]
            resized = function(images=units, size=target, scale=scale, translation=shift, **attributes)
        else:
            resized = function(images=units, size=target, **attributes)
        return tf.reshape(resized, [new_size, size]).numpy()


@replaces("ResizeNearestNeighbor")
def nearest(call: Call) -> Value:
    """The nearest rows and columns, by their numbers: runtimes round halves in ways of their own."""
    images, new_sizes = call.inputs
    if not known(new_sizes) or None in images.shape[1:3]:
        return None
    for axis in (1, 2):
        size, new_size = images.shape[axis], int(new_sizes[axis - 1])
        with tf.init_scope():
            line = np.arange(size, dtype=np.float32).reshape([1, size, 1, 1] if axis == 1 else [1, 1, size, 1])
            target = [new_size, 1] if axis == 1 else [1, new_size]
            numbers = tf.raw_ops.ResizeNearestNeighbor(images=line, size=target, **_attributes(call)).numpy().ravel()
        images = tf.gather(images, numbers.astype(np.int32), axis=axis)
    return images


@replaces("ScaleAndTranslate", "ResizeBicubic", "ResizeArea")
def resize(call: Call) -> Value:
    """Antialiased, bicubic and area resizing: one matrix for the rows, one for the columns."""
    images, new_sizes = call.inputs[:2]
    sizes = images.shape.as_list()
    if not all(known(value) for value in call.inputs[1:]) or None in sizes[1:]:
        return None
    height, width, channels = sizes[1:]
    new_height, new_width = map(int, new_sizes)
    with tf.init_scope():
        rows, columns = _weights(call, height, new_height, 1), _weights(call, width, new_width, 2)
    images = tf.cast(images, tf.float32)
    tall = tf.matmul(rows, tf.reshape(images, [-1, height, width * channels]))
    wide = tf.matmul(columns, tf.reshape(tall, [-1, width, channels]))
    return tf.reshape(wide, [-1, new_height, new_width, channels])
