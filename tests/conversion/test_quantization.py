"""int8 graphs: weights within half a step, integers and float32 where each is promised."""

import logging

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_graphs import codes, graphs_fixture, named, run  # noqa: F401

from kvae.bundle import operators
from kvae.conversion.quantization import to_int8
from kvae.errors import BundleError
from kvae.export.graphs import OPSET


def arrays_of(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def operators_of(model):
    return [node.op_type for node in model.graph.node]


def weights_of(model):
    """The float32 weights that a graph's integers represent, each with its step size."""
    arrays = arrays_of(model)
    for node in model.graph.node:
        if node.op_type == "MatMulInteger":
            quantizer = next(other for other in model.graph.node if node.input[0] in other.output)
            scale = arrays[f"{node.output[0].removesuffix('/int32')}/scale"] / arrays[quantizer.input[1]]
            yield arrays[node.input[1]], scale
        elif node.op_type == "QLinearConv":
            yield arrays[node.input[3]], arrays[node.input[4]].reshape(-1, 1, 1, 1)
        elif node.op_type == "DequantizeLinear" and node.input[0] in arrays and arrays[node.input[0]].ndim == 4:
            yield arrays[node.input[0]], arrays[node.input[1]].reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("name", ["decoder", "encoder"])
@pytest.mark.parametrize("round_convolutions", [False, True])
def test_weights_equal_the_float32_weights_within_half_a_step(graphs, name, round_convolutions):
    """7 bits, -64 to 64, with one scale per channel. Only the last convolution's weights are left in float32."""
    model, values = graphs[name]
    converted = to_int8(model, named(model, values), round_convolutions)
    operators.check_model(name, converted, OPSET)
    originals = [array for array in arrays_of(model).values() if array.dtype == np.float32 and array.ndim >= 2]
    found = list(weights_of(converted))
    for quantized, step in found:
        assert quantized.dtype == np.int8
        assert np.abs(quantized.astype(int)).max() <= 64
        assert step.size == quantized.shape[0 if quantized.ndim == 4 else 1]
        alike = [array for array in originals if array.shape == quantized.shape]
        assert min(np.max(np.abs(array - quantized * step) / step) for array in alike) <= 0.501
    left = [array for array in arrays_of(converted).values() if array.dtype == np.float32 and array.ndim >= 2]
    assert len(found) == len(originals) - len(left)
    last_is_conv = name == "decoder" and "Conv" in operators_of(model)
    assert len(left) == (1 if round_convolutions and last_is_conv else 0)


@pytest.mark.parametrize("name", ["decoder", "encoder"])
@pytest.mark.parametrize("round_convolutions", [False, True])
def test_results_are_close(graphs, name, round_convolutions):
    model, values = graphs[name]
    outputs = run(to_int8(model, named(model, values), round_convolutions), values)
    for found, expected in zip(outputs, run(model, values), strict=True):
        assert found.dtype == np.float32
        assert np.any(found != expected)
        assert np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()


def test_layers_compute_in_integers(graphs):
    """All dense layers do; convolutions do if their results may be rounded, except the decoder's last one."""
    for name, (model, values) in graphs.items():
        before = operators_of(model)
        for round_convolutions in (False, True):
            after = operators_of(to_int8(model, named(model, values), round_convolutions))
            assert after.count("MatMulInteger") == before.count("MatMul") > 0
            assert "MatMul" not in after
            convolutions = before.count("Conv")
            if not round_convolutions:
                expected = 0
            else:
                expected = convolutions - 1 if name == "decoder" and convolutions else convolutions
            assert after.count("QLinearConv") == expected
            assert after.count("Conv") == convolutions - expected


def test_a_quantised_graph_matches_numpy():
    """One layer: the input in steps of 1/255 of its range, the weights in 64ths of each column's largest."""
    weight = np.array([[1.0, -0.3], [0.5, 0.02], [-0.25, 0.1]], np.float32)
    z = np.random.default_rng(0).uniform(-1, 3, (500, 3)).astype(np.float32)
    model = one_layer("MatMul", weight, 3, 2)
    (found,) = run(to_int8(model, named(model, z), True), z)
    step = (z.max() - z.min()) / 255
    zero = np.rint(-z.min() / step)
    rounded = step * (np.clip(np.rint(z / step) + zero, 0, 255) - zero)
    columns = np.abs(weight).max(axis=0) / 64
    expected = rounded @ (columns * np.rint(weight / columns))
    np.testing.assert_allclose(found, expected, atol=0.51 * step)  # a tie, or a step rounded to float32
    assert np.mean(np.abs(found - expected) < 1e-5) > 0.95


def one_layer(operator, weight, inputs, outputs, shape=(), bias=None, **attributes):
    """A single layer, from [batch, inputs, *shape] to [batch, outputs, *shape]."""
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", inputs, *shape])
    mean = helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["batch", outputs, *shape])
    tensors = [numpy_helper.from_array(np.asarray(weight, np.float32), "w")]
    tensors += [numpy_helper.from_array(np.asarray(bias, np.float32), "b")] if bias is not None else []
    node = helper.make_node(operator, ["z", *(tensor.name for tensor in tensors)], ["mean"], **attributes)
    graph = helper.make_graph([node], "layer", [z], [mean], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


@pytest.mark.parametrize(
    ("operator", "weight_shape", "attributes"),
    [("Gemm", (3, 2), {}), ("Gemm", (2, 3), {"transB": 1}), ("ConvTranspose", (3, 2, 3, 3), {"pads": [1, 1, 1, 1]})],
    ids=["Gemm", "transposed Gemm", "ConvTranspose"],
)
def test_other_layers_have_small_weights_too(operator, weight_shape, attributes):
    """Operators that kvae's networks lack but a user's may have: the result is close, and the weights are int8."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=weight_shape), rng.normal(size=2)
    shape = () if operator == "Gemm" else (4, 4)
    z = rng.normal(size=(200, 3, *shape)).astype(np.float32)
    model = one_layer(operator, weight, 3, 2, shape, bias, **attributes)
    converted = to_int8(model, named(model, z), False)
    operators.check_model("decoder", converted, OPSET)
    assert any(array.dtype == np.int8 and array.shape == weight_shape for array in arrays_of(converted).values())
    (found,), (expected,) = run(converted, z), run(model, z)
    assert 0 < np.abs(found - expected).mean() < 0.02 * np.abs(expected).mean()


def test_ranges_come_from_the_calibration_inputs(graphs):
    """A decoder calibrated on codes near 0 clips the prior's codes; one calibrated on the latter does not."""
    model, values = graphs["decoder"]
    expected = run(model, values)[1]
    errors = [
        np.abs(run(to_int8(model, named(model, z), True), values)[1] - expected).mean() for z in (values, values / 50)
    ]
    assert errors[1] > 3 * errors[0]


def test_the_model_is_left_unchanged(graphs):
    model, values = graphs["decoder"]
    before = model.SerializeToString()
    to_int8(model, named(model, values), True)
    assert model.SerializeToString() == before


def test_a_graph_that_cannot_be_quantised_is_refused_in_one_line(graphs):
    model, _ = graphs["decoder"]
    with pytest.raises(BundleError, match="onnxruntime cannot quantise this graph: .*") as caught:
        to_int8(model, named(model, codes(10)[:, :2]), True)
    assert "\n" not in str(caught.value)


def test_nothing_is_printed_and_no_log_is_set_up(graphs, capfd):
    model, values = graphs["encoder"]
    handlers = list(logging.getLogger().handlers)
    to_int8(model, named(model, values), False)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers
