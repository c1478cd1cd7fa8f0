"""The flow: its inverse, its determinant, and the integral of its density."""

import numpy as np
import pytest
import tensorflow as tf

from kvae.errors import ConfigError
from kvae.model.priors.flow import MAX_LOG_SCALE, Flow, halves


def trained(latent_dim, size=0.3, couplings=8, num_labels=None):
    """A flow with weights far from those of its beginning."""
    prior, rng = Flow(latent_dim, couplings, 16, num_labels), np.random.default_rng(0)
    prior.build()
    for weight in prior.weights:
        weight.assign(size * rng.normal(size=weight.shape))
    return prior


@pytest.mark.parametrize("latent_dim", [2, 5, 16])
def test_it_begins_as_n_0_i(latent_dim):
    prior = Flow(latent_dim)
    prior.build()
    z = np.random.default_rng(0).normal(size=(5, latent_dim)).astype(np.float32)
    expected = np.sum(-0.5 * z.astype(np.float64) ** 2 - 0.5 * np.log(2 * np.pi), axis=1)
    np.testing.assert_allclose(prior().log_prob(z), expected, rtol=1e-5)
    np.testing.assert_array_equal(prior.from_noise(z), z)


@pytest.mark.parametrize("latent_dim", [2, 5, 16])
def test_each_direction_is_the_inverse_of_the_other(latent_dim):
    prior = trained(latent_dim, size=0.15)
    noise = tf.constant(np.random.default_rng(1).normal(size=(200, latent_dim)), tf.float32)
    z = prior.from_noise(noise)
    assert np.abs(z - noise).max() > 0.5
    np.testing.assert_allclose(prior.to_noise(z)[0], noise, atol=1e-5)
    np.testing.assert_allclose(prior.from_noise(prior.to_noise(noise)[0]), noise, rtol=1e-5, atol=1e-5)


def test_its_log_determinant_is_that_of_the_jacobian():
    prior = trained(5)
    z = tf.constant(np.random.default_rng(1).normal(size=(20, 5)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(z)
        noise, log_det = prior.to_noise(z)
    _, expected = np.linalg.slogdet(tape.batch_jacobian(noise, z).numpy().astype(np.float64))
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 0.5
    chain = prior().bijector
    np.testing.assert_allclose(chain.inverse_log_det_jacobian(z, 1), log_det, rtol=1e-6)
    np.testing.assert_allclose(chain.forward(chain.inverse(z)), z, rtol=1e-5, atol=1e-5)


def test_with_labels_it_is_a_flow_of_each():
    """Each label's density integrates to 1 and is another one; draws and density belong together."""
    prior, step = trained(2, couplings=4, num_labels=2), 0.08
    points = np.arange(-16, 16, step, dtype=np.float32)
    grid = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
    of_each = [prior(tf.fill([len(grid)], tf.constant(number, tf.int64))).log_prob(grid).numpy() for number in (0, 1)]
    for log_prob in of_each:
        assert np.exp(log_prob.astype(np.float64)).sum() * step**2 == pytest.approx(1, abs=2e-3)
    assert np.abs(np.exp(of_each[0]) - np.exp(of_each[1])).max() > 0.01
    label = tf.constant([0, 1, 1], tf.int64)
    noise = tf.constant(np.random.default_rng(1).normal(size=(3, 2)), tf.float32)
    z = prior.from_noise(noise, label=label)
    np.testing.assert_allclose(prior.to_noise(z, label)[0], noise, atol=1e-5)
    np.testing.assert_allclose(prior(label).bijector.forward(noise), z, rtol=1e-6)
    several = tf.stack([z, z + 0.5])  # draws for each image
    found = prior(label).log_prob(several)
    for row in range(3):
        expected = prior(label[row : row + 1]).log_prob(several[:, row : row + 1])
        np.testing.assert_allclose(found[:, row], expected[:, 0], rtol=1e-5)


def test_its_density_integrates_to_1_in_two_dimensions():
    prior, step = trained(2, couplings=4), 0.04
    points = np.arange(-16, 16, step, dtype=np.float32)
    grid = np.stack(np.meshgrid(points, points), axis=-1).reshape(-1, 2)
    assert np.exp(prior().log_prob(grid).numpy().astype(np.float64)).sum() * step**2 == pytest.approx(1, abs=2e-3)


def test_its_density_is_that_of_its_draws():
    """The mean of a bounded function under draws, and under weights from N(0, 9 I), within 4 standard errors."""
    prior, rng, number = trained(2, couplings=4), np.random.default_rng(2), 100_000
    noise = rng.normal(size=(2, number, 2)).astype(np.float32)
    draws = np.tanh(prior.from_noise(noise[0]).numpy()[:, 0])
    wide = 3 * noise[1]
    log_wide = np.sum(-0.5 * noise[1].astype(np.float64) ** 2 - np.log(3) - 0.5 * np.log(2 * np.pi), axis=1)
    weighted = np.tanh(wide[:, 0]) * np.exp(prior().log_prob(wide).numpy() - log_wide)
    error = np.hypot(draws.std(), weighted.std()) / np.sqrt(number)
    assert abs(draws.mean() - weighted.mean()) < 4 * error


def test_codes_of_several_draws_have_a_density_each():
    prior = trained(3)
    z = tf.constant(np.random.default_rng(1).normal(size=(4, 5, 3)), tf.float32)
    together = prior().log_prob(z)
    assert together.shape == (4, 5)
    np.testing.assert_allclose(together[2], prior().log_prob(z[2]), rtol=1e-5)


def test_far_away_its_density_is_finite():
    prior = trained(4, size=3.0)
    z = tf.constant([[1e6, -1e6, 1e6, 0.0], [0.0, 0.0, 0.0, -1e8]])
    assert np.all(np.isfinite(prior().log_prob(z)))
    assert np.log(np.finfo(np.float32).max) > 4 * MAX_LOG_SCALE


@pytest.mark.parametrize("latent_dim", [2, 3, 5, 16])
def test_all_dimensions_are_moved_and_move_others(latent_dim):
    masks = np.stack(halves(latent_dim, 8))
    assert set(np.unique(masks)) == {0.0, 1.0}
    assert masks.any(axis=0).all() and not masks.all(axis=0).any()
    assert masks.any(axis=1).all() and not masks.all(axis=1).any()


def test_one_dimension_is_refused():
    with pytest.raises(ConfigError, match="latent_dim of at least 2; got 1"):
        Flow(1)
