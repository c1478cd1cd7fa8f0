"""Networks: shapes, distributions and floors, for images of any height and width."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import make_vae, random_images

from kvae import likelihoods, networks

tfd = tfp.distributions


@pytest.mark.parametrize("architecture", ["conv", "mlp", "gated_mlp"])
@pytest.mark.parametrize("likelihood", likelihoods.LIKELIHOODS)
@pytest.mark.parametrize("image_shape", [(28, 28, 1), (9, 14, 3), (4, 4, 1)])
def test_events_have_the_shapes_of_codes_and_images(architecture, likelihood, image_shape):
    vae = make_vae(image_shape, architecture=architecture, likelihood=likelihood)
    posterior = vae.encoder(random_images(2, image_shape))
    assert isinstance(posterior, tfd.MultivariateNormalDiag)
    assert (posterior.batch_shape, posterior.event_shape) == ((2,), (3,))
    distribution = vae.decoder(posterior.sample(seed=1))
    assert (distribution.batch_shape, distribution.event_shape) == ((2,), image_shape)


def test_the_posterior_s_scale_has_a_floor():
    vae = make_vae()
    vae.encoder.raw_scale.bias.assign(np.full(3, -1000.0))
    scale = vae.encoder(random_images(2)).stddev().numpy()
    np.testing.assert_allclose(scale, networks.MIN_POSTERIOR_SCALE)


def test_depth_to_space_interleaves_channels():
    inputs = tf.constant(np.arange(4, dtype=np.float32).reshape(1, 1, 1, 4))
    np.testing.assert_array_equal(networks.DepthToSpace()(inputs)[0, ..., 0], [[0, 1], [2, 3]])


def gated(values, w, b, v, c):
    """(x W + b) sigmoid(x V + c) in float64."""
    values = values.astype(np.float64)
    return (values @ w + b) / (1 + np.exp(-(values @ v + c)))


def test_a_gated_layer_is_what_numpy_computes_by_hand():
    layer = networks.GatedDense(4)
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    layer(inputs)
    rng = np.random.default_rng(0)
    for weight in layer.weights:  # biases too, which begin at 0
        weight.assign(2 * rng.normal(size=weight.shape))
    w, b, v, c = (
        part.numpy() for part in (layer.values.kernel, layer.values.bias, layer.gates.kernel, layer.gates.bias)
    )
    assert len(layer.trainable_weights) == 4
    np.testing.assert_allclose(layer(inputs), gated(inputs, w, b, v, c), rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, 3)) == (None, 4)


def test_the_gated_networks_are_two_gated_layers_on_each_side():
    """Posterior and logits by numpy from the weights alone, within 1e-5."""
    vae = make_vae(architecture="gated_mlp", hidden_units=5)
    images = random_images(4)
    w = [weight.numpy() for weight in vae.encoder.body.weights]
    assert [part.shape for part in w] == [(64, 5), (5,)] * 2 + [(5, 5), (5,)] * 2
    features = gated(gated(images.reshape(4, 64), *w[:4]), *w[4:])
    np.testing.assert_allclose(vae.encoder.body(images), features, atol=1e-5)
    z = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    w = [weight.numpy() for weight in vae.decoder.body.weights]
    logits = gated(gated(z, *w[:4]), *w[4:8]) @ w[8] + w[9]
    np.testing.assert_allclose(vae.decoder(z).distribution.logits, logits.reshape(4, 8, 8, 1), atol=1e-5)


def test_a_gated_network_saves_and_loads(tmp_path):
    """Weights and outputs bit for bit, and the number of units as it was."""
    vae = make_vae(architecture="gated_mlp", hidden_units=5)
    vae.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    assert [layer.units for layer in loaded.decoder.body.layers[:2]] == [5, 5]
    for one, other in zip(vae.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    images = random_images(3)
    np.testing.assert_array_equal(loaded.encoder(images).mean(), vae.encoder(images).mean())
    z = tf.ones((2, 3))
    np.testing.assert_array_equal(loaded.decoder(z).mean(), vae.decoder(z).mean())
