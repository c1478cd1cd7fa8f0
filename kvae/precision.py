"""A graph with float16 weights, and one in onnxruntime's own file format; the inputs and outputs are the same."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from kvae.errors import BundleError

MAX_FLOAT16 = 65504.0


def to_float16(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its weights stored in float16, and a Cast to float32 behind each.

    What is computed stays float32: logits of 1e5 do not overflow, a small scale does not become 0, every execution
    provider can run it, and on a CPU, which has few float16 kernels, it is as fast as before, since onnxruntime takes
    the casts when it loads the graph. Biases are too few to matter and stay as they are.

    Raises:
        BundleError: a weight is beyond what float16 holds.
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
            raise BundleError(f"{name} has a weight of {largest:g}; float16 ends at {MAX_FLOAT16:g}.")
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}/float16"))
        casts.append(
            onnx.helper.make_node("Cast", [weight.name], [name], name=f"{name}/cast", to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *converted.graph.node]  # a graph's nodes stand in the order of their dependence
    del converted.graph.node[:]
    converted.graph.node.extend(nodes)
    return converted


def write_ort(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph in onnxruntime's own format, which its small builds for phones and boards read too.

    It holds the graph as simplified by standard operators: the further levels put operators of onnxruntime's own in
    place, for the processor at hand, which another machine or execution provider may not have.

    Raises:
        BundleError: onnxruntime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors come as exceptions
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    try:
        onnxruntime.InferenceSession(
            model.SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["ConstantFolding"],  # it would store float16 weights as float32 again
        )
    except Exception as error:  # onnxruntime's exceptions share no narrower base
        raise BundleError(f"onnxruntime cannot write {path.name}: {' '.join(str(error).split())[:200]}") from None
