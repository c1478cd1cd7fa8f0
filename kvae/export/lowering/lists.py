"""TensorLists, in which loops collect their results, become lists of tensors once the loop is unrolled."""

import numpy as np
import tensorflow as tf

from kvae.export.lowering.rules import Call, Refused, Value, known, number, replaces

INDEX = "a position in a loop"


@replaces("TensorListReserve")
def reserve(call: Call) -> Value:
    """A list of so many elements, none of which is set."""
    return [None] * number(call.inputs[1], "a list with a length")


@replaces("EmptyTensorList")
def empty(call: Call) -> Value:
    """A list without elements."""
    return []


@replaces("TensorListFromTensor")
def split(call: Call) -> Value:
    """The rows of a tensor."""
    tensor = call.inputs[0]
    if known(tensor):
        return list(tensor)
    if tensor.shape[0] is None:
        raise Refused("loops over the images of a batch, whose number varies", "compute all images at once")
    return list(tf.unstack(tensor))


@replaces("TensorListGetItem")
def get_item(call: Call) -> Value:
    """One element."""
    found = call.inputs[0][number(call.inputs[1], INDEX)]
    if found is None:  # never set: TensorFlow reads zeros
        return np.zeros(call.inputs[2], call.attribute("element_dtype").as_numpy_dtype)
    return found


@replaces("TensorListSetItem")
def set_item(call: Call) -> Value:
    """A list with one element replaced."""
    old, position, item = call.inputs
    new = list(old)
    new[number(position, INDEX)] = item
    return new


@replaces("TensorListPushBack")
def push(call: Call) -> Value:
    """A list with one element more."""
    return [*call.inputs[0], call.inputs[1]]


@replaces("TensorListPopBack")
def pop(call: Call) -> Value:
    """A list without its last element, and that."""
    return call.inputs[0][:-1], call.inputs[0][-1]


@replaces("TensorListLength")
def length(call: Call) -> Value:
    """The number of elements."""
    return np.array(len(call.inputs[0]), np.int32)


@replaces("TensorListStack")
def stack(call: Call) -> Value:
    """The elements as the rows of one tensor."""
    elements = call.inputs[0]
    example = next((element for element in elements if element is not None), None)
    if example is None:
        raise Refused("stacks the results of a loop without rounds", "leave out the loop")
    return tf.stack([tf.zeros_like(example) if element is None else element for element in elements])
