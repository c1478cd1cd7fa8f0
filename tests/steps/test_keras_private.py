"""Each private name of Keras that kvae uses exists, and does what kvae expects."""

import re
import tomllib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kvae.steps import keras_private

ROOT = Path(__file__).parents[2]


def test_adam_keeps_its_moments_by_variable():
    """After one step the moments are (1 - beta_1) g and (1 - beta_2) g^2."""
    variables = [keras.Variable(np.zeros(2)), keras.Variable(np.zeros(3))]
    adam = keras.optimizers.Adam(0.1)
    adam.build(variables)
    gradients = [tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0, 5.0])]
    adam.apply(gradients, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        momentum, velocity = keras_private.adam_slots(adam, variable)
        np.testing.assert_allclose(momentum, 0.1 * gradient, rtol=1e-6)
        np.testing.assert_allclose(velocity, 0.001 * gradient**2, rtol=1e-4)


def test_keras_does_not_build_a_model_from_a_batch():
    """It calls the hook instead of its own symbolic build, and prepares the model only under a strategy."""

    class Counting(keras_private.BuiltByHand):
        prepared = 0

        def prepare_replicas(self):
            self.prepared += 1

    model = Counting()
    assert hasattr(keras.Model, "_maybe_symbolic_build")
    model._maybe_symbolic_build()
    assert model.prepared == 0 and not model.built
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        model = Counting()
    model._maybe_symbolic_build()
    assert model.prepared == 1


def test_flat_layers_are_the_model_and_all_that_it_holds():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.ReLU()])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(2)])
    found = keras_private.flat_layers(model)
    assert {type(layer).__name__ for layer in found} == {"Sequential", "InputLayer", "Dense", "ReLU"}
    assert model in found and inner in found
    assert sum(isinstance(layer, keras.layers.Dense) for layer in found) == 2


def test_a_mixed_model_computes_in_float32_for_a_while():
    """With an input layer that was declared, and one that Keras makes when the model is built."""
    inner = keras.Sequential([keras.layers.Dense(3, dtype="mixed_bfloat16")], name="inner")
    inner.dtype_policy = "mixed_bfloat16"
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, dtype="mixed_bfloat16")(inner(inputs)))
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    w0, b0, w1, b1 = model.get_weights()
    with keras_private.in_float32(model):
        np.testing.assert_allclose(model(x), (x @ w0 + b0) @ w1 + b1, rtol=1e-5, atol=1e-6)
    assert model(x).dtype == "bfloat16"
    assert keras_private.sublayers(inner)[-1].compute_dtype == "bfloat16"


def test_keras_is_pinned_to_the_minor_release_that_is_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (pin,) = (item for item in project["optional-dependencies"]["train"] if item.startswith("keras"))
    pin = pin.partition(";")[0]
    major, minor, *_ = keras.__version__.split(".")
    assert re.fullmatch(rf"keras>={major}\.{minor},<{major}\.{int(minor) + 1}", pin)
