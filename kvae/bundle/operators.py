"""Check the operators of a graph with `onnx` as well: its own checker, and which operators each version has."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kvae.bundle import graph_rules, onnx_scan
from kvae.errors import BundleError
from kvae.files.text import printable


def check_model(name: str, model: Any, opset: int) -> set[str]:
    """Refuse a graph that has another operator, or that the ONNX checker refuses.

    Args:
        name: the graph's name, for messages.
        model: the graph, an `onnx.ModelProto`.
        opset: the version of the operator set in the manifest.

    Returns:
        The operators found.

    Raises:
        BundleError: the graph is refused; the message says why.
        ModuleNotFoundError: `onnx` is not installed.
    """
    import onnx

    nodes = list(_nodes(model.graph))
    for node in nodes:
        integers = {attribute.name: attribute.i for attribute in node.attribute}
        graph_rules.check_node(name, node.domain, node.op_type, [bool(end) for end in node.input], integers)
        if not onnx.defs.has(node.op_type, opset):
            raise BundleError(f"{name}: {node.op_type} is not a standard ONNX operator of opset {opset}.")
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise BundleError(f"{name}: {tensor.name} is stored in another file; a bundle's weights are in its graphs.")
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    if versions != [opset]:
        raise BundleError(f"{name}: the manifest has opset {opset}, the graph {', '.join(map(str, versions))}.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f"{name}: the ONNX checker refuses the graph: {str(error).splitlines()[0]}") from None
    return {node.op_type for node in nodes}


def check_file(path: Path, opset: int) -> set[str]:
    """`check_model` for a file; a `.ort` file, which the ONNX checker cannot read, is only scanned.

    Raises:
        BundleError: the graph is refused; the message says why.
        ModuleNotFoundError: `onnx` is not installed, and the file is a `.onnx`.
    """
    if onnx_scan.is_ort(path):
        found = onnx_scan.check(path)
        if found.opset != opset:
            raise BundleError(f"{path.stem}: the manifest has opset {opset}, the graph {found.opset}.")
        return found.operators
    import onnx

    try:
        return check_model(path.stem, onnx.load(path, load_external_data=False), opset)
    except BundleError:
        raise
    except Exception as error:  # a damaged graph can make onnx's reader and checker fail anywhere
        raise BundleError(f"{path.stem}: onnx cannot read {path}: {printable(error)}") from None


def _nodes(graph: Any) -> Iterator[Any]:
    """All nodes of a graph and of its subgraphs."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _nodes(subgraph)
