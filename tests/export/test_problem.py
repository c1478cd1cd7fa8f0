"""Problems name the layer, in one line."""

import keras
import pytest

from kvae.errors import BundleError
from kvae.export.problem import NotExportable, Problem, first_line, layer_at

layers = keras.layers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("net_1/inner_1/gru_1/while/MatMul", "'gru' (GRU)"),
        ("net_1/inner_1/dense_1/MatMul", "'dense' (Dense)"),
        ("net_1/inner_1/dense_1_1/MatMul", "'dense_1' (Dense)"),
        ("net/inner/dense/MatMul", "'dense' (Dense)"),
        ("net_1/inner_1/add", "'inner' (Sequential)"),
        ("net_1/add", ""),
        ("add", ""),
    ],
)
def test_the_innermost_layer_is_found(name, expected):
    parts = [
        layers.Dense(8, name="dense"),
        layers.Reshape((2, 4)),
        layers.GRU(2, name="gru"),
        layers.Dense(2, name="dense_1"),
    ]
    network = keras.Sequential(
        [keras.Input((8,)), keras.Sequential([keras.Input((8,)), *parts], name="inner")], name="net"
    )
    assert layer_at(network, name) == expected


def test_a_problem_is_one_line():
    problem = Problem("encoder", "'evil\n\x1b[31m' (Dense)", "is bad", "use another")
    assert str(problem) == "encoder, layer 'evil ?[31m' (Dense): is bad; use another."
    assert str(problem._replace(layer="")) == "encoder: is bad; use another."


def test_an_error_has_all_problems():
    problems = [Problem("encoder", "", "is bad", "use another"), Problem("decoder", "", "is worse", "use none")]
    error = NotExportable(problems)
    assert isinstance(error, BundleError) and error.problems == tuple(problems)
    assert "2 problems" in str(error) and "is bad" in str(error) and "use none" in str(error)


def test_what_keras_adds_to_an_error_is_left_out():
    text = (
        "Exception encountered when calling Own.call().\n\n\x1b[1mbad value\x1b[0m\n\nArguments received by Own.call():"
    )
    error = ValueError(f"{text}\n  x")
    assert first_line(error) == "Own: bad value"
    assert first_line(ValueError()) == "ValueError"
