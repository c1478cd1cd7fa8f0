"""Training on the real mini set: what is streamed, that it repeats itself, that it learns, and what its loss weighs."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae

from kvae import binarization, datasets, training
from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError

MLP = ModelConfig(architecture="mlp", latent_dim=2, hidden_units=16)
IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def mini():
    return datasets.load("fashion_mnist_mini")


def fitted(config, data):
    vae = training.build(config, data.image_shape, len(data.train.images))
    return vae, training.fit(vae, config, data)


@pytest.fixture(scope="module")
def two_runs(mini):
    """The same two epochs twice: models and their histories."""
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=2, batch_size=125, model=MLP)
    return [fitted(config, mini) for _ in range(2)]


def test_shuffled_batches_are_a_new_permutation_in_each_epoch():
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1)
    stream = training.batches(images, 5, shuffle_seed=0)
    epochs = [np.concatenate([batch.numpy().ravel() for batch in stream]) for _ in range(2)]
    for epoch in epochs:
        np.testing.assert_allclose(np.sort(epoch), np.arange(10) / 255, rtol=1e-6)
    assert not np.array_equal(*epochs)
    again = training.batches(images, 5, shuffle_seed=0)
    np.testing.assert_array_equal(np.concatenate([batch.numpy().ravel() for batch in again]), epochs[0])


def test_training_batches_have_one_shape_and_validation_loses_nothing():
    images = np.zeros((10, 2, 2, 1), np.uint8)
    assert [len(batch) for batch in training.batches(images, 4, shuffle_seed=0)] == [4, 4]
    assert [len(batch) for batch in training.batches(images, 4)] == [4, 4, 2]


def shaded(grey, count=400):
    """Images of one grey."""
    return np.full((count, 4, 4, 1), grey, np.uint8)


def epoch_of(stream):
    return np.concatenate([batch.numpy() for batch in stream])


def test_binarised_batches_hold_bits_alone():
    stream = training.batches(IMAGES, 10, shuffle_seed=0, binarize=True)
    assert [batch.shape for batch in stream] == [(10, 8, 8, 1)] * 5
    epoch = epoch_of(stream)
    assert epoch.dtype == np.float32
    assert set(np.unique(epoch)) == {0.0, 1.0}


@pytest.mark.parametrize("grey", [0, 1, 60, 200, 254, 255])
def test_the_mean_bit_is_the_intensity(grey):
    """Over 6,400 pixels an epoch and 5 epochs: within 5 standard errors; black is always 0 and white always 1."""
    stream = training.batches(shaded(grey), 100, shuffle_seed=1, binarize=True)
    bits = np.concatenate([epoch_of(stream) for _ in range(5)])
    error = np.sqrt(grey / 255 * (1 - grey / 255) / bits.size)
    assert abs(bits.mean(dtype=np.float64) - grey / 255) <= 5 * error


def test_bits_are_drawn_anew_for_each_pixel_batch_and_epoch():
    """A grey of 128: any two images, batches or epochs differ in half of their pixels, within 5 standard errors."""
    stream = training.batches(shaded(128), 200, shuffle_seed=0, binarize=True)
    one, other = epoch_of(stream), epoch_of(stream)
    tolerance = 5 * 0.5 / np.sqrt(200 * 16)
    assert np.mean(one[:200] != one[200:]) == pytest.approx(0.5, abs=tolerance)  # two batches
    assert np.mean(one != other) == pytest.approx(0.5, abs=tolerance)
    assert np.mean(one[0:200:2] != one[1:200:2]) == pytest.approx(0.5, abs=tolerance)
    assert np.mean(one[:, :2] != one[:, 2:]) == pytest.approx(0.5, abs=tolerance)  # pixels of one image


def test_bits_repeat_themselves_from_the_seed():
    streams = [training.batches(IMAGES, 10, shuffle_seed=seed, binarize=True) for seed in (3, 3, 4)]
    epochs = [[epoch_of(stream) for _ in range(2)] for stream in streams]
    for one, other in zip(epochs[0], epochs[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(epochs[0][0], epochs[2][0])


def test_bits_come_in_the_order_of_their_images():
    """Images all black or all white, which no draw changes, stand where the grey stream of the seed has them."""
    images = np.repeat(np.uint8([0, 255]), 20).reshape(40, 1, 1, 1)
    grey, bits = (epoch_of(training.batches(images, 8, shuffle_seed=5, binarize=flag)) for flag in (False, True))
    np.testing.assert_array_equal(grey, bits)
    assert not np.array_equal(bits.ravel(), images.ravel() / 255)


@pytest.mark.parametrize("binarize", ["dynamic", "none"])
def test_fit_streams_bits_to_a_model_of_bits(mini, binarize):
    """Training bits new in each epoch, the validation split's frozen ones; grey images to a grey model."""

    class Recorder:
        """In the place of a model."""

        def fit(self, stream, validation_data, **_):
            self.epochs = [epoch_of(stream) for _ in range(2)]
            self.validation = epoch_of(validation_data)
            return keras.callbacks.History()

    vae = Recorder()
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=2, batch_size=500, binarize=binarize)
    training.fit(vae, config, mini)
    bits = binarize == "dynamic"
    assert (set(np.unique(vae.epochs[0])) == {0.0, 1.0}) == bits
    assert not np.array_equal(*vae.epochs)
    expected = binarization.held_out(mini, "validation", bits) / np.float32(255)
    np.testing.assert_allclose(vae.validation, expected, rtol=1e-6)


def test_the_same_seed_gives_the_same_weights(two_runs):
    """The order of images, their bits and the posterior's draws with it."""
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
        training.build(TrainConfig(seed=seed, model=MLP), mini.image_shape, 4000).get_weights()[0] for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_training_raises_the_validation_elbo(two_runs):
    vae, history = two_runs[0]
    assert history["val_elbo"][1] > history["val_elbo"][0] > -544  # -544: grey everywhere, 784 ln 2
    assert float(vae.optimizer.learning_rate) == pytest.approx(0, abs=1e-6)


def test_every_step_and_every_validation_image_counts(two_runs, mini):
    """Of 2 x 32 steps and 4 batches, neither a multiple of the steps between two returns to Python; the rate, which
    has no noise, is that of all validation images, within 1e-4 of it."""
    vae, history = two_runs[0]
    assert int(vae.optimizer.iterations) == 64
    bits = binarization.held_out(mini, "validation", True)
    rate = vae.terms(bits / np.float32(255)).rate.numpy().astype(np.float64)
    assert history["val_rate"][1] == pytest.approx(rate.mean(), rel=1e-4)


def test_warm_up_counts_epochs_in_steps(mini):
    vae = training.build(TrainConfig(kl_warmup_epochs=3, batch_size=100, model=MLP), mini.image_shape, 4050)
    assert vae.kl_warmup_steps == 120


def test_the_loss_s_weights_reach_the_model():
    vae = training.build(TrainConfig(beta=0.3, entropy_weight=0.1, seed=7, model=MLP), (28, 28, 1), 4000)
    assert (vae.beta, vae.entropy_weight, vae.seed) == (0.3, 0.1, 7)


@pytest.mark.parametrize("architecture", ["conv", "mlp", "gated_mlp"])
def test_every_architecture_is_built_and_says_whether_xla_compiles_it(architecture):
    model = ModelConfig(architecture=architecture, latent_dim=2, hidden_units=8)
    vae = training.build(TrainConfig(model=model), (8, 8, 1), 4000)
    assert vae.jit_compile == training.USES_XLA[architecture]


def test_a_batch_larger_than_the_data_is_an_error():
    with pytest.raises(ConfigError, match="batch_size must be at most 100"):
        training.build(TrainConfig(model=MLP), (28, 28, 1), 100)


@pytest.mark.parametrize("entropy_weight", [1.0, 0.5, 0.0])
@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 4.0])
def test_effective_beta_is_that_of_the_loss(beta, entropy_weight):
    vae = make_vae(beta=beta, entropy_weight=entropy_weight)
    assert training.effective_beta(vae, IMAGES) == pytest.approx(beta, abs=2e-3)


def test_effective_beta_shows_a_loss_of_means(monkeypatch):
    """The commonest defect, means over 64 pixels and 3 dimensions, would be reported as 64/3 of the KL's weight."""
    vae = make_vae()
    monkeypatch.setattr(
        vae, "loss_of", lambda terms: 64 * tf.reduce_mean(terms.distortion / 64 + terms.regularizer / 3)
    )
    assert training.effective_beta(vae, IMAGES) == pytest.approx(64 / 3, rel=1e-3)


def test_effective_beta_is_that_after_a_warm_up():
    vae = make_vae(beta=0.5)
    vae.kl_warmup_steps = 1000
    assert training.effective_beta(vae, IMAGES) == pytest.approx(0.5, abs=1e-3)


def test_effective_beta_leaves_the_model_as_it_was():
    vae = make_vae()
    state = vae.seed_generator.state.numpy().copy()
    assert training.effective_beta(vae, IMAGES) == training.effective_beta(vae, IMAGES)
    np.testing.assert_array_equal(vae.seed_generator.state, state)


def test_effective_beta_of_a_regulariser_that_is_0_is_none():
    """A posterior that is the prior: nothing is weighed."""
    vae = make_vae()
    posterior = vae.prior.__class__(tf.zeros((50, 3)), tf.ones((50, 3)))
    vae.encoder = lambda images, training=False: posterior
    assert np.isnan(training.effective_beta(vae, IMAGES))
