"""A VAE's networks as ONNX graphs, with the names from the bundle's contract. Nothing after this needs TensorFlow."""

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from kvae.bundle.graph_rules import ENDLESS, MAX_NODES
from kvae.export.lowering import lowering
from kvae.export.lowering.lowering import Lowered
from kvae.export.lowering.refusals import ADVICE, REWRITE
from kvae.export.problem import NotExportable, Problem, first_line, layer_at
from kvae.files.text import printable

OPSET = 17
TRACEABLE = (
    "compute with keras.ops or TensorFlow alone, not with numpy, and let no condition depend on a tensor's values"
)


def convert(name: str, function: Callable[..., Any], ends: dict[str, Any], network: keras.Layer) -> onnx.ModelProto:
    """The graph of one function, of which only the operators are checked.

    Args:
        name: its role: "decoder", "encoder", "prior" or "prior_density".
        function: one of `kvae.export.functions.Functions`, whose arguments have the inputs' names.
        ends: the inputs and outputs that `kvae.bundle.manifest.contract` prescribes for it.
        network: the network behind the function, in which layers are looked up.

    Raises:
        NotExportable: the graph would need more than standard operators.
    """
    inputs, outputs = ([tensor["name"] for tensor in ends[end]] for end in ("inputs", "outputs"))
    lowered = lower(name, function, ends, network)
    # tf2onnx only logs an operation that it does not know, and writes it into the graph.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    try:
        with _quiet_root():
            model, _ = tf2onnx.convert.from_function(
                lowered.function, signature(ends), opset=OPSET, custom_op_handlers={"SelectV2": (_where, [])}
            )
        _rename(model.graph, inputs, outputs)
    except Exception as error:  # tf2onnx's own errors have no common base
        raise NotExportable([Problem(name, "", f"tf2onnx cannot convert it: {printable(error)}", REWRITE)]) from None
    unknown = {node.name: node.op_type for node in model.graph.node if not _is_standard(node)}
    if unknown:
        where = ((layer_at(network, step), operator) for step, operator in unknown.items())
        problems = (Problem(name, layer, _reason(op), ADVICE.get(op, REWRITE)) for layer, op in where)
        raise NotExportable(_one_each(problems))
    if len(model.graph.node) > MAX_NODES:
        raise NotExportable([_too_large(model.graph, name, network)])
    del model.opset_import[:]  # tf2onnx names ai.onnx.ml too, whose ops kvae.export.proof refuses
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    return model


@contextlib.contextmanager
def _quiet_root() -> Iterator[None]:
    """Keep from stderr what tf2onnx's rewriter of Gemm says through the root logger: that it leaves a product alone.

    With the handler, Python does not set up its root logger for it either, which would then print every other library's
    messages too.
    """
    root, handler = logging.getLogger(), logging.NullHandler()

    def is_other(record: logging.LogRecord) -> bool:
        return record.module != "gemm_rewriter"

    root.addHandler(handler)
    root.addFilter(is_other)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.removeFilter(is_other)


def _where(context: Any, node: Any, name: str, arguments: Any) -> None:
    """tf.where as ONNX's Where: tf2onnx would add both values times 0 and 1, but 0 times infinity is not a number."""
    node.type = "Where"


def _is_standard(node: onnx.NodeProto) -> bool:
    """Whether an operator is ONNX's own, and not a loop, which `kvae.bundle.onnx_scan` refuses."""
    return not node.domain and node.op_type not in ENDLESS and onnx.defs.has(node.op_type, OPSET)


def _too_large(graph: onnx.GraphProto, name: str, network: keras.Layer) -> Problem:
    layer, count = Counter(layer_at(network, node.name) for node in graph.node).most_common(1)[0]
    reason = f"it becomes {count:,} operators, but a graph may have only {MAX_NODES:,}"
    return Problem(name, layer, reason, "loop over fewer steps, or compute without a loop")


def _reason(operator: str) -> str:
    return "it becomes a loop" if operator in ENDLESS else f"{operator} is not a standard ONNX operator"


def lower(name: str, function: Callable[..., Any], ends: dict[str, Any], network: keras.Layer) -> Lowered:
    """A function as TensorFlow operations that can be converted; arguments and errors as for `convert`."""
    inputs = [tensor["name"] for tensor in ends["inputs"]]
    try:
        lowered = lowering.lower(lambda *given: function(**dict(zip(inputs, given, strict=True))), signature(ends))
    except Exception as error:  # a user's own code, which works on numbers, fails on symbols
        raise NotExportable([Problem(name, "", f"it cannot be traced: {first_line(error)}", TRACEABLE)]) from None
    if lowered.troubles:
        troubles = (Problem(name, layer_at(network, step), *words) for step, *words in lowered.troubles)
        raise NotExportable(_one_each(troubles))
    return lowered


def _one_each(problems: Iterable[Problem]) -> list[Problem]:
    """The first problem of each layer: the others often follow from it."""
    found: dict[str, Problem] = {}
    for problem in problems:
        found.setdefault(problem.layer, problem)
    return list(found.values())


def signature(ends: dict[str, Any]) -> list[tf.TensorSpec]:
    """The inputs of a graph, for TensorFlow."""
    return [tf.TensorSpec((None, *end["shape"][1:]), tf.as_dtype(end["dtype"]), end["name"]) for end in ends["inputs"]]


def _rename(graph: onnx.GraphProto, inputs: list[str], outputs: list[str]) -> None:
    """Rename the graph's inputs, outputs and dynamic dimension from tf2onnx's names to the contract's."""
    names = dict(zip([end.name for end in (*graph.input, *graph.output)], [*inputs, *outputs], strict=True))
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(end, end) for end in ends]
    for end in (*graph.input, *graph.output):
        end.name = names[end.name]
        for dim in end.type.tensor_type.shape.dim[:1]:
            if not dim.dim_value:
                dim.dim_param = "batch"
    del graph.value_info[:]  # it uses tf2onnx's name for the dynamic dimension; onnxruntime infers shapes by itself


def interface(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """The inputs and outputs of a graph, as the manifest lists them."""

    def describe(end: onnx.ValueInfoProto) -> dict[str, Any]:
        tensor = end.type.tensor_type
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        return {"name": end.name, "dtype": dtype, "shape": [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]}

    return {"inputs": [describe(end) for end in model.graph.input], "outputs": [*map(describe, model.graph.output)]}
