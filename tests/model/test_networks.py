"""Networks: shapes, distributions and floors, for images of any height and width."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import DATASET, make_vae, random_images

from kvae.bundle import operators
from kvae.config import ARCHITECTURES, LIKELIHOODS, ModelConfig
from kvae.export.bundles import export
from kvae.model import networks
from kvae.model.architectures import conv, gated_mlp
from kvae.model.priors import StandardNormal
from kvae.model.vae import VAE
from kvae.runtime.bundle import Bundle

tfd = tfp.distributions
FLAT = sorted(set(ARCHITECTURES) - {"ladder"})
"""The architectures whose posterior is one Gaussian; tests/model/ladder has the tests of the other."""


@pytest.mark.parametrize(
    ("architecture", "likelihood", "image_shape"),
    [
        *((architecture, "bernoulli", (28, 28, 1)) for architecture in FLAT),
        *((architecture, likelihood, (9, 14, 3)) for architecture in FLAT for likelihood in LIKELIHOODS),
        *((architecture, "normal", (4, 4, 1)) for architecture in FLAT),
    ],
)
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
    np.testing.assert_array_equal(conv.DepthToSpace()(inputs)[0, ..., 0], [[0, 1], [2, 3]])


# The convolutional networks, by the image's size

SIZES = [(8, 8), (9, 13), (8, 256), (31, 47), (64, 64), (100, 60), (256, 256)]


def conv_networks(image_shape, **settings):
    """The two networks with their weights, of the default width unless `settings` say otherwise."""
    config = ModelConfig(architecture="conv", **settings)
    encoder, decoder = networks.build_encoder(config, image_shape), networks.build_decoder(config, image_shape)
    encoder.build((None, *image_shape))
    decoder.build((None, config.latent_dim))
    return encoder, decoder


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_convolutions_fit_images_of_any_size(size, channels):
    """Shapes are right, a square image is reduced to 4 x 4 to 8 x 8 pixels, and there are under 5 million weights."""
    image_shape = (*size, channels)
    encoder, decoder = conv_networks(image_shape, likelihood="discretized_logistic")
    posterior = encoder(random_images(2, image_shape))
    assert posterior.event_shape == (16,)
    assert decoder(posterior.mean()).event_shape == image_shape
    (flatten,) = (layer for layer in encoder.body.layers if isinstance(layer, keras.layers.Flatten))
    rows, columns = flatten.input.shape[1:3]
    assert rows * columns <= 64
    assert size[0] != size[1] or 4 <= rows == columns
    assert encoder.count_params() + decoder.count_params() < 5e6


def test_every_size_has_few_weights():
    """For all heights and widths from 8 to 256, between 16 and 64 pixels are left, with at most 128 channels."""
    for height in range(8, 257):
        for width in range(height, 257):
            channels = conv.conv_channels(height, width)
            assert channels == conv.conv_channels(width, height)
            assert channels == [32, 64, 128, 128, 128][: len(channels)]
            left = -(-height // 2 ** len(channels)) * -(-width // 2 ** len(channels))
            assert 16 <= left <= 64, (height, width)


def test_the_networks_of_28_x_28_are_those_of_the_shipped_model():
    """Layer by layer, because the published results were measured on these."""
    encoder, decoder = conv_networks((28, 28, 1))
    assert [weight.shape for weight in encoder.body.weights] == [
        (4, 4, 1, 32), (32,), (4, 4, 32, 64), (64,), (7 * 7 * 64, 128), (128,),
    ]  # fmt: skip
    assert [weight.shape for weight in decoder.body.weights] == [
        (16, 128), (128,), (128, 7 * 7 * 64), (7 * 7 * 64,), (3, 3, 64, 128), (128,), (3, 3, 32, 4), (4,),
    ]  # fmt: skip
    assert {layer.strides for layer in encoder.body.layers[:2]} == {(2, 2)}
    kernels = [layer for body in (encoder.body, decoder.body) for layer in body.layers if layer.weights]
    assert {type(layer.kernel_initializer).__name__ for layer in kernels} == {"GlorotUniform"}
    assert encoder.count_params() + decoder.count_params() == 920_772


@pytest.mark.parametrize("size", [(9, 13), (31, 47), (100, 60)])
def test_colour_images_of_odd_sizes_export(size, tmp_path):
    """onnxruntime and Keras agree within 1e-5; all operators are standard, and none is a transposed convolution."""
    vae = make_vae((*size, 3), architecture="conv", likelihood="discretized_logistic")
    exported = export(vae, tmp_path / "b", dataset=DATASET)
    assert max(exported.parity.values()) <= 1e-5
    found = operators.check_file(exported.path / "decoder.onnx", exported.manifest.opset)
    assert {"Conv", "DepthToSpace"} <= found and "ConvTranspose" not in found
    images = random_images(3, (*size, 3))
    np.testing.assert_allclose(
        Bundle.open(exported.path).reconstruct(images), vae.predict(images, verbose=0), atol=1e-5
    )


def test_a_saved_model_keeps_the_layers_it_was_saved_with(tmp_path):
    """A .keras file from before the networks depended on the image's size, which always had two convolutions."""
    convolutions = [keras.layers.Conv2D(width, 4, strides=2, padding="same", activation="silu") for width in (4, 5)]
    before = [keras.Input((64, 48, 3)), *convolutions, keras.layers.Flatten(), keras.layers.Dense(8)]
    decoder = make_vae((64, 48, 3), architecture="conv").decoder
    vae = VAE(networks.Encoder(keras.Sequential(before), 3), decoder, StandardNormal(3))
    vae(random_images(2, (64, 48, 3)))
    vae.save(tmp_path / "before.keras")
    loaded = keras.models.load_model(tmp_path / "before.keras")
    assert len(loaded.encoder.body.layers) == 4
    images = random_images(2, (64, 48, 3))
    np.testing.assert_array_equal(loaded.encoder(images).mean(), vae.encoder(images).mean())


def gated(values, w, b, v, c):
    """(x W + b) sigmoid(x V + c) in float64."""
    values = values.astype(np.float64)
    return (values @ w + b) / (1 + np.exp(-(values @ v + c)))


def test_a_gated_layer_matches_numpy():
    layer = gated_mlp.GatedDense(4)
    inputs = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    layer(inputs)
    rng = np.random.default_rng(0)
    for weight in layer.weights:  # including biases, which start at 0
        weight.assign(2 * rng.normal(size=weight.shape))
    w, b, v, c = (
        part.numpy() for part in (layer.values.kernel, layer.values.bias, layer.gates.kernel, layer.gates.bias)
    )
    assert len(layer.trainable_weights) == 4
    np.testing.assert_allclose(layer(inputs), gated(inputs, w, b, v, c), rtol=1e-5, atol=1e-6)
    assert layer.compute_output_shape((None, 3)) == (None, 4)


def test_the_gated_networks_are_two_gated_layers_on_each_side():
    """Posterior and logits match numpy, computed from the weights alone, within 1e-5."""
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
    """Weights and outputs stay the same bit for bit, and so does the number of units."""
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
