"""float16 weights and onnxruntime's format: which tensors change type, which do not, and that numbers stay close."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny import DATASET, make_vae, random_images

from kvae import operators, precision
from kvae.errors import BundleError
from kvae.export import export
from kvae.graphs import OPSET


def run(model, values):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {model.graph.input[0].name: values})


def codes(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


@pytest.fixture(scope="module", params=["mlp", "conv"])
def graphs(request, tmp_path_factory):
    """The decoder and the encoder of a tiny model, whose biases are not 0, and inputs of each."""
    vae = make_vae(architecture=request.param, hidden_units=32)
    rng = np.random.default_rng(0)
    for weight in vae.weights:
        if len(weight.shape) == 1:
            weight.assign(0.1 * rng.normal(size=weight.shape))
    path = export(vae, tmp_path_factory.mktemp("graphs") / "b", dataset=DATASET).path
    inputs = {"decoder": codes(200), "encoder": random_images(200)}
    return {name: (onnx.load(path / f"{name}.onnx"), values) for name, values in inputs.items()}


@pytest.mark.parametrize("name", ["decoder", "encoder"])
def test_float16_weights_are_the_float32_ones_rounded(graphs, name):
    """Each matrix and kernel has half the bytes; vectors, and all that is no weight, stay."""
    model, values = graphs[name]
    before = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    converted = precision.to_float16(model)
    operators.check_model(name, converted, OPSET)
    after = {weight.name: numpy_helper.to_array(weight) for weight in converted.graph.initializer}
    matrices = {key for key, array in before.items() if array.dtype == np.float32 and array.ndim >= 2}
    assert matrices
    assert set(after) == (set(before) - matrices) | {f"{key}/float16" for key in matrices}
    for key, array in before.items():
        found = after[f"{key}/float16" if key in matrices else key]
        np.testing.assert_array_equal(found, array.astype(np.float16) if key in matrices else array)
    for found, expected in zip(run(converted, values), run(model, values), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=2e-3)
        assert np.any(found != expected)


def one_layer(weight):
    """z times a matrix, and nothing else."""
    z, mean = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2]) for name in ("z", "mean"))
    weights = [numpy_helper.from_array(np.asarray(weight, np.float32), "w")]
    graph = helper.make_graph([helper.make_node("MatMul", ["z", "w"], ["mean"])], "layer", [z], [mean], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def test_float16_computes_in_float32():
    """A logit of 1e9, which float16 does not hold, is no infinity."""
    (found,) = run(precision.to_float16(one_layer([[1000, 0], [0, 1]])), np.array([[1e6, 1e-9]], np.float32))
    np.testing.assert_array_equal(found, np.array([[1e9, 1e-9]], np.float32))


@pytest.mark.parametrize(("weight", "said"), [(7e4, "70000"), (-1e9, "1e\\+09"), (np.nan, "nan")])
def test_a_weight_beyond_float16_is_refused(weight, said):
    with pytest.raises(BundleError, match=f"w has a weight of {said}; float16 ends at 65504"):
        precision.to_float16(one_layer([[weight, 0], [0, 1]]))


def test_a_graph_in_onnxruntime_s_format_computes_the_same(graphs, tmp_path):
    """The batch stays dynamic, the metadata stay, and the operators are standard."""
    for name, (model, values) in graphs.items():
        del model.metadata_props[:]
        model.metadata_props.add(key="kvae", value="{}")
        path = tmp_path / f"{name}.ort"
        precision.write_ort(model, path)
        assert path.read_bytes()[4:8] == b"ORTM"
        operators.check_file(path, OPSET)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        assert session.get_modelmeta().custom_metadata_map == {"kvae": "{}"}
        for count in (1, 200):
            outputs = session.run(None, {session.get_inputs()[0].name: values[:count]})
            for found, expected in zip(outputs, run(model, values[:count]), strict=True):
                np.testing.assert_allclose(found, expected, atol=1e-6)


def test_float16_weights_stay_float16_in_onnxruntime_s_format(graphs, tmp_path):
    model, _ = graphs["decoder"]
    for name, graph in (("float32", model), ("float16", precision.to_float16(model))):
        precision.write_ort(graph, tmp_path / name)
    weights = [numpy_helper.to_array(weight) for weight in model.graph.initializer]
    saved = sum(array.nbytes for array in weights if array.dtype == np.float32 and array.ndim >= 2) / 2
    sizes = {name: (tmp_path / name).stat().st_size for name in ("float32", "float16")}
    assert sizes["float32"] - sizes["float16"] > saved - 4000  # less what the casts take


def test_a_graph_that_onnxruntime_cannot_load_is_refused_in_one_line(tmp_path):
    broken = one_layer([[1, 0], [0, 1]])
    broken.graph.node[0].input[0] = "nowhere"
    with pytest.raises(BundleError, match="onnxruntime cannot write decoder.ort: .*nowhere") as caught:
        precision.write_ort(broken, tmp_path / "decoder.ort")
    assert "\n" not in str(caught.value)
