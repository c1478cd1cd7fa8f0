"""Priors: how they are saved, and which one a bundle can hold."""

import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.errors import KvaeError
from kvae.model import priors

tfd = tfp.distributions
MIXTURE = tfd.MixtureSameFamily(
    tfd.Categorical(logits=[0.1, -0.3]),
    tfd.MultivariateNormalDiag(tf.constant([[0.0, 1.0], [2.0, 3.0]]), tf.ones((2, 2))),
)


@pytest.mark.parametrize("prior", [priors.standard_normal(2), MIXTURE, tfd.Independent(tfd.Normal([0.0, 1.0], 2.0), 1)])
def test_serialised_prior_has_the_same_density(prior):
    loaded = priors.deserialize(json.loads(json.dumps(priors.serialize(prior))))
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_allclose(loaded.log_prob(z), prior.log_prob(z), rtol=1e-6)


def test_standard_normal_is_recognised():
    assert priors.is_standard_normal(priors.standard_normal(2))
    assert not priors.is_standard_normal(tfd.MultivariateNormalDiag(tf.zeros(2), 2 * tf.ones(2)))
    assert not priors.is_standard_normal(MIXTURE)


def test_only_distributions_are_made():
    with pytest.raises(KvaeError, match="register_kl"):
        priors.deserialize({"distribution": "register_kl", "arguments": {}})


def test_what_cannot_be_saved_is_named():
    prior = tfd.TransformedDistribution(tfd.Normal([0.0], 1.0), tfp.bijectors.Exp())
    with pytest.raises(KvaeError, match="bijector"):
        priors.serialize(prior)
