"""Writes a bundle's graphs as `.onnx` files, or `.ort`, onnxruntime's own format, with the manifest in each."""

from pathlib import Path

import onnx
import onnxruntime

from kvae.bundle import folder as bundle_files
from kvae.bundle.manifest import METADATA_KEY, Manifest
from kvae.errors import BundleError
from kvae.files.text import printable
from kvae.runtime.bundle import Bundle


def write(folder: Path, models: dict[str, onnx.ModelProto], manifest: Manifest) -> Bundle:
    """Write graphs in the manifest's format, with the manifest both inside and beside them.

    Returns:
        The resulting bundle, opened with one thread, because callers measure it from several threads of their own.

    Raises:
        BundleError: onnxruntime cannot load a graph.
    """
    for name, model in models.items():
        del model.metadata_props[:]
        model.metadata_props.add(key=METADATA_KEY, value=manifest.for_graph())
        path = folder / manifest.graph_file(name)
        if manifest.graph_format == "ort":
            write_ort(model, path)
        else:
            onnx.save(model, path)
    bundle_files.write_manifest(folder, manifest)
    return Bundle.open(folder, device="cpu", threads=1)


def write_ort(model: onnx.ModelProto, path: Path) -> None:
    """Write a graph in onnxruntime's own format, which its small builds for phones and boards read too.

    The graph is simplified using only standard operators: further levels of optimisation insert onnxruntime's own
    operators for this processor, which another machine or execution provider may not have.

    Raises:
        BundleError: onnxruntime cannot load the graph.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # nothing runs
    options.log_severity_level = 4  # errors are raised as exceptions
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
    except Exception as error:  # onnxruntime's exceptions have no narrower common base
        raise BundleError(f"onnxruntime cannot write {path.name}: {printable(error)}") from None
