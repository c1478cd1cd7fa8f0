"""Graphs of tiny models, for tests of code that converts graphs. A test module imports the fixture with
`from tiny_graphs import graphs_fixture  # noqa: F401` and uses it as `graphs`."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny import DATASET, make_vae, random_images

from kvae.export.bundles import export
from kvae.export.graphs import OPSET


def run(model, values):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: values})


def named(model, values):
    """Values of a graph's first input, by its name."""
    return {model.graph.input[0].name: values}


def codes(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


@pytest.fixture(name="graphs", scope="module", params=["mlp", "conv"])
def graphs_fixture(request, tmp_path_factory):
    """The decoder and the encoder of a tiny model with non-zero biases, and inputs for each."""
    vae = make_vae(architecture=request.param, hidden_units=32)
    rng = np.random.default_rng(0)
    for weight in vae.weights:
        if len(weight.shape) == 1:
            weight.assign(0.1 * rng.normal(size=weight.shape))
    path = export(vae, tmp_path_factory.mktemp("graphs") / "b", dataset=DATASET).path
    inputs = {"decoder": codes(200), "encoder": random_images(200)}
    return {name: (onnx.load(path / f"{name}.onnx"), values) for name, values in inputs.items()}


def one_layer(weight):
    """z times a matrix, and nothing else."""
    z, mean = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("z", "mean"))
    weights = [numpy_helper.from_array(np.asarray(weight, np.float32), "w")]
    graph = helper.make_graph([helper.make_node("MatMul", ["z", "w"], ["mean"])], "layer", [z], [mean], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
