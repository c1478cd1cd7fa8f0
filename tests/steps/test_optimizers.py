"""FusedAdam is Keras's Adam: the same weights after many steps, the same state, saved and loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.steps.optimizers import FusedAdam


def after_steps(optimizer, steps=50, jit_compile=False):
    """The weights after minimising |w - 1|^2 weighted by row, and the optimiser's own variables."""
    weights = keras.Variable(np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32))
    scales = tf.reshape(tf.range(1.0, 7.0), (6, 1))
    optimizer.build([weights])

    @tf.function(jit_compile=jit_compile)
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(scales * (weights.value - 1.0) ** 2)
        optimizer.apply(tape.gradient(loss, [weights.value]), [weights])

    for _ in range(steps):
        step()
    return weights.numpy(), [variable.numpy() for variable in optimizer.variables]


SETTINGS = [
    {},
    {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    {"weight_decay": 0.1},
    {"clipnorm": 0.5},
    {"amsgrad": True},
]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(settings) or "defaults")
def test_the_same_weights_and_state_as_keras(settings, jit_compile):
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 100)
    # The operation computes 1 - beta_2 in float32, 5e-5 off Keras's float64 value; after 50 steps,
    # that is the only difference.
    ours, state = after_steps(FusedAdam(schedule, **settings), jit_compile=jit_compile)
    theirs, their_state = after_steps(keras.optimizers.Adam(schedule, **settings))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=3e-5)
    assert len(state) == len(their_state)
    for one, other in zip(state, their_state, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_one_step_by_hand():
    """From m = v = 0: m = (1 - b1) g, v = (1 - b2) g^2, and with both corrected the step is lr g / (|g| + eps')."""
    weights = keras.Variable([1.0, -2.0])
    optimizer = FusedAdam(0.1, epsilon=1e-7)
    optimizer.build([weights])
    optimizer.apply([tf.constant([3.0, -0.5])], [weights])
    np.testing.assert_allclose(weights.numpy(), [1.0 - 0.1, -2.0 + 0.1], rtol=1e-5)


def test_one_operation_updates_a_variable():
    weights = keras.Variable(np.zeros((3, 2), np.float32))
    optimizer = FusedAdam(0.1)
    optimizer.build([weights])
    graph = tf.function(lambda gradient: optimizer.apply([gradient], [weights])).get_concrete_function(
        tf.TensorSpec((3, 2))
    )
    names = [op.type for op in graph.graph.get_operations()]
    assert names.count("ResourceApplyAdam") == 1
    assert "Sqrt" not in names


def test_it_survives_a_keras_file(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(FusedAdam(0.01, beta_1=0.8), "mse")
    x, y = np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, FusedAdam)
    assert loaded.optimizer.beta_1 == 0.8
    for one, other in zip(model.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    for each in (model, loaded):
        each.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], loaded.get_weights()[0])


def test_already_summed_gradients_make_the_same_step():
    """`apply_summed` equals `apply`, including the schedule and the step count."""
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 100)
    one, other = FusedAdam(schedule), FusedAdam(schedule)
    expected = after_steps(one)
    other.apply = other.apply_summed
    for value, wanted in zip((found := after_steps(other))[1], expected[1], strict=True):
        np.testing.assert_array_equal(value, wanted)
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize("settings", SETTINGS[2:], ids=lambda settings: "-".join(settings))
def test_settings_that_only_keras_can_apply_are_refused_for_summed_gradients(settings):
    """They are not silently left out."""
    optimizer = FusedAdam(0.1, **settings)
    optimizer.apply = optimizer.apply_summed
    with pytest.raises(KvaeError, match=f"{next(iter(settings))}; got"):
        after_steps(optimizer, steps=1)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_unwanted_update_changes_nothing(jit_compile):
    """Weights, moments and step count keep their bits, whatever the gradients; a wanted update equals `apply`."""
    pairs = [keras.Variable(np.float32([[0.5, -1.0]])) for _ in range(2)]
    optimizers = [FusedAdam(keras.optimizers.schedules.CosineDecay(0.1, 10)) for _ in range(2)]
    for optimizer, weights in zip(optimizers, pairs, strict=True):
        optimizer.build([weights])

    @tf.function(jit_compile=jit_compile)
    def apply(wanted, gradient):
        optimizers[0].apply_if(wanted, [gradient], [pairs[0]])

    @tf.function(jit_compile=jit_compile)
    def apply_plainly(gradient):
        optimizers[1].apply([gradient], [pairs[1]])

    bad = tf.constant([[np.nan, np.inf]])
    for gradient in (bad, tf.constant([[3.0, -0.5]]), bad, tf.constant([[1e-3, 2.0]]), tf.constant([[7.0, 7.0]])):
        wanted = tf.reduce_all(tf.math.is_finite(gradient))
        apply(wanted, gradient)
        if wanted:
            apply_plainly(gradient)
        state, plain = ([v.numpy() for v in optimizer.variables] for optimizer in optimizers)
        for one, other in zip([*state, pairs[0].numpy()], [*plain, pairs[1].numpy()], strict=True):
            np.testing.assert_array_equal(one, other)


def test_settings_that_keras_applies_itself_cannot_be_skipped():
    weights = keras.Variable([1.0])
    optimizer = FusedAdam(0.1, weight_decay=0.1)
    optimizer.build([weights])
    with pytest.raises(KvaeError, match="apply_if of FusedAdam .*weight_decay; got 0.1"):
        optimizer.apply_if(tf.constant(True), [tf.constant([1.0])], [weights])


GRADIENTS = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)


@pytest.mark.parametrize("way", ["apply", "apply_if", "apply_summed"])
def test_the_norm_of_all_gradients_is_clipped(way):
    """Against numpy: gradients of 3 and 4 have norm 5; clipped to 1 they are 0.6 and 0.8, and Adam's moments those."""
    weights = [keras.Variable([1.0]), keras.Variable([1.0])]
    optimizer = FusedAdam(0.1, global_clipnorm=1.0)
    optimizer.build(weights)
    gradients = [tf.constant([3.0]), tf.constant([4.0])]
    arguments = (gradients, weights)
    getattr(optimizer, way)(*((tf.constant(True), *arguments) if way == "apply_if" else arguments))
    moments = [variable.numpy() for variable in optimizer.variables if "momentum" in variable.path]
    np.testing.assert_allclose(moments, [[0.06], [0.08]], rtol=1e-5)


def averages_by_hand(values, decay):
    """average(t + 1) = d average(t) + (1 - d) value(t + 1), d = min(decay, (1 + t) / (10 + t)); starts at value(0)."""
    average = values[0].astype(np.float64)
    for step, value in enumerate(values[1:]):
        share = min(decay, (1 + step) / (10 + step))
        average = share * average + (1 - share) * value
    return average


@pytest.mark.parametrize("way", ["apply", "apply_if", "apply_summed"])
@pytest.mark.parametrize("decay", [0.3, 0.999])
def test_the_average_of_the_weights_is_that_by_hand(way, decay):
    weights = keras.Variable([1.0, -2.0, 3.0])
    optimizer = FusedAdam(0.1, average=decay)
    optimizer.build([weights])
    values = [weights.numpy()]
    for gradient in GRADIENTS:
        arguments = ([tf.constant(gradient)], [weights])
        getattr(optimizer, way)(*((tf.constant(True), *arguments) if way == "apply_if" else arguments))
        values.append(weights.numpy())
    with optimizer.averaged():
        np.testing.assert_allclose(weights.numpy(), averages_by_hand(values, decay), rtol=1e-5)
        with optimizer.averaged():  # within another block, nothing is exchanged again
            np.testing.assert_allclose(weights.numpy(), averages_by_hand(values, decay), rtol=1e-5)
    np.testing.assert_array_equal(weights.numpy(), values[-1])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_step_that_is_not_wanted_leaves_the_average_alone(jit_compile):
    weights = keras.Variable([1.0, 2.0])
    optimizer = FusedAdam(0.1, average=0.9, global_clipnorm=1.0)
    optimizer.build([weights])

    @tf.function(jit_compile=jit_compile)
    def step(wanted, gradient):
        optimizer.apply_if(wanted, [gradient], [weights])

    step(tf.constant(True), tf.constant([1.0, -1.0]))
    before = [variable.numpy() for variable in (weights, *optimizer.variables)]
    step(tf.constant(False), tf.constant([np.nan, np.inf]))
    for one, other in zip(before, (weights, *optimizer.variables), strict=True):
        np.testing.assert_array_equal(one, other.numpy())


def test_the_averages_are_saved_and_the_default_config_is_keras_s_own():
    optimizer = FusedAdam(0.1, average=0.9)
    assert FusedAdam.from_config(optimizer.get_config()).average == 0.9
    assert "average" not in FusedAdam(0.1).get_config()
    for average in (-0.1, 1.0, float("nan")):
        with pytest.raises(KvaeError, match=r"must be in \[0, 1\); got"):
            FusedAdam(0.1, average=average)
