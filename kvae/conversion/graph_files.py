"""A bundle's graphs as files: `.onnx`, or `.ort`, onnxruntime's own format, with the manifest in each."""

from pathlib import Path

import onnx
import onnxruntime

from kvae.bundle import folder as bundle_files
from kvae.bundle.manifest import METADATA_KEY, Manifest
from kvae.errors import BundleError
from kvae.files.text import printable
from kvae.runtime.bundle import Bundle


def write(folder: Path, models: dict[str, onnx.ModelProto], manifest: Manifest) -> Bundle:
    """Write graphs in the manifest's format with the manifest in them, and the manifest beside them.

    Returns:
        The bundle that they are, opened with one thread: whoever measures it calls from threads of their own.

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
        raise BundleError(f"onnxruntime cannot write {path.name}: {printable(error)}") from None
