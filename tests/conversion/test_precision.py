"""float16 weights: which tensors change type, which do not, and that numbers stay close."""

import numpy as np
import pytest
from onnx import numpy_helper
from tiny_graphs import graphs_fixture, one_layer, run  # noqa: F401

from kvae.bundle import operators
from kvae.conversion import precision
from kvae.errors import BundleError
from kvae.export.graphs import OPSET


@pytest.mark.parametrize("name", ["decoder", "encoder"])
def test_float16_weights_are_the_rounded_float32_weights(graphs, name):
    """Each matrix and kernel has half the bytes; vectors, and everything that is not a weight, stay the same."""
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


def test_float16_computes_in_float32():
    """A logit of 1e9, too large for float16, does not become infinite."""
    (found,) = run(precision.to_float16(one_layer([[1000, 0], [0, 1]])), np.array([[1e6, 1e-9]], np.float32))
    np.testing.assert_array_equal(found, np.array([[1e9, 1e-9]], np.float32))


@pytest.mark.parametrize(("weight", "said"), [(7e4, "70000"), (-1e9, "1e\\+09"), (np.nan, "nan")])
def test_a_weight_beyond_float16_is_refused(weight, said):
    with pytest.raises(BundleError, match=f"w has a weight of {said}; .*float16 is 65504"):
        precision.to_float16(one_layer([[weight, 0], [0, 1]]))
