"""The mixture of Gaussians against closed forms in numpy, quadrature, and the frequencies of its draws."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.bundle import noise
from kvae.model import terms
from kvae.model.gaussians import inverse_softplus
from kvae.model.priors.mixture import Mixture
from kvae.steps.draws import Draws, Rows

tfd = tfp.distributions
WEIGHTS = np.array([0.5, 0.3, 0.15, 0.05])


def made(loc, scale, weights=WEIGHTS):
    prior = Mixture(np.shape(loc)[1], len(loc))
    prior.start_at(np.log(weights), loc, scale)
    return prior


def of_one_dimension():
    return made(np.array([[-2.0], [0.5], [2.5], [4.0]]), np.array([[0.5], [0.1], [1.0], [0.05]]))


def log_density(z, weights, loc, scale):
    """log p(z) in float64, by the definition."""
    z, loc, scale = (np.asarray(values, np.float64) for values in (z, loc, scale))
    parts = -0.5 * ((z[:, None] - loc) / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)
    return np.logaddexp.reduce(np.log(weights) + parts.sum(axis=2), axis=1)


@pytest.mark.parametrize("size", [1e-3, 0.05, 1.0, 30.0])
def test_its_density_is_the_closed_form(size):
    """Also where the squares in the matrix product are a million times the density's exponent."""
    rng = np.random.default_rng(0)
    loc, scale = rng.normal(size=(4, 3)), size * rng.uniform(1.1, 2.0, (4, 3))
    loc, scale = loc.astype(np.float32), scale.astype(np.float32)
    prior = made(loc, scale)
    z = (loc[rng.integers(4, size=50)] + size * rng.normal(size=(50, 3))).astype(np.float32)
    held = prior().components_distribution.stddev().numpy()
    np.testing.assert_allclose(held, scale, rtol=1e-3)
    expected = log_density(z, WEIGHTS, loc, held)
    np.testing.assert_allclose(prior().log_prob(z), expected, rtol=2e-6, atol=2e-6)
    np.testing.assert_allclose(prior().log_prob(z.reshape(5, 10, 3)), expected.reshape(5, 10), rtol=2e-6, atol=2e-6)


def test_with_labels_it_is_a_mixture_of_each():
    rng, label = np.random.default_rng(0), np.array([1, 0, 1, 1, 0, 2])
    loc, scale = rng.normal(size=(3, 4, 2)), rng.uniform(0.2, 2.0, (3, 4, 2))
    prior = Mixture(2, 4, num_labels=3)
    prior.start_at(np.log(WEIGHTS), loc, scale)
    z = rng.normal(size=(5, 6, 2)).astype(np.float32)
    found = prior(tf.constant(label)).log_prob(z)
    for row, number in enumerate(label):
        expected = log_density(z[:, row], WEIGHTS, loc[number], scale[number])
        np.testing.assert_allclose(found[:, row], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(prior.component_probs(), WEIGHTS, rtol=1e-6)
    component = np.array([3, 2, 1, 0, 3, 2])
    draws = prior.from_noise(z[0], tf.constant(component), tf.constant(label))
    np.testing.assert_allclose(draws, loc[label, component] + scale[label, component] * z[0], rtol=1e-5, atol=1e-6)


def test_a_fit_to_codes_with_labels_begins_around_those_of_each():
    rng, labels = np.random.default_rng(0), np.arange(400) % 2
    z = (rng.normal(0, 0.1, (400, 2)) + 5 * labels[:, None]).astype(np.float32)
    prior = Mixture(2, 4, num_labels=3)  # the third has no codes: it begins as all
    prior.start_at_codes(z, labels)
    loc = prior.loc.numpy()
    assert np.abs(loc[0]).max() < 1 and np.abs(loc[1] - 5).max() < 1 and 0 < loc[2].mean() < 5
    right, wrong = (tf.reduce_mean(prior(tf.constant(given)).log_prob(z)) for given in (labels, 1 - labels))
    assert right > wrong + 100


def test_its_density_is_that_of_tfp_s_own_mixture():
    prior = made(np.zeros((4, 2)), np.arange(1.0, 9.0).reshape(4, 2))
    found = prior()
    plain = tfd.MixtureSameFamily(found.mixture_distribution, found.components_distribution)
    z = np.random.default_rng(0).normal(0, 3, (20, 2)).astype(np.float32)
    with tf.GradientTape(persistent=True) as tape:
        ours, theirs = (tf.reduce_sum(distribution.log_prob(z)) for distribution in (prior(), plain_of(prior)))
    np.testing.assert_allclose(found.log_prob(z), plain.log_prob(z), rtol=1e-5)
    for weight in prior.trainable_variables:
        np.testing.assert_allclose(
            tape.gradient(ours, weight.value), tape.gradient(theirs, weight.value), rtol=1e-4, atol=1e-5
        )


def plain_of(prior):
    found = prior()
    return tfd.MixtureSameFamily(found.mixture_distribution, found.components_distribution)


def test_far_away_its_density_and_gradient_are_finite():
    prior = made(np.ones((4, 2)), np.full((4, 2), 2e-3))
    z = tf.constant([[1e6, -1e6], [1e12, 0.0], [0.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(z)
        values = prior().log_prob(z)
    assert np.all(np.isfinite(values)) and np.all(np.isfinite(tape.gradient(values, z)))


def test_it_begins_as_equal_gaussians_of_scale_1_around_draws_from_a_standard_normal():
    prior = Mixture(10, 200)
    prior.build()
    np.testing.assert_allclose(prior.component_probs(), 1 / 200, rtol=1e-6)
    components = prior().components_distribution
    np.testing.assert_allclose(components.stddev(), 1.0, rtol=1e-6)
    loc = components.mean().numpy()
    assert abs(loc.mean()) < 4 / math.sqrt(loc.size) and abs(loc.var() - 1) < 4 * math.sqrt(2 / loc.size)


@pytest.mark.parametrize(("mean", "deviation"), [(-2.0, 0.5), (0.5, 1.0), (3.0, 0.02)])
def test_the_sampled_rate_is_that_of_quadrature_in_one_dimension(mean, deviation):
    """The rate of a step, log q - log p averaged over its draws, within 4 standard errors of the integral."""
    prior, number = of_one_dimension(), 20_000
    posterior = tfd.MultivariateNormalDiag(tf.fill([number, 1], mean), tf.fill([number, 1], deviation))
    z = posterior.bijector.forward(Draws(tf.constant([1, 2]), Rows(0, number)).normal(1, number, 1))
    found = terms.rate(posterior, prior(), posterior.log_prob(z), prior().log_prob(z)).numpy()
    grid = np.linspace(mean - 10 * deviation, mean + 10 * deviation, 200_001)
    log_q = -0.5 * ((grid - mean) / deviation) ** 2 - math.log(deviation) - 0.5 * math.log(2 * math.pi)
    distribution = prior()
    loc, scale = (
        values.numpy()
        for values in (distribution.components_distribution.mean(), distribution.components_distribution.stddev())
    )
    log_p = log_density(grid[:, None], prior.component_probs(), loc, scale)
    exact = np.trapezoid(np.exp(log_q) * (log_q - log_p), grid)
    assert abs(found.mean() - exact) < 4 * found.std() / math.sqrt(number)


def test_draws_have_the_frequencies_of_the_components_and_their_distribution():
    prior, number = of_one_dimension(), 40_000
    component = noise.choices(7, 0, number, noise.cumulative(prior.component_probs()), noise.COMPONENTS)
    frequency = np.bincount(component, minlength=4) / number
    assert np.all(np.abs(frequency - WEIGHTS) < 4 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / number))
    z = prior.from_noise(noise.standard_normal(7, 0, number, 1), tf.constant(component)).numpy()[:, 0]
    loc, scale = [-2.0, 0.5, 2.5, 4.0], [0.5, 0.1, 1.0, 0.05]
    for point in (-2.5, -1.0, 0.45, 1.0, 3.0, 4.05):
        cdf = [0.5 * (1 + math.erf((point - m) / (s * math.sqrt(2)))) for m, s in zip(loc, scale, strict=True)]
        expected = float(WEIGHTS @ cdf)
        assert abs(np.mean(z < point) - expected) < 4 * math.sqrt(expected * (1 - expected) / number)


def codes_of(latent_dim, number=400):
    """Codes in two clusters, along the first two dimensions; with more dimensions, the rest is noise."""
    rng = np.random.default_rng(latent_dim)
    z = rng.normal(size=(number, latent_dim))
    z[:, :2] = 3 * rng.choice([-1, 1], number)[:, None] + 0.5 * z[:, :2]
    return z.astype(np.float32)


@pytest.mark.parametrize(("latent_dim", "least", "most"), [(2, 0.4, 1.0), (16, 0.05, 0.5), (300, 0.0, 0.1)])
def test_a_fit_begins_with_the_moments_of_the_codes_and_no_worse_than_a_gaussian(latent_dim, least, most):
    """In many dimensions, components around single codes would be hundreds of nats worse."""
    z, new = codes_of(latent_dim), codes_of(latent_dim, 4000)[400:]
    prior = Mixture(latent_dim, 20)
    prior.start_at_codes(z)
    components = prior().components_distribution
    loc, scale = components.mean().numpy(), components.stddev().numpy()
    assert len(np.unique(loc[:, 0])) == 20 and np.all(scale == scale[0])
    spread = np.sqrt(1 - (scale[0] / z.std(axis=0)) ** 2)
    np.testing.assert_allclose(spread, spread[0], atol=1e-3)
    np.testing.assert_allclose(loc, z.mean(axis=0) + spread[0] * (z[::20] - z.mean(axis=0)), atol=1e-3)
    gaussian = log_density(new.astype(np.float64), np.ones(1), z.mean(axis=0)[None], z.std(axis=0)[None])
    found = log_density(new.astype(np.float64), prior.component_probs(), loc, scale)
    assert found.mean() > gaussian.mean() - 0.01
    assert least < spread[0] < most


def test_a_fit_to_fewer_codes_than_components_begins_too():
    prior = Mixture(3, 10)
    prior.start_at_codes(codes_of(3, 4))
    assert np.isfinite(prior().log_prob(codes_of(3, 4))).all()


def test_inverse_softplus():
    values = np.array([1e-6, 0.5, 1.0, 50.0])
    np.testing.assert_allclose(np.log1p(np.exp(inverse_softplus(values))), values, rtol=1e-9)
