"""A TFP distribution as a prior: how it is saved, and which ones are refused."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.errors import KvaeError
from kvae.model.priors import Fixed
from kvae.model.priors.fixed import deserialize, serialize

tfd = tfp.distributions
MIXTURE = tfd.MixtureSameFamily(
    tfd.Categorical(logits=[0.1, -0.3]),
    tfd.MultivariateNormalDiag(tf.constant([[0.0, 1.0], [2.0, 3.0]]), tf.ones((2, 2))),
)


@pytest.mark.parametrize("distribution", [MIXTURE, tfd.Independent(tfd.Normal([0.0, 1.0], 2.0), 1)])
def test_a_saved_prior_has_the_same_density(distribution):
    prior = Fixed(distribution)
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(prior)))
    loaded = keras.saving.deserialize_keras_object(described)
    z = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    np.testing.assert_allclose(loaded().log_prob(z), distribution.log_prob(z), rtol=1e-6)
    assert loaded.latent_dim == 2


def test_only_distributions_are_deserialized():
    with pytest.raises(KvaeError, match="register_kl"):
        deserialize({"distribution": "register_kl", "arguments": {}})


def test_the_error_names_an_argument_that_cannot_be_saved():
    prior = tfd.TransformedDistribution(tfd.Normal([0.0], 1.0), tfp.bijectors.Exp())
    with pytest.raises(KvaeError, match="bijector"):
        serialize(prior)
