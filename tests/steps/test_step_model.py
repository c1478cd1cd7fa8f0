"""The training step, on a model that is not a VAE: a line through noisy points, given as images with one row."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import random_images

from kvae.errors import KvaeError
from kvae.steps import batches
from kvae.steps.optimizers import FusedAdam
from kvae.steps.step_model import StepModel

SHAPE = (1, 4, 1)


class Line(StepModel):
    """The last pixel of an image as a linear function of the others, with noise drawn in the step."""

    measured = ("loss", "weight")

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.layer = keras.layers.Dense(1)

    def build(self, input_shape):
        self.layer.build((None, 3))
        self.built = True

    def call(self, images, training=False):
        return self.layer(images[:, 0, :3, 0])

    def measure(self, example, draws, training):
        noise = 0.01 * draws.normal(1, example.num_images, 1)[0]
        error = self(example.images) + noise - example.images[:, 0, 3]
        return {"loss": tf.reduce_mean(error**2), "weight": tf.reduce_sum(self.layer.kernel)}


def points(count, seed=0):
    """The last pixel is half the first plus a quarter of the second."""
    images = random_images(count, SHAPE, seed)
    images[:, 0, 3, 0] = 0.5 * images[:, 0, 0, 0] + 0.25 * images[:, 0, 1, 0]
    return images


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("optimizer", [keras.optimizers.SGD, FusedAdam])
def test_it_trains_and_measures(jit_compile, optimizer):
    line = Line(seed=0)
    line.compile(optimizer=optimizer(0.1), jit_compile=jit_compile)
    history = line.fit(points(256), epochs=30, batch_size=32, verbose=0).history
    assert set(history) == {"loss", "weight"}
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert history["weight"][-1] == pytest.approx(0.75, abs=0.3)
    assert int(line.made_steps) == 30 * 8


def test_many_steps_in_one_call_are_the_same_steps():
    """Eight batches of bytes, one by one or in one loop, give the same losses and weights."""
    pixels = np.random.default_rng(0).integers(0, 256, (80, *SHAPE), np.uint8)
    weights = []
    for stream, steps in ((batches.steps(pixels, 10, 4, 3), 2), (batches.batches(pixels, 10, 3), 8)):
        keras.utils.set_random_seed(0)
        line = Line(seed=0)
        line.build((None, *SHAPE))
        line.compile(optimizer=FusedAdam(0.01), jit_compile=False)
        loss = line.fit(stream, steps_per_epoch=steps, shuffle=False, verbose=0).history["loss"][0]
        weights.append([loss, *line.layer.kernel.numpy().ravel()])
    np.testing.assert_allclose(*weights, rtol=1e-5)


class Spoilt(Line):
    """A line whose loss is not finite for a batch that begins with a black pixel."""

    def measure(self, example, draws, training):
        found = super().measure(example, draws, training)
        return found | {"loss": found["loss"] / tf.sign(example.images[0, 0, 0, 0])}


def test_a_step_that_is_not_finite_is_skipped_and_recorded():
    images = points(8)
    images[4, 0, 0] = 0.0
    line = Spoilt(seed=0)
    line.compile(optimizer="sgd", jit_compile=False)
    line.fit(images, batch_size=2, shuffle=False, verbose=0)
    assert [number for number, _ in line.skips.since(0)] == [2]
    assert int(line.skips.count) == 1 and int(line.made_steps) == 4
    assert np.isfinite(line.layer.kernel.numpy()).all()


def test_the_seed_determines_what_a_step_draws():
    def loss(seed):
        keras.utils.set_random_seed(1)
        line = Line(seed=seed)
        line.compile(optimizer="sgd", jit_compile=False)
        return line.evaluate(points(8), verbose=0, return_dict=True)["loss"]

    assert loss(3) == loss(3) != loss(4)


def test_arguments_that_would_be_ignored_are_refused():
    line = Line()
    line.compile(optimizer="sgd", jit_compile=False)
    with pytest.raises(KvaeError, match="sample_weight.*Line"):
        line.fit(points(4), sample_weight=np.ones(4), verbose=0)
    for name, value in {"loss": "mse", "loss_weights": [2.0], "metrics": ["mae"], "weighted_metrics": ["mae"]}.items():
        with pytest.raises(KvaeError, match="Line .*own loss and metrics.*only an optimizer"):
            line.compile(optimizer="sgd", **{name: value})


@pytest.mark.parametrize(
    "setting",
    [
        *({"steps_per_execution": value} for value in ("auto", 0, -1, None, 1.5, True)),
        {"jit_compile": "yes"},
        {"jit_compile": 3},
    ],
)
def test_settings_of_compile_at_which_keras_would_fail_later_are_refused(setting):
    ((name, value),) = setting.items()
    with pytest.raises(KvaeError, match=f"{name} must be") as error:
        Line().compile(optimizer="sgd", **setting)
    assert f"got {value!r}" in str(error.value)


def test_steps_per_execution_may_be_set_later_too():
    line = Line()
    line.compile(optimizer="sgd", steps_per_execution=np.int64(2))
    line.fit(points(8), batch_size=2, verbose=0)
    line.steps_per_execution = 0
    for use in (line.fit, line.evaluate, line.predict):
        with pytest.raises(KvaeError, match="steps_per_execution must be"):
            use(points(8), verbose=0)


def test_a_weight_s_regulariser_is_in_the_loss():
    line = Line(seed=0)
    line.layer.kernel_regularizer = keras.regularizers.L2(100.0)
    line.compile(optimizer=keras.optimizers.SGD(0.0), jit_compile=False)
    loss = line.fit(points(4), verbose=0).history["loss"][0]
    penalty = 100 * float(np.sum(line.layer.kernel.numpy() ** 2))
    assert loss == pytest.approx(penalty, rel=0.2) and penalty > 1
