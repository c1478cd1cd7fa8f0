"""Variables become constants: the graph of a bundle keeps no state."""

from typing import Any

import tensorflow as tf

from kvae.export.lowering.rules import Call, Refused, Value, replaces


def value_of(handle: Any, dtype: tf.DType) -> Any:
    """The present value of a variable, a numpy array."""
    with tf.init_scope():
        return tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype).numpy()


@replaces("ReadVariableOp", "VariableV2", "VarHandleOp")
def read(call: Call) -> Value:
    """The variable's value; `lowering` sees to those that the network assigns to."""
    return value_of(call.inputs[0], call.attribute("dtype"))


@replaces("ResourceGather")
def gather(call: Call) -> Value:
    """Rows of a variable: an embedding."""
    handle, indices = call.inputs
    return tf.gather(value_of(handle, call.attribute("dtype")), indices, batch_dims=call.attribute("batch_dims"))


@replaces("AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp")
def assign(call: Call) -> Value:
    """A value that is only there once a variable has been changed."""
    raise Refused("changes a variable at every call", "change it only if training is true")
