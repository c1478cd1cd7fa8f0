"""Free bits against numpy, and where they are refused."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import IMAGE_SHAPE, OwnDecoder, OwnEncoder, make_vae, random_images

from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError
from kvae.model.objectives import ELBO
from kvae.model.vae import VAE
from kvae.training import building
from kvae.training.effective_beta import effective_beta

tfd = tfp.distributions
SEED = (1, 2)


def spread_vae(**settings):
    """A model whose three dimensions carry about 0, 0.1 and 2 nats."""
    vae = make_vae()
    vae.objective = ELBO(**settings)
    vae.encoder.loc.bias.assign([0.0, 0.45, 2.0])
    vae.encoder.loc.kernel.assign(0.1 * vae.encoder.loc.kernel)
    vae.encoder.raw_scale.kernel.assign(0.1 * vae.encoder.raw_scale.kernel)
    vae.encoder.raw_scale.bias.assign([0.54, 0.54, 0.54])
    return vae


def rates_by_hand(vae, images):
    """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s, `(batch, latent_dim)`."""
    posterior = vae.encoder(images)
    loc, scale = posterior.mean().numpy().astype(np.float64), posterior.stddev().numpy().astype(np.float64)
    return (loc**2 + scale**2 - 1) / 2 - np.log(scale)


def test_the_dimensions_rates_are_those_by_hand_and_sum_to_the_rate():
    vae, images = spread_vae(), random_images(7)
    terms = vae.terms(images, SEED)
    np.testing.assert_allclose(terms.dimension_rates, rates_by_hand(vae, images).T, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(tf.reduce_sum(terms.dimension_rates, axis=0), terms.rate, rtol=1e-4)


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_the_loss_counts_at_least_the_free_bits_of_the_batch_s_mean(beta):
    """Not the mean of the maxima: the maximum is taken once for each dimension."""
    vae, images = spread_vae(free_bits=0.25, beta=beta), random_images(7)
    terms = vae.terms(images, SEED)
    means = rates_by_hand(vae, images).mean(axis=0)
    assert means[0] < 0.25 < means[2]
    expected = np.mean(terms.distortion) + beta * np.maximum(0.25, means).sum()
    assert float(vae.weighted_loss(terms)) == pytest.approx(expected, rel=1e-5)
    plain = spread_vae(beta=beta)
    assert float(vae.weighted_loss(terms)) > float(plain.weighted_loss(terms))
    np.testing.assert_array_equal(terms.elbo, plain.terms(images, SEED).elbo)


def test_a_dimension_below_its_free_bits_is_not_pushed_to_the_prior():
    vae, images = spread_vae(free_bits=0.25), random_images(7)
    with tf.GradientTape() as tape:
        terms = vae.terms(images, SEED)
        regularizer = vae.weighted_loss(terms) - tf.reduce_mean(terms.distortion)
    pushed = np.abs(tape.gradient(regularizer, vae.encoder.loc.bias.value).numpy())
    assert pushed[0] == 0.0 and pushed[2] > 0.1


def test_the_effective_beta_is_that_above_the_free_bits():
    images = (random_images(20) * 255).astype(np.uint8)
    assert effective_beta(spread_vae(free_bits=0.25, beta=0.5), images) == pytest.approx(0.5, rel=1e-4)
    assert effective_beta(spread_vae(free_bits=100.0), images) == 0.0


def test_an_independent_normal_posterior_has_them_too():
    vae = VAE(OwnEncoder(3), OwnDecoder(), tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)), ELBO(free_bits=0.1))
    terms = vae.terms(random_images(4), SEED)
    np.testing.assert_allclose(tf.reduce_sum(terms.dimension_rates, axis=0), terms.rate, rtol=1e-4)


def test_a_prior_that_does_not_factorise_is_refused():
    prior = tfd.MultivariateNormalTriL(tf.zeros(3), tf.eye(3) + 0.1)
    vae = VAE(OwnEncoder(3), OwnDecoder(), prior, ELBO(free_bits=0.1))
    terms = vae.terms(random_images(4), SEED)
    assert terms.dimension_rates.shape == (0, 4)
    with pytest.raises(ConfigError, match="free_bits needs the KL of each latent dimension"):
        vae.weighted_loss(terms)


def test_several_replicas_are_refused_before_training():
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])

    class Two:
        """A strategy of two replicas, as far as the check looks."""

        num_replicas_in_sync = 2

    config = TrainConfig(free_bits=0.1, batch_size=10, model=ModelConfig(architecture="mlp", hidden_units=4))
    with pytest.raises(ConfigError, match="each of the 2 replicas sees only its own part"):
        building.build(config, IMAGE_SHAPE, 100, Two())
    building.build(config, IMAGE_SHAPE, 100, strategy)
