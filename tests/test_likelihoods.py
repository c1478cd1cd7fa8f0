"""Likelihoods against numpy, and the tensors they are exported as."""

from dataclasses import fields

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from kvae import likelihoods
from kvae.config import ModelConfig
from kvae.errors import ConfigError, KvaeError

tfd = tfp.distributions
RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 2, 2, 1), dtype=np.float32)


def test_bernoulli_is_the_cross_entropy_of_grey_intensities():
    logits = RNG.normal(size=(3, 2, 2, 1)).astype(np.float32) * 20
    expected = (IMAGES * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3))
    distribution = likelihoods.get("bernoulli").distribution(tf.constant(logits))
    np.testing.assert_allclose(distribution.log_prob(IMAGES), expected, rtol=1e-5)
    assert distribution.event_shape == (2, 2, 1)


def test_normal_is_the_density_in_pixel_units():
    outputs = RNG.normal(size=(3, 2, 2, 2)).astype(np.float32)
    loc = 1 / (1 + np.exp(-outputs[..., :1]))
    scale = 0.01 + np.log1p(np.exp(outputs[..., 1:]))
    expected = (-0.5 * ((IMAGES - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)).sum(axis=(1, 2, 3))
    distribution = likelihoods.get("normal").distribution(tf.constant(outputs))
    np.testing.assert_allclose(distribution.log_prob(IMAGES), expected, rtol=1e-5)


@pytest.mark.parametrize("name", likelihoods.LIKELIHOODS)
def test_exported_tensors_describe_the_distribution(name):
    """The mean is the distribution's, and the parameters rebuild its log-probability."""
    likelihood = likelihoods.get(name)
    outputs = tf.constant(RNG.normal(size=(3, 2, 2, 3 * len(likelihood.parameters))).astype(np.float32))
    distribution = likelihood.distribution(outputs)
    found = likelihoods.tensors(distribution)
    assert found.name == name
    np.testing.assert_allclose(found.mean, distribution.mean(), rtol=1e-6)
    assert found.parameters.shape == outputs.shape
    parts = np.split(found.parameters.numpy(), len(likelihood.parameters), axis=-1)
    base = {"bernoulli": lambda logits: tfd.Bernoulli(logits, dtype=tf.float32), "normal": tfd.Normal}[name](*parts)
    images = RNG.random((3, 2, 2, 3), dtype=np.float32)
    expected = base.log_prob(images).numpy().sum(axis=(1, 2, 3))
    np.testing.assert_allclose(distribution.log_prob(images), expected, rtol=1e-5)


def test_the_config_offers_every_likelihood():
    (setting,) = (item for item in fields(ModelConfig) if item.name == "likelihood")
    assert setting.metadata["choices"] == tuple(likelihoods.LIKELIHOODS)


def test_a_scalar_scale_is_spread_over_the_image():
    distribution = tfd.Independent(tfd.Normal(tf.zeros((3, 2, 2, 1)), 0.5), 3)
    np.testing.assert_array_equal(likelihoods.tensors(distribution).parameters[..., 1], np.full((3, 2, 2), 0.5))


def test_what_a_bundle_cannot_hold_is_named():
    with pytest.raises(KvaeError, match="Poisson"):
        likelihoods.tensors(tfd.Independent(tfd.Poisson(tf.ones((1, 2, 2, 1))), 3))
    with pytest.raises(ConfigError, match="poisson.*bernoulli"):
        likelihoods.get("poisson")
