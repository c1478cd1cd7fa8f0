"""Graphs in onnxruntime's format: the same numbers, operators and metadata. For `.onnx` see tests/export/."""

import numpy as np
import onnxruntime
import pytest
from onnx import numpy_helper
from tiny_graphs import graphs_fixture, one_layer, run  # noqa: F401

from kvae.bundle import operators
from kvae.conversion import graph_files, precision
from kvae.errors import BundleError
from kvae.export.graphs import OPSET


def test_a_graph_in_onnxruntime_s_format_computes_the_same(graphs, tmp_path):
    """The batch stays dynamic, the metadata are kept, and the operators are standard."""
    for name, (model, values) in graphs.items():
        del model.metadata_props[:]
        model.metadata_props.add(key="kvae", value="{}")
        path = tmp_path / f"{name}.ort"
        graph_files.write_ort(model, path)
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
        graph_files.write_ort(graph, tmp_path / name)
    weights = [numpy_helper.to_array(weight) for weight in model.graph.initializer]
    saved = sum(array.nbytes for array in weights if array.dtype == np.float32 and array.ndim >= 2) / 2
    sizes = {name: (tmp_path / name).stat().st_size for name in ("float32", "float16")}
    assert sizes["float32"] - sizes["float16"] > saved - 4000  # minus the size of the casts


def test_a_graph_that_onnxruntime_cannot_load_is_refused_in_one_line(tmp_path):
    broken = one_layer([[1, 0], [0, 1]])
    broken.graph.node[0].input[0] = "nowhere"
    with pytest.raises(BundleError, match="onnxruntime cannot write decoder.ort: .*nowhere") as caught:
        graph_files.write_ort(broken, tmp_path / "decoder.ort")
    assert "\n" not in str(caught.value)
