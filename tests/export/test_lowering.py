"""Replacements compute what they replace: against Python's own functions, numpy, Pillow and TensorFlow run eagerly."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kvae.export.lowering.lowering import lower
from kvae.export.lowering.rules import REPLACEMENTS

NUMBERS = [-30.0, -2.5, -0.3, -1e-3, -1e-7, 0.0, 1e-30, 1e-8, 3e-5, 0.2, 1.0, 4.0, 20.0]


def lowered(function, values):
    """What the lowered function computes, and its operations; only the first axis of the input is unknown."""
    values = np.asarray(values, np.float32)
    found = lower(function, [tf.TensorSpec((None, *values.shape[1:]), tf.float32, "x")])
    assert found.troubles == []
    graph = found.function.get_concrete_function().graph
    return found.function(tf.constant(values))[0].numpy(), {op.type for op in graph.get_operations()}


@pytest.mark.parametrize(
    ("name", "function", "expected", "numbers"),
    [
        ("Expm1", tf.math.expm1, math.expm1, NUMBERS),
        ("Erfc", tf.math.erfc, math.erfc, [number for number in NUMBERS if abs(number) < 3]),
        ("Log1p", tf.math.log1p, math.log1p, [number for number in NUMBERS if number > -1]),
    ],
)
def test_functions_are_accurate_near_0_too(name, function, expected, numbers):
    found, operations = lowered(lambda x: [function(x)], numbers)
    assert name in REPLACEMENTS and name not in operations
    np.testing.assert_allclose(found, [expected(np.float32(number)) for number in numbers], rtol=2e-6, atol=1e-30)


def test_a_function_at_its_limit_stays_finite_or_infinite():
    found, _ = lowered(lambda x: [tf.math.expm1(x)], [-200.0, 200.0])
    np.testing.assert_array_equal(found, [-1.0, np.inf])


def test_variables_and_captured_tensors_become_constants():
    weight, table = tf.Variable([[1.0, 2.0]]), tf.constant([10.0, 20.0])
    found, operations = lowered(lambda x: [x @ tf.transpose(weight) + table[1]], [[3.0, 4.0]])
    np.testing.assert_array_equal(found, [[31.0]])
    assert operations <= {"Placeholder", "Const", "MatMul", "AddV2", "Identity", "NoOp"}


def test_a_loop_becomes_its_rounds():
    def fibonacci(x):
        return [tf.while_loop(lambda i, a, b: i < 7, lambda i, a, b: (i + 1, b, a + b), [0, 0.0 * x, x])[1]]

    found, operations = lowered(fibonacci, [1.0, 2.0])
    np.testing.assert_array_equal(found, [13.0, 26.0])
    assert not {"While", "StatelessWhile", "Less"} & operations


def test_an_array_of_a_loop_becomes_a_stack():
    def squares(x):
        results = tf.TensorArray(tf.float32, 3, element_shape=x.shape)
        found = tf.while_loop(
            lambda i, _: i < 3, lambda i, array: (i + 1, array.write(i, tf.cast(i, tf.float32) * x)), [0, results]
        )[1]
        return [tf.transpose(found.stack())]

    found, operations = lowered(squares, [1.0, 2.0])
    np.testing.assert_array_equal(found, [[0.0, 1.0, 2.0], [0.0, 2.0, 4.0]])
    assert not any(name.startswith("TensorList") for name in operations)


@pytest.mark.parametrize("limit", [0.0, 9.0])
def test_a_branch_on_the_data_becomes_a_selection(limit):
    def function(x):
        return [tf.cond(tf.reduce_sum(x) > limit, lambda: x + 1.0, lambda: -x)]

    found, operations = lowered(function, [1.0, 2.0])
    np.testing.assert_array_equal(found, [2.0, 3.0] if limit == 0.0 else [-1.0, -2.0])
    assert not {"If", "StatelessIf"} & operations


def test_only_the_number_of_images_stays_unknown_in_a_shape():
    def flatten(x):
        return [tf.reshape(x, [tf.shape(x)[0], tf.shape(x)[1] * tf.shape(x)[2]])]

    found, operations = lowered(flatten, np.arange(24.0).reshape(2, 3, 4))
    np.testing.assert_array_equal(found, np.arange(24.0).reshape(2, 12))
    assert not {"Mul", "Prod"} & operations


@pytest.mark.parametrize("method", ["area", "bicubic", "gaussian", "lanczos3", "lanczos5", "mitchellcubic", "nearest"])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("size", [(3, 11), (7, 2)])
def test_resizing_equals_tensorflow(method, antialias, size):
    images = np.random.default_rng(0).random((2, 5, 6, 3), np.float32)
    expected = tf.image.resize(images, size, method, antialias=antialias)
    found, operations = lowered(lambda x: [tf.image.resize(x, size, method, antialias=antialias)], images)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    assert not any(name.startswith(("Resize", "Scale")) for name in operations)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2, 3, (2, 3)])
@pytest.mark.parametrize("kernel", [1, 2, 3, (4, 1)])
def test_transposed_convolutions_equal_tensorflow(kernel, stride, padding):
    """Also where the kernel is smaller than the stride."""
    import keras

    layer = keras.layers.Conv2DTranspose(2, kernel, stride, padding)
    images = np.random.default_rng(0).random((2, 3, 4, 3), np.float32)
    expected = layer(images)
    found, _ = lowered(lambda x: [layer(x)], images)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_trouble_has_the_layers_name_and_further_troubles_are_found():
    import keras

    inputs = keras.Input((4,))
    noise = [keras.layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x)), name=name) for name in ("one", "two")]
    model = keras.Model(inputs, noise[1](noise[0](inputs)))
    found = lower(lambda x: [model(x)], [tf.TensorSpec((None, 4), tf.float32, "x")])
    assert [[name in trouble.name for name in ("one", "two")] for trouble in found.troubles] == [
        [True, False],
        [False, True],
    ]
    assert all("random numbers" in trouble.reason and trouble.advice for trouble in found.troubles)
