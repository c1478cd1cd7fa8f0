"""Steps whose loss is not finite are not applied but recorded so that they can be repeated; too many end training."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import IMAGE_SHAPE, make_vae, random_images

from kvae.config import ModelConfig, TrainConfig
from kvae.data import datasets
from kvae.errors import KvaeError
from kvae.model.networks import Encoder
from kvae.model.priors import StandardNormal
from kvae.model.vae import VAE
from kvae.runs import layout
from kvae.steps import batches
from kvae.steps.optimizers import FusedAdam
from kvae.steps.skips import MAX_RECORDED, SkipRecord
from kvae.training import building, fitting, skipped
from kvae.training.skipped import SkippedSteps

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tests")
class Broken(keras.layers.Layer):
    """Makes NaN of an image whose first pixel is white."""

    def build(self, input_shape):
        self.built = True

    def call(self, images):
        return tf.where(images[:, :1, :1, :1] == 1.0, np.nan, images)


def make_broken(*layers, seed=0):
    """A VAE whose step is not finite for some images."""
    usual = make_vae(seed=seed, latent_dim=2)
    body = keras.Sequential([Broken(), keras.layers.Flatten(), *layers, keras.layers.Dense(8)])
    vae = VAE(Encoder(body, 2), usual.decoder, StandardNormal(2), seed=seed)
    vae.build((None, *IMAGE_SHAPE))
    return vae


def state_of(vae):
    return [value.numpy() for value in (*vae.trainable_variables, *vae.optimizer.variables)]


def lines(folder):
    return [json.loads(line) for line in (folder / layout.SKIPPED).read_text().splitlines()]


@pytest.mark.parametrize(
    ("jit", "optimizer"),
    [
        (True, keras.optimizers.Adam),
        (False, FusedAdam),
        (False, keras.optimizers.Adam),
        pytest.param(True, FusedAdam, marks=pytest.mark.exhaustive),
    ],
)
def test_a_step_that_is_not_finite_is_not_applied(tmp_path, jit, optimizer):
    """With a NaN in the second of three batches, weights, moments and schedule are those of a fit without it."""
    good, bad = random_images(8), random_images(8, seed=1)
    bad[3, 0, 0, 0] = 1.0
    vaes = [make_broken(seed=4), make_broken(seed=4)]
    for vae, parts in zip(vaes, ([good, bad, good], [good, None, good]), strict=True):
        vae.compile(optimizer=optimizer(1e-2), jit_compile=jit)
        for part in parts:
            if part is None:  # the seed that the skipped step used
                vae.seed_generator.next()
            else:
                vae.fit(part, batch_size=8, verbose=0, callbacks=[SkippedSteps(tmp_path)])
    for one, other in zip(*map(state_of, vaes), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(vaes[0].skips.count) == 1 and int(vaes[0].made_steps) == 3
    assert [line["step"] for line in lines(tmp_path)] == [1]
    assert np.isnan(vaes[0].terms(bad, lines(tmp_path)[0]["seed"]).distortion).any()


def test_the_skipped_steps_of_a_loop_are_recorded_with_their_seeds():
    """Of 7 steps in one call, those with images 2 and 5: their draws can be repeated from the record."""
    images = np.random.default_rng(0).integers(0, 255, (7, *IMAGE_SHAPE), dtype=np.uint8)
    vae = make_broken()
    vae.compile(optimizer="adam", jit_compile=False)
    element = next(iter(batches.steps(images, 1, 7, 0)))
    order = [int(batches.chosen_images(7, 1, 0, step)[0]) for step in range(7)]
    bad = {order.index(2), order.index(5)}
    plain = VAE._step

    def step(self, example):
        number = self.made_steps
        spoiled = tf.reduce_any(tf.equal(number, list(bad)))
        return plain(self, example._replace(images=tf.where(spoiled, 1.0, example.images)))

    vae._step = step.__get__(vae)
    logs = vae.train_step(element)
    assert [found for found, _ in vae.skips.since(0)] == sorted(bad)
    assert int(vae.optimizer.iterations) == 5
    assert np.isfinite(logs["loss"])
    seeds = [seed for _, seed in vae.skips.since(0)]
    assert seeds[0] != seeds[1]
    assert vae.skips.since(1) == vae.skips.since(0)[1:]


def test_if_all_steps_are_skipped_the_loss_is_nan():
    """Not 0, which would look perfect."""
    vae = make_broken()
    vae.compile(optimizer="adam", jit_compile=False)
    history = vae.fit(np.ones((4, *IMAGE_SHAPE), np.float32), verbose=0).history
    assert np.isnan(history["loss"][0])


def test_only_the_last_skipped_steps_are_recorded():
    skips = SkipRecord()
    for number in range(MAX_RECORDED + 3):
        skips.record(tf.constant(number, tf.int64), tf.constant([1, 2]), tf.constant(1, tf.int64))
    assert [step for step, _ in skips.since(0)] == list(range(3, MAX_RECORDED + 3))


def test_a_huge_learning_rate_ends_training_with_likely_causes(tmp_path):
    model = ModelConfig(architecture="mlp", latent_dim=2, hidden_units=8)
    config = TrainConfig(
        dataset="fashion_mnist_mini", epochs=2, batch_size=100, learning_rate=1e30, jit="off", model=model
    )
    data = datasets.load("fashion_mnist_mini")
    vae = building.build(config, data.image_shape, 4000)
    callback = SkippedSteps(tmp_path, 5, lambda step: fitting.batch_of(config, data, step))
    with pytest.raises(KvaeError, match=r"training stopped: \d+ steps .* not applied.*learning rate is too high"):
        fitting.fit(vae, config, data, [callback])
    first = lines(tmp_path)[0]
    assert first["epoch"] == 1 and first["step"] == first["step_in_epoch"]
    chosen = batches.chosen_images(4000, 100, config.seed, first["step"])
    assert first["images"] == chosen.tolist()
    assert all(np.isfinite(value).all() for value in vae.get_weights())


class Degenerate(keras.Model):
    """A decoder whose scale is 0 from the start: log p(x|z) is infinite."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(64)

    def call(self, z):
        loc = tf.reshape(self.dense(z), (-1, *IMAGE_SHAPE))
        return tfd.Independent(tfd.Normal(loc, tf.zeros_like(loc)), 3)


def test_a_degenerate_likelihood_ends_the_training(tmp_path):
    encoder = Encoder(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(8)]), 2)
    vae = VAE(encoder, Degenerate(), StandardNormal(2), seed=0)
    vae.compile(optimizer="adam", jit_compile=False)
    with pytest.raises(KvaeError, match=r"stopped: 3 steps .*max_skipped_steps: 2.*scale went to 0"):
        vae.fit(random_images(40), batch_size=4, verbose=0, callbacks=[SkippedSteps(tmp_path, 2)])
    assert [line["step"] for line in lines(tmp_path)] == [0, 1, 2]


def test_the_names_of_a_batch_are_recorded_if_images_have_names():
    data = datasets.load("fashion_mnist_mini")
    names = [f"a/{index}.png" for index in range(4000)]
    data = replace(data, train=replace(data.train, names=names))
    config = TrainConfig(dataset="fashion_mnist_mini", batch_size=100)
    told = fitting.batch_of(config, data, 45)
    assert (told["epoch"], told["step_in_epoch"]) == (2, 5)
    assert told["names"] == [f"a/{index}.png" for index in told["images"]]


def test_lines_of_steps_that_were_lost_are_dropped(tmp_path):
    skipped.forget_after(tmp_path, 3)  # no file, nothing to do
    path = tmp_path / layout.SKIPPED
    other = '[1]\n{"a": 1}\n{"step": "x"}\n'
    path.write_text(other + "".join(f'{{"step": {step}}}\n' for step in (1, 2, 3, 7)) + '{"st')
    skipped.forget_after(tmp_path, 3)
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]


def test_a_loss_scale_produces_infinities_by_design():
    """Keras's optimizer for float16 lowers its scale after an infinite gradient: it must see it."""
    vae = make_vae(beta=1e4)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), initial_scale=2.0**127)
    vae.compile(optimizer=optimizer, jit_compile=False)
    vae.fit(random_images(8), batch_size=8, verbose=0)
    assert int(vae.skips.count) == 0
    assert float(optimizer.dynamic_scale) < 2.0**127


def test_a_skipped_step_does_not_change_batch_statistics():
    """Otherwise they would be NaN from then on, and so would everything after."""
    vae = make_broken(keras.layers.BatchNormalization())
    vae.compile(optimizer="adam", jit_compile=False)
    vae.fit(random_images(8), verbose=0)
    before = [value.numpy() for value in vae.non_trainable_weights]
    assert len(before) == 2
    vae.fit(np.ones((8, *IMAGE_SHAPE), np.float32), verbose=0)
    assert int(vae.skips.count) == 1
    for value, expected in zip(vae.non_trainable_weights, before, strict=True):
        np.testing.assert_array_equal(value.numpy(), expected)
