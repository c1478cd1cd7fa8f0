"""The importance-weighted bound: one draw is the ELBO's estimate, and more are nearer to the likelihood."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from linear_gaussian import IMAGE_SHAPE, NOISE, LinearGaussian
from tiny import make_vae, random_images

from kvae.config import ELBO_ONLY, from_settings
from kvae.errors import ConfigError
from kvae.model import objectives
from kvae.model.objectives import ELBO
from kvae.model.objectives.iwae import IWAE
from kvae.model.terms import Terms
from kvae.training.effective_beta import effective_beta

tfd = tfp.distributions
SEED = tf.constant([1, 2], tf.int32)


def terms_of(vae, objective, count=6):
    vae.objective = objective
    return vae.terms(random_images(count), SEED)


def test_one_draw_is_the_single_sample_estimate_of_the_elbo_in_value_and_gradient():
    """IWAE's loss and -log p(x|z) - log p(z) + log q(z|x), both at the same draw."""
    vae = make_vae()
    with tf.GradientTape(persistent=True) as tape:
        terms = terms_of(vae, IWAE(num_draws=1))
        loss = vae.weighted_loss(terms)
        sampled = tf.reduce_mean(terms.distortion + terms.log_posterior[0] - terms.log_prior[0])
    np.testing.assert_allclose(loss, sampled, rtol=1e-6)
    variables = vae.trainable_variables
    for one, other in zip(tape.gradient(loss, variables), tape.gradient(sampled, variables), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_one_draw_has_the_elbo_s_loss_and_gradient_on_average():
    """Over many draws of the batch, within 4 standard errors: only the KL's closed form tells the two apart."""
    vae, images = make_vae(), np.repeat(random_images(1), 4000, axis=0)
    found = {}
    for objective in (IWAE(num_draws=1), ELBO()):
        vae.objective = objective
        with tf.GradientTape(persistent=True) as tape:
            posterior = vae.encoder(images)
            loc, scale = tf.identity(posterior.mean()), tf.identity(posterior.stddev())
            posterior = tfd.MultivariateNormalDiag(loc, scale)
            z = loc + scale * tf.random.stateless_normal(loc.shape, SEED)
            log_likelihood, log_prior = vae.decoder(z).log_prob(images)[None], vae.prior().log_prob(z)[None]
            log_posterior = posterior.log_prob(z)[None]
            rate = tfd.kl_divergence(posterior, vae.prior())
            terms = Terms(log_likelihood, log_prior, log_posterior, rate, posterior.entropy())
            loss = 4000 * objective.loss(terms, 1.0)
        found[type(objective).__name__] = np.concatenate(
            [gradient.numpy() for gradient in tape.gradient(loss, [loc, scale])], axis=1
        )
    difference = found["IWAE"] - found["ELBO"]
    error = difference.std(axis=0) / np.sqrt(len(difference))
    assert np.all(np.abs(difference.mean(axis=0)) < 4 * error) and np.all(error > 0)


def linear_terms(model, image, draws, count, rng):
    """Terms of a linear Gaussian model with a posterior that is twice too wide, in float64."""
    loc, scale = model.posterior(image)
    scale = 2 * scale.astype(np.float64)
    epsilon = rng.normal(size=(draws, count, len(loc)))
    z = loc + scale * epsilon
    mean = z @ model.weights.T + model.offset

    def log_normal(difference, deviation):
        return np.sum(-0.5 * (difference / deviation) ** 2 - np.log(deviation) - 0.5 * np.log(2 * np.pi), axis=-1)

    log_posterior = log_normal(scale * epsilon, scale * np.ones_like(z))
    nothing = tf.zeros(count, tf.float64)
    parts = (log_normal(image.ravel() - mean, NOISE * np.ones(12)), log_normal(z, np.ones_like(z)), log_posterior)
    return Terms(*map(tf.constant, parts), nothing, nothing)


def test_the_bound_rises_with_the_draws_towards_the_exact_value():
    model, rng, count = LinearGaussian(), np.random.default_rng(0), 4000
    image = rng.random(IMAGE_SHAPE)
    exact, bounds, errors = model.log_p(image), [], []
    for draws in (1, 2, 5, 20, 100):
        terms = linear_terms(model, image, draws, count, rng)
        bounds.append(-float(IWAE(num_draws=draws).loss(terms, 1.0)))
        log_mean = np.logaddexp.reduce(terms.log_weights.numpy(), axis=0) - np.log(draws)
        assert bounds[-1] == pytest.approx(log_mean.mean())
        errors.append(log_mean.std() / np.sqrt(count))
    assert np.all(np.diff(bounds) > 4 * np.hypot(errors[1:], errors[:-1])[:4] * np.array([1, 1, 1, 0]))
    assert exact - bounds[0] > 0.5
    assert abs(exact - bounds[-1]) < 0.02 + 4 * errors[-1]
    assert all(bound < exact + 4 * error for bound, error in zip(bounds, errors, strict=True))


def test_the_metrics_stay_those_of_the_elbo():
    vae = make_vae()
    terms = terms_of(vae, IWAE(num_draws=3))
    assert terms.log_weights.shape == (3, 6)
    np.testing.assert_allclose(terms.rate, terms_of(vae, ELBO()).rate, rtol=1e-6)
    np.testing.assert_allclose(terms.elbo, terms_of(vae, ELBO(num_draws=3)).elbo, rtol=1e-6)
    assert float(IWAE(num_draws=3).loss(terms, 1.0)) < float(tf.reduce_mean(-terms.elbo)) + 1.0


def test_an_elbo_of_several_draws_is_the_mean_over_them():
    vae = make_vae()
    terms = terms_of(vae, ELBO(num_draws=4))
    assert terms.log_likelihood.shape == (4, 6)
    np.testing.assert_allclose(terms.distortion, -terms.log_likelihood.numpy().mean(axis=0), rtol=1e-5)
    expected = np.mean(-terms.log_likelihood.numpy().mean(axis=0) + terms.rate)
    np.testing.assert_allclose(vae.weighted_loss(terms), expected, rtol=1e-6)
    np.testing.assert_array_equal(terms.log_likelihood[0], terms_of(vae, ELBO()).log_likelihood[0])


@pytest.mark.parametrize("kind", [ELBO, IWAE])
def test_its_settings_are_saved(kind):
    objective = kind(num_draws=3)
    assert kind.from_config(objective.get_config()) == objective
    assert objective.settings()["num_draws"] == 3 == dataclasses.asdict(objective)["num_draws"]
    for wrong in (0, -1, 2.5, True, "2"):
        with pytest.raises(ConfigError, match="num_draws"):
            kind(num_draws=wrong)


def test_it_says_what_the_loss_is():
    assert IWAE(num_draws=1).caveat is None is ELBO(num_draws=4).caveat
    assert "5 draws" in IWAE().caveat and "bound" in IWAE().settings()["loss_caveat"]


def test_the_settings_of_a_training():
    assert [from_settings({"objective": name}).num_draws for name in ("elbo", "iwae")] == [1, 5]
    config = from_settings({"objective": "iwae", "num_draws": 7})
    assert objectives.get("iwae").of_config(config, 10) == IWAE(num_draws=7)
    assert ELBO.of_config(from_settings({"num_draws": 2}), 10) == ELBO(num_draws=2)
    warmed = from_settings({"objective": "iwae", "kl_warmup_epochs": 3})
    assert objectives.get("iwae").of_config(warmed, 10) == IWAE(warmup_steps=30)


def test_a_warm_up_begins_with_the_likelihood_alone_and_ends_with_the_bound():
    """Against numpy: -log 1/K sum_k p(x|z_k) (p(z_k) / q(z_k|x))^fraction."""
    objective = IWAE(num_draws=5, warmup_steps=8)
    terms = terms_of(make_vae(), objective)
    parts = [np.asarray(part, np.float64) for part in (terms.log_likelihood, terms.log_prior, terms.log_posterior)]
    for step, fraction in ((0, 0.0), (2, 0.25), (8, 1.0), (100, 1.0)):
        assert float(objective.ramp(tf.constant(step, tf.int64))) == fraction
        log_weights = parts[0] + fraction * (parts[1] - parts[2])
        expected = np.log(5) - np.mean(np.logaddexp.reduce(log_weights, axis=0))
        np.testing.assert_allclose(objective.loss(terms, fraction), expected, rtol=1e-5)
    np.testing.assert_allclose(objective.loss(terms, 1.0), IWAE(num_draws=5).loss(terms, 1.0))


@pytest.mark.parametrize("name", ELBO_ONLY)
def test_weights_are_refused(name):
    value = {"beta": 0.5, "entropy_weight": 0.0, "free_bits": 0.1}
    with pytest.raises(ConfigError, match=rf"{name}.*iwae") as raised:
        from_settings({"objective": "iwae", name: value[name]})
    assert "\n" not in str(raised.value)


def test_a_beta_is_refused():
    with pytest.raises(ConfigError, match=r"beta must be 1.*0\.5"):
        IWAE(beta=0.5)
    vae = make_vae()
    vae.objective = IWAE()
    with pytest.raises(ConfigError, match="beta must be 1"):
        vae.beta = 2.0


def test_its_effective_beta_is_1():
    vae = make_vae()
    vae.objective = IWAE(num_draws=3)
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 1), dtype=np.uint8)
    assert effective_beta(vae, images) == pytest.approx(1, rel=1e-5)
