"""Check the operators of a graph: only standard ONNX, and none that draws noise. Needs `onnx` for `.onnx` files."""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kvae.errors import BundleError
from kvae.files.text import printable

DRAW_NOISE = ("Bernoulli", "Multinomial")
"""Operators that draw random numbers, besides those whose names start with `Random`."""


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

    operators = list(_of_graph(model.graph))
    check(name, operators)
    for domain, operator in operators:
        if not onnx.defs.has(operator, opset):
            raise BundleError(f"{name}: {domain or 'op'} {operator} is not a standard ONNX operator.")
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
    return {operator for _, operator in operators}


def check_file(path: Path, opset: int) -> set[str]:
    """`check_model` for a file; only `check` for a `.ort` file, which the ONNX checker cannot read.

    Raises:
        BundleError: the graph is refused; the message says why.
        ModuleNotFoundError: `onnx`, or onnxruntime's tools for `.ort`, are not installed.
    """
    if path.suffix == ".ort":
        operators = list(_of_ort(path))
        check(path.stem, operators)
        return {operator for _, operator in operators}
    import onnx

    try:
        return check_model(path.stem, onnx.load(path, load_external_data=False), opset)
    except BundleError:
        raise
    except Exception as error:  # a damaged graph can make onnx's reader and checker fail anywhere
        raise BundleError(f"{path.stem}: onnx cannot read {path}: {printable(error)}") from None


def check(name: str, operators: Iterable[tuple[str, str]]) -> None:
    """Refuse operators, as (domain, name), that are from another domain than ONNX's own, or draw noise."""
    for domain, operator in operators:
        if domain not in ("", "ai.onnx"):
            raise BundleError(f"{name}: {domain} {operator} is not a standard ONNX operator.")
        if operator.startswith("Random") or operator in DRAW_NOISE:
            raise BundleError(f"{name}: {operator} draws noise inside the graph; noise must be an input.")


def _of_graph(graph: Any) -> Iterator[tuple[str, str]]:
    for node in graph.node:
        yield node.domain, node.op_type
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _of_graph(subgraph)


def _of_ort(path: Path) -> Iterator[tuple[str, str]]:
    from onnxruntime.tools.ort_format_model import OrtFormatModelProcessor

    found: dict[str, dict[int, set[str]]] = {}  # by domain, by version
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # the processor leaves the file open
            OrtFormatModelProcessor(str(path), found, None).process()
    except Exception as error:  # a damaged file can make the reader fail anywhere
        raise BundleError(f"{path.stem}: onnxruntime's tools cannot read {path}: {type(error).__name__}.") from None
    for domain, versions in found.items():
        for operators in versions.values():
            yield from ((domain, operator) for operator in sorted(operators))
