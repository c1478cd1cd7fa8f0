"""Training on the real mini set: what it streams, that it is repeatable and learns, and how its loss is weighted."""

import math
import subprocess
import sys
from dataclasses import replace
from itertools import islice

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae

from kvae.config import ModelConfig, TrainConfig
from kvae.data import choice, datasets
from kvae.data.held_out_split import held_out
from kvae.errors import ConfigError, KvaeError
from kvae.steps import batches, threads
from kvae.training import building, fitting, process
from kvae.training.effective_beta import effective_beta

MLP = ModelConfig(architecture="mlp", latent_dim=2, hidden_units=16)
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def mini():
    return datasets.load("fashion_mnist_mini")


def fitted(config, data):
    vae = building.build(config, data.image_shape, len(data.train.images))
    return vae, fitting.fit(vae, config, data)


@pytest.fixture(scope="module")
def two_runs(mini):
    """The same two epochs, trained twice: models and their histories."""
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=2, batch_size=125, model=MLP)
    return [fitted(config, mini) for _ in range(2)]


@pytest.mark.parametrize("binarize", ["dynamic", "none"])
def test_fit_streams_bits_to_a_model_of_bits(mini, binarize):
    """Training bits are new in each epoch, the validation split's are frozen; a grey model gets grey images."""

    class Recorder:
        """Replaces the model."""

        stop_training = False
        distribute_strategy = tf.distribute.get_strategy()

        def fit(self, stream, validation_data, steps_per_epoch, **_):
            elements = iter(stream)
            self.epochs = [
                np.concatenate([element.batch(0) for element in islice(elements, steps_per_epoch)]) for _ in range(2)
            ]
            self.validation = np.concatenate([batch.numpy() for batch in validation_data])
            return keras.callbacks.History()

    vae = Recorder()
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=2, batch_size=500, binarize=binarize)
    fitting.fit(vae, config, mini)
    bits = binarize == "dynamic"
    assert (set(np.unique(vae.epochs[0])) == {0.0, 1.0}) == bits
    assert not np.array_equal(*vae.epochs)
    expected = held_out(mini, "validation", bits) / np.float32(255)
    np.testing.assert_allclose(vae.validation, expected, rtol=1e-6)


def test_the_same_seed_gives_the_same_weights(two_runs):
    """And with them the order of images, their bits and the posterior's draws."""
    for one, other in zip(*(vae.get_weights() for vae, _ in two_runs), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_same_seed_gives_the_same_convolutions(mini):
    """200 images to train on, 50 to validate."""
    parts = {"train": 200, "validation": 50}
    splits = {name: datasets.Split(getattr(mini, name).images[:count], None) for name, count in parts.items()}
    model = ModelConfig(architecture="conv", latent_dim=2, hidden_units=8)
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=1, batch_size=50, seed=3, model=model)
    first, second = (fitted(config, replace(mini, **splits))[0].get_weights() for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_other_weights(mini):
    first, second = (
        building.build(TrainConfig(seed=seed, model=MLP), mini.image_shape, 4000).get_weights()[0] for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_training_raises_the_validation_elbo(two_runs):
    vae, history = two_runs[0]
    assert history["val_elbo"][1] > history["val_elbo"][0] > -544  # -544: predicting grey everywhere, 784 ln 2
    assert float(vae.optimizer.learning_rate) == pytest.approx(0, abs=1e-6)


def test_every_step_and_every_validation_image_counts(two_runs, mini):
    """With 2 x 32 steps and 4 batches, neither a multiple of the steps between two returns to Python; the rate, which
    has no noise, is that of all validation images, within 1e-4 of it."""
    vae, history = two_runs[0]
    assert int(vae.optimizer.iterations) == 64
    bits = held_out(mini, "validation", True)
    rate = vae.terms(bits / np.float32(255)).rate.numpy().astype(np.float64)
    assert history["val_rate"][1] == pytest.approx(rate.mean(), rel=1e-4)


def test_warm_up_counts_epochs_in_steps(mini):
    vae = building.build(TrainConfig(kl_warmup_epochs=3, batch_size=100, model=MLP), mini.image_shape, 4050)
    assert vae.objective.warmup_steps == 120


def test_the_learning_rate_grows_and_falls(mini):
    """It rises to its peak over the warm-up, then falls along half a cosine to 0; checked at some of 4 x 40 steps."""
    config = TrainConfig(epochs=4, batch_size=100, learning_rate=0.01, lr_warmup_steps=20, adam_beta2=0.99, model=MLP)
    optimizer = building.build(config, mini.image_shape, 4050).optimizer
    rates = []
    for step in (0, 5, 20, 55, 90, 160):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    half = 0.01 * 0.5
    expected = [0, 0.01 / 4, 0.01, half * (1 + math.cos(math.pi / 4)), half, 0]
    assert rates == pytest.approx(expected, abs=1e-8)
    assert optimizer.beta_2 == 0.99


def test_a_warm_up_of_the_learning_rate_must_end(mini):
    choice.check_size(TrainConfig(epochs=2, batch_size=100, lr_warmup_steps=79, model=MLP), 4050)
    config = TrainConfig(epochs=2, batch_size=100, lr_warmup_steps=80, model=MLP)
    with pytest.raises(
        ConfigError, match="lr_warmup_steps must be less than 80, the optimiser steps of the run; got 80"
    ):
        building.build(config, mini.image_shape, 4050)


@pytest.mark.parametrize(
    ("image_shape", "shift", "message"),
    [
        ((8, 12, 1), 8, "less than the height and the width of the images, 8 x 12 pixels; got 8"),
        ((12, 8, 3), 9, "12 x 8 pixels; got 9"),
        ((1, 20, 1), 1, "fashion_mnist is a table, so it must be 0; got 1"),
    ],
)
def test_images_are_not_moved_out_of_sight_nor_tables_at_all(image_shape, shift, message):
    with pytest.raises(ConfigError, match=message):
        building.build(TrainConfig(shift=shift, model=MLP), image_shape, 4000)
    choice.check_shift(TrainConfig(shift=min(image_shape[:2]) - 1, model=MLP), image_shape)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("start", [0, 7])
def test_training_images_are_moved_by_seed_and_step_and_validation_images_are_not(mini, monkeypatch, replicas, start):
    """The streams that `fit` gets, whatever the number of replicas and the step that it begins with."""
    given = []

    class Recorder:
        """Replaces the model."""

        stop_training = False
        distribute_strategy = tf.distribute.get_strategy()

        def fit(self, stream, validation_data, **_):
            given.extend([stream, validation_data])
            return keras.callbacks.History()

    if replicas > 1:
        shares = batches.Shares(replicas, range(replicas))
        monkeypatch.setattr(fitting, "replicated", lambda vae: True)
        monkeypatch.setattr(fitting.strategies, "distributed", lambda strategy, make: make(shares))
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=1, batch_size=50, shift=2, seed=3, model=MLP)
    fitting.fit(Recorder(), config, mini, step=start)
    stream, validation = given
    if replicas == 1:
        element = next(iter(stream))
        found = [element.batch(step) for step in range(5)]
    else:
        found = np.reshape([share.numpy() for share in stream.take(5 * replicas)], (5, 50, 28, 28, 1))
    whole = batches.batches(mini.train.images, 50, 3, binarize=True, shift=2)
    np.testing.assert_array_equal(found, [batch.numpy() for batch in whole.skip(start).take(5)])
    first = next(iter(validation))
    bits = (first if replicas == 1 else first.images)[:50]
    np.testing.assert_array_equal(bits, held_out(mini, "validation", True)[:50] / np.float32(255))


def test_the_loss_s_weights_reach_the_model():
    vae = building.build(TrainConfig(beta=0.3, entropy_weight=0.1, seed=7, model=MLP), (28, 28, 1), 4000)
    assert (vae.beta, vae.objective.entropy_weight, vae.seed) == (0.3, 0.1, 7)


@pytest.mark.parametrize(
    ("architecture", "binarize", "jit"),
    [
        ("mlp", "dynamic", "auto"),
        ("gated_mlp", "none", "off"),
        ("conv", "dynamic", "auto"),
        *(
            pytest.param(architecture, binarize, "auto", marks=pytest.mark.exhaustive)
            for architecture, binarize in (("mlp", "none"), ("gated_mlp", "dynamic"), ("conv", "none"))
        ),
    ],
)
def test_the_fast_path_gives_the_losses_of_a_plain_fit(mini, architecture, binarize, jit):
    """From the same seed, many steps in a loop, fed with indices, and a plain Keras `fit`, fed one batch of images at a
    time, give the same history, each epoch to within 1e-5."""
    model = ModelConfig(architecture=architecture, latent_dim=2, hidden_units=8)
    config = TrainConfig(
        dataset="fashion_mnist_mini",
        epochs=2,
        batch_size=40,
        binarize=binarize,
        jit=jit,
        kl_warmup_epochs=1,
        lr_warmup_steps=4,
        adam_beta2=0.99,
        seed=5,
        model=model,
    )
    parts = {"train": 250, "validation": 50}
    splits = {name: datasets.Split(getattr(mini, name).images[:count], None) for name, count in parts.items()}
    data = replace(mini, **splits)
    _, fast = fitted(config, data)
    vae = building.build(config, data.image_shape, 250)
    plain = vae.fit(
        # Keras makes more than one iterator per epoch, each with a new order: this stream continues instead.
        batches.batches(data.train.images, 40, shuffle_seed=5, binarize=binarize == "dynamic"),
        steps_per_epoch=6,
        validation_data=batches.batches(held_out(data, "validation", binarize == "dynamic"), 1000),
        epochs=2,
        shuffle=False,
        verbose=0,
    ).history
    assert int(vae.optimizer.iterations) == 12
    assert set(fast) == set(plain)
    for name, values in plain.items():
        np.testing.assert_allclose(fast[name], values, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "architecture, jit, expected",
    [
        ("conv", "auto", False),
        ("mlp", "auto", True),
        ("gated_mlp", "auto", True),
        ("conv", "on", True),
        ("mlp", "off", False),
    ],
)
def test_xla_is_used_if_it_is_faster_or_requested(architecture, jit, expected):
    model = ModelConfig(architecture=architecture, latent_dim=2, hidden_units=8)
    vae = building.build(TrainConfig(model=model, jit=jit), (8, 8, 1), 4000)
    assert vae.jit_compile == expected


@pytest.mark.slow
def test_mixed_precision_computes_in_bfloat16_and_keeps_weights_and_distributions_in_float32(mini):
    """And it learns as well as float32: after two epochs the validation ELBO is within 2 nats."""
    elbos = {}
    for precision in ("float32", "mixed_bfloat16"):
        config = TrainConfig(dataset="fashion_mnist_mini", epochs=2, batch_size=125, precision=precision, model=MLP)
        vae, history = fitted(config, mini)
        elbos[precision] = history["val_elbo"][-1]
    assert keras.config.dtype_policy().name == "float32"  # the process's own policy is unchanged
    assert vae.encoder.body.layers[-1].compute_dtype == "bfloat16"
    assert {str(variable.dtype) for variable in vae.trainable_variables} == {"float32"}
    terms = vae.terms(tf.zeros((2, 28, 28, 1)))
    assert terms.distortion.dtype == terms.rate.dtype == tf.float32
    assert elbos["mixed_bfloat16"] == pytest.approx(elbos["float32"], abs=2.0)
    assert elbos["mixed_bfloat16"] != elbos["float32"]


@pytest.mark.parametrize("num_steps, per_call", [(1, 1), (99, 99), (100, 100), (101, 51), (390, 98), (429, 86)])
def test_an_epoch_is_divided_evenly(num_steps, per_call):
    assert fitting.steps_per_call(TrainConfig(batch_size=10, model=MLP), num_steps * 10 + 3) == per_call


def test_a_missing_device_is_an_error():
    with pytest.raises(KvaeError, match="device cuda: TensorFlow sees no GPU"):
        process.set_up_process(TrainConfig(model=MLP), "cuda")


def test_threads_stay_as_they_are_once_tensorflow_is_in_use():
    """Batches are not divided then either, because that is faster only with one thread per operation."""
    tf.zeros(1)
    before = tf.config.threading.get_intra_op_parallelism_threads()
    process.set_up_process(TrainConfig(), "cpu")
    assert tf.config.threading.get_intra_op_parallelism_threads() == before
    assert threads.num_parts(xla=False) == 1


SET_UP = """
import os; os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np, tensorflow as tf
from kvae.steps import threads
from kvae.training import building, process
from kvae.config import ModelConfig, TrainConfig
config = TrainConfig(model=ModelConfig(architecture="conv", latent_dim=2, hidden_units=4))
os.environ["KVAE_THREADS"] = "3"
process.set_up_process(config)
vae = building.build(config, (8, 8, 1), 4000)
assert threads.num_parts(xla=False) == 3
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
images = np.random.default_rng(0).random((10, 8, 8, 1)).astype(np.float32)
divided = vae.terms(images)
os.environ["KVAE_THREADS"] = "1"
whole = vae.terms(images)
np.testing.assert_allclose(divided.rate, whole.rate, rtol=1e-5)  # no noise: the same for each image, in order
assert divided.distortion.shape == (10,)
np.testing.assert_allclose(np.mean(divided.distortion), np.mean(whole.distortion), rtol=0.05)
"""


def test_a_training_process_divides_batches_for_convolutions_among_its_cores():
    """10 images among 3 threads."""
    subprocess.run([sys.executable, "-c", SET_UP], check=True, timeout=120)


def test_a_batch_larger_than_the_data_is_an_error():
    with pytest.raises(ConfigError, match="batch_size must be at most 100"):
        building.build(TrainConfig(model=MLP), (28, 28, 1), 100)


@pytest.mark.parametrize("entropy_weight", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 4.0])
def test_effective_beta_is_the_weight_in_the_loss(beta, entropy_weight):
    vae = make_vae(beta=beta, entropy_weight=entropy_weight)
    assert effective_beta(vae, IMAGES) == pytest.approx(beta, abs=2e-3)


def test_effective_beta_shows_a_loss_of_means(monkeypatch):
    """The most common bug, means over 64 pixels and 3 dimensions, would be reported as 64/3 of the KL's weight."""
    vae = make_vae()
    monkeypatch.setattr(vae, "weighted_loss", lambda terms: 64 * tf.reduce_mean(terms.distortion / 64 + terms.rate / 3))
    assert effective_beta(vae, IMAGES) == pytest.approx(64 / 3, rel=1e-3)


def test_effective_beta_is_the_weight_after_the_warm_up():
    vae = make_vae(beta=0.5, warmup_steps=1000)
    assert effective_beta(vae, IMAGES) == pytest.approx(0.5, abs=1e-3)


def test_effective_beta_does_not_change_the_model():
    vae = make_vae()
    state = vae.seed_generator.state.numpy().copy()
    assert effective_beta(vae, IMAGES) == effective_beta(vae, IMAGES)
    np.testing.assert_array_equal(vae.seed_generator.state, state)


def test_effective_beta_of_a_loss_without_the_rate_is_undefined(monkeypatch):
    vae = make_vae()
    monkeypatch.setattr(vae, "weighted_loss", lambda terms: tf.reduce_mean(terms.distortion))
    assert np.isnan(effective_beta(vae, IMAGES))
