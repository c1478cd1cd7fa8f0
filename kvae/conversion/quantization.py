"""Quantises a graph's layers to 8-bit integers, with standard operators and the same float32 inputs and outputs."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from kvae.errors import BundleError
from kvae.files.text import printable

LAYERS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
"""The operators that have weights."""
CONVOLUTIONS = ("Conv", "ConvTranspose")
CALIBRATION_BATCH = 100
"""Inputs per call during calibration."""


def to_int8(model: onnx.ModelProto, inputs: Mapping[str, NDArray[Any]], round_convolutions: bool) -> onnx.ModelProto:
    """The graph with int8 weights; its layers round their inputs to 8 bits and compute in integers.

    Weights have one scale per channel; a layer's inputs have the range that `inputs` gives them. The layers' results
    stay float32, and so do all activations and the graph's outputs. Weights use 7 of their 8 bits: processors without
    VNNI add pairs of products in 16 bits, which 8-bit weights overflow (in 1 result of 100 in the shipped decoder's
    first layer), and a bundle must not depend on the processor.

    Args:
        model: the float32 graph.
        inputs: real values of its inputs, by name, to calibrate on.
        round_convolutions: whether to round the results of convolutions to 8 bits too. ONNX's integer convolution
            requires this; otherwise a convolution only has small weights, and runs at float32's speed. The last
            convolutions, whose results are the graph's outputs, stay entirely in float32.

    Raises:
        BundleError: onnxruntime cannot quantise the graph.
    """
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            firsts = range(0, len(next(iter(inputs.values()))), CALIBRATION_BATCH)
            self._batches = (
                {name: values[row : row + CALIBRATION_BATCH] for name, values in inputs.items()} for row in firsts
            )

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._batches, None)

    named = onnx.ModelProto()
    named.CopyFrom(model)
    for index, node in enumerate(named.graph.node):
        node.name = f"{node.op_type}_{index}"  # the quantiser identifies nodes by name
    with tempfile.TemporaryDirectory(prefix="kvae-") as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        try:
            quantization.quantize_static(
                named,
                path,
                Reader(),
                op_types_to_quantize=list(LAYERS),
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_exclude=_last_convolutions(named.graph) if round_convolutions else [],
                extra_options={
                    "OpTypesToExcludeOutputQuantization": [
                        layer for layer in LAYERS if not (round_convolutions and layer == "Conv")
                    ],
                    "MatMulConstBOnly": True,
                },
            )
        except Exception as error:  # the quantiser's exceptions have no narrower common base
            raise BundleError(f"onnxruntime cannot quantise this graph: {printable(error)}") from None
        converted = onnx.load(path)
    _spell_out(converted.graph)
    return converted


def _last_convolutions(graph: onnx.GraphProto) -> list[str]:
    """The names of the convolutions whose results go through no further layer."""
    read_later: set[str] = set()  # tensors that lead to a later layer
    last = []
    for node in reversed(graph.node):
        on_the_way = not read_later.isdisjoint(node.output)
        if node.op_type in CONVOLUTIONS and not on_the_way:
            last.append(node.name)
        if on_the_way or node.op_type in LAYERS:
            read_later.update(node.input)
    return last


def _spell_out(graph: onnx.GraphProto) -> None:
    """Replace each DequantizeLinear, float32 layer and QuantizeLinear that the quantiser wrote by integer operators.

    onnxruntime would do so itself when it loads a `.onnx`, but not a `.ort`, which would then be slower than float32;
    nor for a MatMul followed by a bias, which it first turns into a float32 Gemm.
    """
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    producers = {end: node for node in graph.node for end in node.output}
    rounding = {node.input[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    replaced: set[str] = set()
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        parts = [producers[end] for end in node.input if end in producers]
        quantized = len(parts) == len(node.input) and all(part.op_type == "DequantizeLinear" for part in parts)
        if quantized and node.op_type == "MatMul" and arrays[parts[1].input[0]].ndim == 2:
            (_, value_scale, _), (_, weight_scale, _) = (part.input for part in parts)
            scale = (arrays[value_scale] * arrays[weight_scale]).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(scale, f"{node.output[0]}/scale"))
            nodes += _integer_matmul(node, *parts)
        elif quantized and node.op_type == "Conv" and node.output[0] in rounding:
            nodes.append(_integer_convolution(node, parts, rounding[node.output[0]]))
            replaced.update(nodes[-1].output)
        elif replaced.isdisjoint(node.output):
            nodes.append(node)
    _keep(graph, nodes)


def _integer_matmul(node: onnx.NodeProto, values: onnx.NodeProto, weights: onnx.NodeProto) -> list[onnx.NodeProto]:
    """The product in int32, converted back to float32 by the scale in the graph."""
    (result,) = node.output
    quantized, _, zero = values.input
    return [
        helper.make_node("MatMulInteger", [quantized, weights.input[0], zero], [f"{result}/int32"]),
        helper.make_node("Cast", [f"{result}/int32"], [f"{result}/float32"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [f"{result}/float32", f"{result}/scale"], [result]),
    ]


def _integer_convolution(node: onnx.NodeProto, parts: list[onnx.NodeProto], rounded: onnx.NodeProto) -> onnx.NodeProto:
    values, weights, *bias = (part.input for part in parts)
    # The bias is int32, in units of the product of both scales.
    ends = [*values, *weights, *rounded.input[1:], *(end[0] for end in bias)]
    integers = helper.make_node("QLinearConv", ends, rounded.output)
    integers.attribute.extend(node.attribute)
    return integers


def _keep(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    """Keep only these nodes in the graph, without those that nothing reads, and the tensors that they read."""
    needed = {end.name for end in graph.output}
    kept: list[onnx.NodeProto] = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            kept.append(node)
            needed.update(node.input)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(tensors)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice, which goes to the root logger, from being printed if no log was set up."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
