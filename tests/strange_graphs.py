"""Bundles of strangers: graphs written by hand, with the tensors of the contract and a manifest, but any operators."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from kvae.bundle.manifest import METADATA_KEY, Manifest, contract, sha256

SHAPE = [2, 2, 1]
LATENT_DIM = 4
FLOAT = TensorProto.FLOAT


def manifest(**changes):
    """A manifest for images of 2 x 2 and four latent dimensions."""
    values = {
        "kvae_version": "0.1.0",
        "dataset": {"name": "strange", "sha256": "", "num_images": 10},
        "image_shape": SHAPE,
        "latent_dim": LATENT_DIM,
        "likelihood": "bernoulli",
        "likelihood_parameters": ["logits"],
        "tensors": contract(SHAPE, LATENT_DIM, 1),
        "opset": 17,
        "metrics": {},
        "training": {},
    }
    return Manifest(**(values | changes))


def constant(name, value, dtype=np.float32):
    """A node that gives a constant, in a tensor of this name."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(value, dtype), name))


def decoder(*nodes, known=None, opset=17, imports=(), metadata=None):
    """A decoder: `nodes` go from `z` to `flat`, which is both `mean` and `likelihood_parameters`, in 2 x 2 pixels.

    Args:
        nodes: the nodes; by default a sigmoid.
        known: the manifest; by default `manifest()`.
        opset: the version of ONNX's operators.
        imports: names of further domains.
        metadata: the text of the manifest in the graph; by default that of `known`.
    """
    known = known or manifest()
    nodes = nodes or (helper.make_node("Sigmoid", ["z"], ["flat"]),)
    shape = constant("shape_of_images", [-1, *SHAPE], np.int64)
    ends = [
        helper.make_node("Reshape", ["flat", "shape_of_images"], [name]) for name in ("mean", "likelihood_parameters")
    ]
    tensors = [
        helper.make_tensor_value_info(end["name"], FLOAT, end["shape"])
        for side in ("inputs", "outputs")
        for end in known.tensors["decoder"][side]
    ]
    graph = helper.make_graph([*nodes, shape, *ends], "strange", tensors[:1], tensors[1:])
    versions = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, 1) for name in imports)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8)
    model.metadata_props.add(key=METADATA_KEY, value=known.for_graph() if metadata is None else metadata)
    return model


def encoder(*nodes, known=None, metadata=None):
    """An encoder: `nodes` go from `flat`, the pixels, to `loc` and `scale`; by default loc 0 and scale 1."""
    known = known or manifest()
    nodes = nodes or (
        helper.make_node("Sub", ["flat", "flat"], ["loc"]),
        helper.make_node("Exp", ["loc"], ["scale"]),
    )
    shape = constant("shape_of_rows", [-1, LATENT_DIM], np.int64)
    tensors = [
        helper.make_tensor_value_info(end["name"], FLOAT, end["shape"])
        for side in ("inputs", "outputs")
        for end in known.tensors["encoder"][side]
    ]
    first = helper.make_node("Reshape", ["images", "shape_of_rows"], ["flat"])
    graph = helper.make_graph([shape, first, *nodes], "strange", tensors[:1], tensors[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key=METADATA_KEY, value=known.for_graph() if metadata is None else metadata)
    return model


def write_lone(model: onnx.ModelProto, path: Path) -> Path:
    """Write a graph in the format that the name of the path says."""
    if path.suffix != ".ort":
        path.write_bytes(model.SerializeToString())
        return path
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(path)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return path


def write_bundle(folder: Path, decoder_model=None, encoder_model=None, known=None) -> Path:
    """Write a bundle folder in which every hash is right."""
    from dataclasses import replace

    known = known or manifest()
    folder.mkdir(parents=True)
    for name, model in (
        ("decoder", decoder_model or decoder(known=known)),
        ("encoder", encoder_model or encoder(known=known)),
    ):
        write_lone(model, folder / known.graph_file(name))
    files = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(replace(known, files=files).to_json())
    return folder
