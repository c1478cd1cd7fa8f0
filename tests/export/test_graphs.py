"""Conversion: the contract's names, and what the two functions return."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import DATASET, make_vae, random_images

from kvae.bundle.manifest import contract
from kvae.errors import KvaeError
from kvae.export import functions, graphs
from kvae.export.bundles import export
from kvae.model.vae import VAE
from kvae.runtime.bundle import Bundle

tfd = tfp.distributions


def test_functions_return_the_distributions_parameters(vae):
    made = functions.of(vae)
    assert made.likelihood == "bernoulli"
    images = random_images(2)
    loc, scale = made.encode(tf.constant(images))
    np.testing.assert_array_equal(loc, vae.encoder(images).mean())
    np.testing.assert_array_equal(scale, vae.encoder(images).stddev())
    mean, logits = made.decode(loc)
    np.testing.assert_allclose(mean, 1 / (1 + np.exp(-logits)), rtol=1e-5)


def test_the_graph_s_inputs_and_outputs_have_the_contract_s_names():
    vae = make_vae(likelihood="normal")
    expected = {
        "inputs": [{"name": "z", "dtype": "float32", "shape": ["batch", 3]}],
        "outputs": [
            {"name": "mean", "dtype": "float32", "shape": ["batch", 8, 8, 1]},
            {"name": "likelihood_parameters", "dtype": "float32", "shape": ["batch", 8, 8, 2]},
        ],
    }
    assert contract((8, 8, 1), 3, 2)["decoder"] == expected
    assert graphs.interface(graphs.convert("decoder", functions.of(vae).decode, expected, vae.decoder)) == expected


def test_the_error_names_a_posterior_that_a_bundle_cannot_describe(own_networks):
    encoder, decoder = own_networks
    vae = VAE(encoder, decoder, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae.build((None, 8, 8, 1))
    encoder.call = lambda images: tfd.Independent(tfd.Laplace(tf.zeros((1, 3)), 1.0), 1)
    with pytest.raises(KvaeError, match="the encoder returns .*IndependentLaplace"):
        functions.of(vae)


@pytest.mark.parametrize(
    "posterior",
    [
        lambda loc: tfd.Independent(tfd.Normal(loc, 0.1), 1),
        lambda loc: tfd.Independent(tfd.Normal(loc, tf.constant([0.1, 0.2, 0.3])), 1),
        lambda loc: tfd.MultivariateNormalDiag(loc, tf.constant([0.1, 0.2, 0.3])),
    ],
)
def test_a_scale_that_all_images_share_is_broadcast_to_the_batch(own_networks, posterior, tmp_path):
    encoder, decoder = own_networks
    flatten = keras.layers.Flatten()
    encoder.call = lambda images: posterior(flatten(images)[:, :3])
    vae = VAE(encoder, decoder, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    encoder.built = True
    vae.build((None, 8, 8, 1))
    exported = export(vae, tmp_path / "b", dataset=DATASET)
    scale = Bundle.open(exported.path).encode(random_images(5)).scale
    np.testing.assert_allclose(scale, posterior(tf.zeros((5, 3))).stddev() * np.ones((5, 3)), rtol=1e-6)


def test_a_graph_that_no_reader_would_open_is_refused(monkeypatch):
    monkeypatch.setattr(graphs, "MAX_NODES", 3)
    vae = make_vae()
    ends = contract((8, 8, 1), 3, 1)["decoder"]
    with pytest.raises(KvaeError, match="decoder.* operators, .* may have only 3"):
        graphs.convert("decoder", functions.of(vae).decode, ends, vae.decoder)


def test_whatever_tf2onnx_raises_is_one_line(monkeypatch, vae):
    def fail(*_, **__):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("tf2onnx.convert.from_function", fail)
    with pytest.raises(KvaeError, match="decoder: tf2onnx cannot convert it: two lines"):
        graphs.convert("decoder", functions.of(vae).decode, contract((8, 8, 1), 3, 1)["decoder"], vae.decoder)


@pytest.mark.parametrize(
    "posterior",
    [
        lambda loc: loc,
        lambda loc: {"loc": loc},
        lambda loc: (loc, loc),
        lambda loc: tfd.Independent(tfd.Laplace(loc, 1.0), 1),
    ],
)
def test_what_is_no_gaussian_is_described_in_one_line(own_networks, posterior):
    encoder, decoder = own_networks
    vae = VAE(encoder, decoder, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae.build((None, 8, 8, 1))
    encoder.call = lambda images: posterior(tf.zeros((1, 3)))
    with pytest.raises(KvaeError, match="the encoder returns .* a bundle cannot describe") as caught:
        functions.of(vae)
    assert "\n" not in str(caught.value)


def test_what_tf2onnx_says_through_the_root_logger_is_not_printed_and_sets_up_no_logging(capfd, monkeypatch, vae):
    def convert(*arguments, **options):
        exec(compile("logging.warning('only float32')", "/x/gemm_rewriter.py", "exec"), {"logging": logging})
        logging.warning("another's")
        raise ValueError("stop")

    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(graphs.tf2onnx.convert, "from_function", convert)
    with pytest.raises(KvaeError, match="stop"):
        graphs.convert("decoder", functions.of(vae).decode, contract((8, 8, 1), 3, 1)["decoder"], vae.decoder)
    assert "only float32" not in capfd.readouterr().err
    assert logging.getLogger().handlers == []
