"""Training on the real mini set: what is streamed, that it repeats itself, and that it learns."""

import keras
import numpy as np
import pytest

from kvae import datasets, training
from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError

MLP = ModelConfig(architecture="mlp", latent_dim=2, hidden_units=16)


@pytest.fixture(scope="module")
def mini():
    return datasets.load("fashion_mnist_mini")


def fitted(config, data):
    vae = training.build(config, data.image_shape, len(data.train.images))
    training.fit(vae, config, data)
    return vae


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


@pytest.mark.parametrize("architecture", ["conv", "mlp"])
def test_the_same_seed_gives_the_same_weights(mini, architecture):
    model = ModelConfig(architecture=architecture, latent_dim=2, hidden_units=8)
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=1, batch_size=500, seed=3, model=model)
    first, second = (fitted(config, mini).get_weights() for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_other_weights(mini):
    first, second = (
        training.build(TrainConfig(seed=seed, model=MLP), mini.image_shape, 4000).get_weights()[0] for seed in (0, 1)
    )
    assert not np.array_equal(first, second)


def test_training_raises_the_validation_elbo(mini):
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=2, model=MLP)
    history = keras.callbacks.History()
    vae = training.build(config, mini.image_shape, 4000)
    training.fit(vae, config, mini, [history])
    assert history.history["val_elbo"][1] > history.history["val_elbo"][0] > -544  # -544: grey everywhere, 784 ln 2
    assert float(vae.optimizer.learning_rate) == pytest.approx(0, abs=1e-6)


def test_warm_up_counts_epochs_in_steps(mini):
    vae = training.build(TrainConfig(kl_warmup_epochs=3, batch_size=100, model=MLP), mini.image_shape, 4050)
    assert vae.kl_warmup_steps == 120


def test_a_batch_larger_than_the_data_is_an_error():
    with pytest.raises(ConfigError, match="batch_size must be at most 100"):
        training.build(TrainConfig(model=MLP), (28, 28, 1), 100)
