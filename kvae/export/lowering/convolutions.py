"""Convolutions that tf2onnx converts wrongly."""

import tensorflow as tf

from kvae.export.lowering.rules import Call, Value, replaces


@replaces("Conv2DBackpropInput", "Conv3DBackpropInputV2")
def transposed(call: Call) -> Value:
    """A transposed convolution whose kernel is smaller than its stride, which tf2onnx gives a negative padding.

    The gaps that it leaves are filled by a kernel padded with zeros.
    """
    sizes, kernel, images = call.inputs
    result, strides, dilations = call.op.outputs[0].shape, call.attribute("strides"), call.attribute("dilations")
    if call.attribute("data_format") not in (b"NHWC", b"NDHWC"):
        return None
    missing = []
    for axis in range(1, len(strides) - 1):
        reach = (kernel.shape[axis - 1] - 1) * dilations[axis] + 1
        before, after = images.shape[axis], result[axis]
        if before is None or after is None:
            return None
        missing.append(max(0, -(-(after - (before - 1) * strides[axis] - reach) // dilations[axis])))
    if not any(missing):
        return None
    padded = tf.pad(kernel, [[0, count] for count in missing] + [[0, 0], [0, 0]])
    function = tf.raw_ops.Conv2DBackpropInput if len(strides) == 4 else tf.raw_ops.Conv3DBackpropInputV2
    return function(
        input_sizes=getattr(sizes, "tensor", sizes),
        filter=padded,
        out_backprop=images,
        strides=strides,
        padding=call.attribute("padding"),
        dilations=dilations,
    )
