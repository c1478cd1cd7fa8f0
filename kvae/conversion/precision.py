"""Converts a graph to float16 weights, with the same float32 inputs and outputs."""

import numpy as np
import onnx

from kvae.errors import BundleError

MAX_FLOAT16 = 65504.0


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its weights stored in float16, and a Cast to float32 after each.

    Computation stays in float32: logits of 1e5 do not overflow, a small scale does not become 0, and every execution
    provider can run the graph. On a CPU, which has few float16 kernels, it is as fast as before, because onnxruntime
    applies the casts when it loads the graph; it does not for a `.ort` graph, which is slower. Biases are too few to
    matter and stay as they are.

    Raises:
        BundleError: a weight is too large for float16.
    """
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    casts = []
    for weight in converted.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or len(weight.dims) < 2:
            continue
        values, name = onnx.numpy_helper.to_array(weight), weight.name
        largest = float(np.max(np.abs(values), initial=0.0))
        if not largest <= MAX_FLOAT16:
            raise BundleError(f"{name} has a weight of {largest:g}; the largest float16 is {MAX_FLOAT16:g}.")
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}/float16"))
        casts.append(
            onnx.helper.make_node("Cast", [weight.name], [name], name=f"{name}/cast", to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *converted.graph.node]  # a node must come after those it depends on
    del converted.graph.node[:]
    converted.graph.node.extend(nodes)
    return converted
