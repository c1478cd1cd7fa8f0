"""The weight of the KL at every step, against the papers' formulas in numpy."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae, random_images

from kvae.config import TrainConfig
from kvae.errors import ConfigError
from kvae.model.objectives import ELBO
from kvae.model.objectives.schedule import BetaSchedule

STEPS = np.arange(400)


def shares(steps_per_epoch=10, **settings):
    schedule = BetaSchedule.of_config(TrainConfig(**settings), steps_per_epoch)
    return np.array([float(schedule.share(tf.constant(step, tf.int64))) for step in STEPS])


def test_without_a_schedule_it_stays_at_beta():
    np.testing.assert_array_equal(shares(), 1.0)


def test_linear_over_the_epochs_that_are_given():
    expected = np.minimum(1.0, STEPS / 30)
    np.testing.assert_allclose(shares(kl_warmup_epochs=3), expected, rtol=1e-6)
    np.testing.assert_allclose(shares(kl_warmup_epochs=3, beta_schedule="linear"), expected, rtol=1e-6)


def test_linear_alone_takes_half_of_the_training():
    np.testing.assert_allclose(shares(epochs=40, beta_schedule="linear"), np.minimum(1.0, STEPS / 200), rtol=1e-6)


def test_cyclical_is_the_paper_s_with_four_cycles_half_of_each_rising():
    """tau = mod(t - 1, T / M) / (T / M), and beta = tau / R while tau <= R, else 1; t counts from 1."""
    tau = np.mod(STEPS, 100) / 100
    expected = np.where(tau <= 0.5, tau / 0.5, 1.0)
    np.testing.assert_allclose(shares(epochs=40, beta_schedule="cyclical"), expected, rtol=1e-6)


def test_a_list_gives_each_epoch_its_beta_and_the_last_one_stays():
    found = shares(beta_schedule="0,0.1,0.5,1")
    expected = np.array([0, 0.1, 0.5, 1.0])[np.minimum(STEPS // 10, 3)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    found = 4.0 * shares(beta=4.0, beta_schedule="8, 0,4")
    np.testing.assert_allclose(found, np.array([8.0, 0.0, 4.0])[np.minimum(STEPS // 10, 2)], rtol=1e-6)


@pytest.mark.parametrize("settings", [{"epochs": 1}, {"epochs": 2}, {"epochs": 3}])
@pytest.mark.parametrize("name", ["linear", "cyclical"])
def test_the_shortest_trainings_have_a_schedule_too(settings, name):
    found = shares(steps_per_epoch=1, beta_schedule=name, **settings)
    assert np.all((found >= 0) & (found <= 1)) and np.isfinite(found).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"beta_schedule": "soup"}, "linear, cyclical, or numbers .*; got 'soup'"),
        ({"beta_schedule": "0,,1"}, "got '0,,1'"),
        ({"beta_schedule": "0,nan,1"}, "got '0,nan,1'"),
        ({"beta_schedule": "-1,1"}, "got '-1,1'"),
        ({"beta_schedule": ""}, "got ''"),
        ({"beta_schedule": "0,0.5"}, r"must end with beta.*ends with 0\.5, and beta is 1"),
        ({"beta_schedule": "1,0", "beta": 0.0}, "above 0"),
        ({"beta_schedule": "0,0,1", "epochs": 2}, "has 3 epochs, more than the training's 2"),
        ({"beta_schedule": "cyclical", "kl_warmup_epochs": 2}, "kl_warmup_epochs is the length of the linear"),
        ({"beta_schedule": "0,1", "kl_warmup_epochs": 2}, "kl_warmup_epochs is the length of the linear"),
        ({"free_bits": 0.1, "entropy_weight": 0.0}, "entropy_weight must be 1; got 0"),
        ({"free_bits": 0.1, "beta": 0.0}, "has no effect with beta 0"),
        ({"free_bits": -0.1}, "free_bits must be a number of at least 0"),
        ({"clip_norm": -1.0}, "clip_norm must be a number of at least 0"),
        ({"ema": 1.0}, r"ema must be a number of at least 0 and at most 0\.99"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words) as caught:
        TrainConfig(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"cycle_steps": 5}, {"shares": (1.0,)}, {"cycle_steps": 2, "warmup_steps": 3}])
def test_an_objective_refuses_them_too(settings):
    with pytest.raises(ConfigError):
        ELBO(**settings)


def test_a_schedule_is_saved_with_the_model():
    objective = ELBO(shares=(0.0, 0.5, 1.0), share_steps=3)
    vae = make_vae()
    vae.objective = objective
    again = type(vae).from_config(vae.get_config()).objective
    assert again == objective and isinstance(again.shares, tuple)


def test_training_is_weighted_by_it_and_validation_is_not():
    vae, images = make_vae(), random_images(20)
    vae.objective = ELBO(shares=(0.0, 1.0), share_steps=2)
    vae.compile(optimizer="adam", jit_compile=False)
    first = vae.fit(images, batch_size=10, epochs=2, validation_data=(images,), verbose=0).history
    assert first["loss"][0] == pytest.approx(first["distortion"][0], rel=1e-5)
    assert first["loss"][1] == pytest.approx(-first["elbo"][1], rel=1e-5)
    np.testing.assert_allclose(first["val_loss"], -np.array(first["val_elbo"]), rtol=1e-5)
