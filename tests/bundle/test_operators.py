"""The operators of a graph, including those in branches, in functions, and in onnxruntime's own format."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from kvae.bundle import operators
from kvae.errors import BundleError


def model(*nodes, opset=17):
    """A graph from x to y, both float32 `(batch, 2)`."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("x", "y")]
    graph = helper.make_graph(list(nodes), "graph", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def test_the_operators_of_a_good_graph_are_returned():
    graph = model(helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Neg", ["h"], ["y"]))
    assert operators.check_model("decoder", graph, 17) == {"Relu", "Neg"}


@pytest.mark.parametrize("name", ["RandomUniform", "RandomNormalLike", "Bernoulli", "Multinomial"])
def test_operators_that_draw_noise_are_refused(name):
    with pytest.raises(BundleError, match=f"decoder: {name} draws noise inside the graph"):
        operators.check_model("decoder", model(helper.make_node(name, ["x"], ["y"])), 17)


def test_noise_in_a_branch_is_found():
    branches = []
    for name, operator in (("then", "RandomNormalLike"), ("other", "Relu")):
        end = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        node = helper.make_node(operator, ["x"], [name])
        branches.append(helper.make_graph([node], name, [], [end]))
    truth = helper.make_node("Constant", [], ["truth"], value=helper.make_tensor("t", TensorProto.BOOL, [], [True]))
    node = helper.make_node("If", ["truth"], ["y"], then_branch=branches[0], else_branch=branches[1])
    with pytest.raises(BundleError, match="RandomNormalLike draws noise inside the graph"):
        operators.check_model("decoder", model(truth, node), 17)


def test_an_operator_of_a_later_opset_is_refused():
    with pytest.raises(BundleError, match="Gelu is not a standard ONNX operator of opset 17"):
        operators.check_model("decoder", model(helper.make_node("Gelu", ["x"], ["y"])), 17)
    assert operators.check_model("decoder", model(helper.make_node("Gelu", ["x"], ["y"]), opset=20), 20) == {"Gelu"}


def test_the_graph_s_opset_must_be_that_of_the_manifest():
    with pytest.raises(BundleError, match="the manifest has opset 18, the graph 17"):
        operators.check_model("decoder", model(helper.make_node("Relu", ["x"], ["y"])), 18)


def test_a_name_that_is_not_text_is_an_error_of_one_line(tmp_path):
    content = model(helper.make_node("Relu", ["x"], ["y"])).SerializeToString()
    (tmp_path / "decoder.onnx").write_bytes(content.replace(b"Relu", b"\xff\xfe\xfd\xfc"))
    with pytest.raises(BundleError, match="decoder: onnx cannot read") as caught:
        operators.check_file(tmp_path / "decoder.onnx", 17)
    assert "\n" not in str(caught.value)


def test_an_invalid_type_is_an_error_of_one_line(tmp_path):
    """onnx's checker accepts it, and its shape inference fails on it."""
    weight = TensorProto(name="w", data_type=5000, dims=[1], raw_data=bytes(4))
    node = helper.make_node("Constant", [], ["y"], value=weight)
    (tmp_path / "decoder.onnx").write_bytes(model(node).SerializeToString())
    with pytest.raises(BundleError, match="decoder: .*(5000|refuses)"):
        operators.check_file(tmp_path / "decoder.onnx", 17)


def test_a_missing_file_and_one_that_is_not_a_graph_are_errors_of_one_line(tmp_path):
    (tmp_path / "decoder.onnx").write_bytes(b"\xff no graph")
    for name in ("decoder.onnx", "encoder.onnx"):
        with pytest.raises(BundleError, match="onnx cannot read"):
            operators.check_file(tmp_path / name, 17)


def test_weights_in_another_file_are_refused(tmp_path):
    graph = model(helper.make_node("Add", ["x", "w"], ["y"]))
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((64, 2), np.float32), "w"))
    path = tmp_path / "decoder.onnx"
    onnx.save(graph, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").exists()
    with pytest.raises(BundleError, match="decoder: w is .* another file"):
        operators.check_file(path, 17)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("RandomNormalLike", ["x"], ["y"]), "decoder.ort: RandomNormalLike draws noise"),
        (helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft"), "com.microsoft QuickGelu is not a stand"),
        (helper.make_node("Relu", ["x"], ["y"]), None),
    ],
)
def test_operators_of_an_ort_file(node, message, tmp_path):
    graph = model(node)
    graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(graph, tmp_path / "graph.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "decoder.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(tmp_path / "graph.onnx", options, providers=["CPUExecutionProvider"])
    if message is None:
        assert operators.check_file(tmp_path / "decoder.ort", 17) == {"Relu"}
        return
    with pytest.raises(BundleError, match=message):
        operators.check_file(tmp_path / "decoder.ort", 17)
