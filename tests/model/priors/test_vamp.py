"""The VampPrior is the mixture of the posteriors of its pseudo-inputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import IMAGE_SHAPE, make_vae, random_images

from kvae.errors import KvaeError
from kvae.model.priors.mixture import Mixture
from kvae.model.priors.vamp import Vamp
from kvae.model.vae import VAE

tfd = tfp.distributions


def make(num_components=6, encoder=None):
    usual = make_vae()
    vae = VAE(encoder or usual.encoder, usual.decoder, Vamp(3, IMAGE_SHAPE, num_components), seed=0)
    vae.build((None, *IMAGE_SHAPE))
    return vae


def log_mean_density(z, loc, scale):
    """log of the mean of the Gaussians' densities, in float64."""
    z, loc, scale = (np.asarray(values, np.float64) for values in (z, loc, scale))
    parts = -0.5 * ((z[:, None] - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)
    return np.logaddexp.reduce(parts.sum(axis=2), axis=1) - np.log(len(loc))


Z = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)


def test_it_is_the_mixture_of_its_pseudo_inputs_posteriors():
    vae = make()
    posterior = vae.encoder(np.clip(vae.prior.pseudo_inputs, 0.0, 1.0))
    expected = log_mean_density(Z, posterior.mean(), posterior.stddev())
    np.testing.assert_allclose(vae.prior().log_prob(Z), expected, rtol=1e-5)
    np.testing.assert_allclose(vae.prior.component_probs(), 1 / 6)
    component = np.arange(9) % 6
    draws = vae.prior.from_noise(Z, tf.constant(component, tf.int64))
    expected = posterior.mean().numpy()[component] + posterior.stddev().numpy()[component] * Z
    np.testing.assert_allclose(draws, expected, rtol=1e-5, atol=1e-6)


def test_what_is_exported_is_the_mixture_that_it_equals():
    vae = make()
    frozen = vae.prior.frozen()
    before = vae.prior().log_prob(Z)
    np.testing.assert_allclose(frozen().log_prob(Z), before, rtol=1e-6)
    np.testing.assert_array_equal(frozen.component_probs(), vae.prior.component_probs())
    vae.prior.pseudo_inputs.assign(np.zeros((6, *IMAGE_SHAPE)))
    np.testing.assert_allclose(frozen().log_prob(Z), before, rtol=1e-6)
    assert np.abs(vae.prior().log_prob(Z) - before).max() > 1e-3


def test_the_encoder_and_the_pseudo_inputs_are_trained_and_counted_once():
    vae = make()
    usual = len(make_vae().weights)
    assert len(vae.weights) == usual + 1 and len(vae.prior.weights) == 1
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(vae.prior().log_prob(Z))
    for gradient in tape.gradient(loss, [vae.prior.pseudo_inputs.value, *[w.value for w in vae.encoder.weights]]):
        assert np.any(gradient != 0)


@pytest.mark.parametrize(("bound", "inwards"), [(0.0, -1.0), (1.0, 1.0)])
def test_a_pixel_at_its_bound_has_no_gradient_outwards_but_one_back(bound, inwards):
    vae = make(2)
    for weight in vae.encoder.weights:
        weight.assign_add(tf.fill(weight.shape, 0.01))  # with biases of 0, a black image is at the kink of each relu
    for beyond in (0.0, 3.0):
        vae.prior.pseudo_inputs.assign(np.full((2, *IMAGE_SHAPE), bound - inwards * -beyond))
        for sign in (1, -1):
            with tf.GradientTape() as tape:
                loss = sign * tf.reduce_sum(vae.prior().log_prob(Z))
            gradient = inwards * tape.gradient(loss, vae.prior.pseudo_inputs.value).numpy()
            assert np.all(gradient >= 0) and np.any(gradient > 0)  # of a descent, which moves pixels back
    posterior = vae.encoder(np.full((2, *IMAGE_SHAPE), bound, np.float32))
    expected = log_mean_density(Z, posterior.mean(), posterior.stddev())
    np.testing.assert_allclose(vae.prior().log_prob(Z), expected, rtol=1e-5)


def test_in_parts_it_is_the_same(monkeypatch):
    vae = make(7)
    whole = vae.prior().log_prob(Z)
    monkeypatch.setattr("kvae.model.priors.vamp.num_parts", lambda xla: 3)
    np.testing.assert_allclose(vae.prior().log_prob(Z), whole, rtol=1e-6)


def test_it_starts_from_training_images():
    vae, images = make(), np.random.default_rng(0).integers(0, 256, (20, *IMAGE_SHAPE), dtype=np.uint8)
    vae.prior.start_from(images)
    np.testing.assert_allclose(vae.prior.pseudo_inputs, images[::3][:6] / 255.0, rtol=1e-6)
    vae.prior.start_from(images[:4])
    found = vae.prior.pseudo_inputs.numpy()
    np.testing.assert_allclose(found[:4], images[:4] / 255.0, rtol=1e-6)
    assert 0 < np.abs(found[4:] - images[:2] / 255.0).max() < 1  # another, so that the two can part


class Conditional(keras.Model):
    """An encoder whose posterior's mean is the label."""

    num_labels = 3

    def call(self, images, label):
        mean = tf.tile(tf.cast(label, tf.float32)[:, None], [1, 3])
        return tfd.MultivariateNormalDiag(mean, 1.0 + tf.reduce_mean(images, axis=[1, 2, 3])[:, None] * tf.ones(3))


def test_the_pseudo_inputs_of_a_conditional_encoder_have_the_labels_in_turn():
    vae = make(7, Conditional())  # rounded up to 3 of each label
    loc, _ = vae.prior.components()
    np.testing.assert_array_equal(loc[:, 0], [0, 1, 2] * 3)
    labels = np.array([2, 2, 0, 0, 1, 1, 2, 0, 1], np.uint8)
    images = np.zeros((9, *IMAGE_SHAPE), np.uint8) + labels[:, None, None, None]
    vae.prior.start_from(images, labels)
    found = np.rint(255 * vae.prior.pseudo_inputs.numpy()[:, 0, 0, 0])
    np.testing.assert_array_equal(found, [0, 1, 2] * 3)


def test_with_labels_it_is_the_mixture_of_the_posteriors_of_each_label():
    vae = make(6, Conditional())
    vae.prior.pseudo_inputs.assign(np.random.default_rng(1).uniform(size=vae.prior.pseudo_inputs.shape))
    label = np.array([2, 0, 1, 1, 2, 0, 0, 1, 2])
    scale = 1.0 + vae.prior.pseudo_inputs.numpy().mean(axis=(1, 2, 3))
    found, frozen = (prior(tf.constant(label)) for prior in (vae.prior, vae.prior.frozen()))
    for row, number in enumerate(label):
        own = np.repeat(scale[number::3, None], 3, axis=1)
        expected = log_mean_density(Z[row : row + 1], np.full((2, 3), number), own)
        np.testing.assert_allclose(found.log_prob(Z)[row], expected[0], rtol=1e-5)
    np.testing.assert_array_equal(frozen.log_prob(Z), found.log_prob(Z))
    np.testing.assert_allclose(vae.prior.component_probs(), 1 / 2)
    component = np.arange(9) % 2
    for prior in (vae.prior, vae.prior.frozen()):
        draws = prior.from_noise(Z, tf.constant(component, tf.int64), tf.constant(label, tf.int64))
        np.testing.assert_allclose(draws, label[:, None] + scale[3 * component + label][:, None] * Z, rtol=1e-5)


class Ladder(keras.Model):
    """An encoder with two groups, of 1 and 2 dimensions; the second follows the draw of the first."""

    groups = (1, 2)

    def call(self, images):
        level = tf.reduce_mean(images, axis=[1, 2, 3])
        posterior = tfd.MultivariateNormalDiag(tf.stack([level] * 3, axis=1), tf.ones((1, 3)))

        def at(noise):
            first = level + 0.1 * noise[..., 0]
            loc = tf.stack([level + 0 * first, 5 + first, 6 + first], axis=-1)
            scale = tf.constant([0.1, 0.2, 0.3]) * tf.ones_like(loc)
            return tf.reshape(loc + scale * noise, [-1, 3]), tfd.MultivariateNormalDiag(loc, scale)

        posterior.at = at
        return posterior


def test_of_a_hierarchy_only_the_first_group_follows_the_pseudo_inputs():
    vae = make(4, Ladder())
    loc, scale = (values.numpy() for values in vae.prior.components())
    level = np.clip(vae.prior.pseudo_inputs, 0, 1).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(loc, np.stack([level, 0 * level, 0 * level], axis=1), rtol=1e-5)
    np.testing.assert_allclose(scale, np.tile([0.1, 1.0, 1.0], (4, 1)), rtol=1e-6)
    assert np.isfinite(vae.elbo(random_images(3))).all()


def test_alone_it_is_refused():
    prior = Vamp(3, IMAGE_SHAPE, 2)
    prior.build()
    with pytest.raises(KvaeError, match="part of a VAE"):
        prior()
    assert not isinstance(prior, Mixture)
