"""Conversion: the contract's names, and what the two functions return."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import make_vae, random_images

from kvae import graphs
from kvae.errors import KvaeError
from kvae.vae import VAE

tfd = tfp.distributions


def test_functions_return_what_the_distributions_are_made_of(vae):
    functions = graphs.functions(vae)
    assert functions.likelihood == "bernoulli"
    images = random_images(2)
    loc, scale = functions.encode(tf.constant(images))
    np.testing.assert_array_equal(loc, vae.encoder(images).mean())
    np.testing.assert_array_equal(scale, vae.encoder(images).stddev())
    mean, logits = functions.decode(loc)
    np.testing.assert_allclose(mean, 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_the_graph_s_ends_have_the_contract_s_names():
    vae = make_vae(likelihood="normal")
    model = graphs.convert("decoder", graphs.functions(vae).decode, (3,))
    assert graphs.interface(model) == {
        "inputs": [{"name": "z", "dtype": "float32", "shape": ["batch", 3]}],
        "outputs": [
            {"name": "mean", "dtype": "float32", "shape": ["batch", 8, 8, 1]},
            {"name": "likelihood_parameters", "dtype": "float32", "shape": ["batch", 8, 8, 2]},
        ],
    }


def test_a_posterior_that_a_bundle_cannot_describe_is_named(own_networks):
    encoder, decoder = own_networks
    vae = VAE(encoder, decoder, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae.build((None, 8, 8, 1))
    functions = graphs.functions(vae)
    encoder.call = lambda images: tfd.Independent(tfd.Laplace(tf.zeros((1, 3)), 1.0), 1)
    with pytest.raises(KvaeError, match="the encoder returns Independent"):
        functions.encode(tf.zeros((1, 8, 8, 1)))
