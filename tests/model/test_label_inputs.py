"""Conditional networks: what they get, what they change, and that others are as they were."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import IMAGE_SHAPE, make_vae, random_images

from kvae.config import ModelConfig
from kvae.errors import KvaeError
from kvae.model import VAE, Decoder, Encoder, architectures, networks
from kvae.model.label_inputs import LabelPlane, one_hot
from kvae.model.priors import StandardNormal
from kvae.steps.example import Example

LABELS = np.array([0, 2, 1, 2])


def test_one_hot_is_numpys():
    np.testing.assert_array_equal(one_hot(tf.constant(LABELS), 3), np.eye(3)[LABELS])


def test_the_plane_is_that_of_the_label_and_is_learned():
    plane = LabelPlane(3)
    images = random_images(4, (2, 5, 2))
    with tf.GradientTape() as tape:
        found = plane(images, tf.constant(LABELS))
        total = tf.reduce_sum(found[..., 2])
    np.testing.assert_array_equal(found[..., :2], images)
    np.testing.assert_allclose(found[..., 2], plane.planes.numpy()[LABELS].reshape(4, 2, 5))
    gradient = tape.gradient(total, plane.planes.value)
    assert isinstance(gradient, tf.Tensor)  # not tf.IndexedSlices, which the optimizer does not take
    np.testing.assert_array_equal(gradient[:, 0], np.bincount(LABELS))


@pytest.mark.parametrize("architecture", ["mlp", "conv", "gated_mlp", "ladder"])
def test_both_networks_of_every_architecture_depend_on_the_label(architecture):
    vae = make_vae(num_labels=3, architecture=architecture)
    assert vae.num_labels == 3
    images = tf.constant(random_images(4))
    one, other = (vae.terms(Example(images, np.full(4, label)), (0, 0)) for label in (0, 1))
    assert np.all(np.abs(one.log_likelihood - other.log_likelihood) > 1e-6)
    if architecture != "ladder":  # whose posterior begins as the prior, whatever the label
        assert np.all(np.abs(one.rate - other.rate) > 1e-9)


@pytest.mark.parametrize("architecture", ["mlp", "conv", "gated_mlp"])
def test_networks_without_labels_are_as_before_bit_for_bit(architecture):
    config = ModelConfig(architecture=architecture, latent_dim=3, hidden_units=8)
    keras.utils.set_random_seed(0)
    parts = architectures.get(architecture)
    encoder = Encoder(parts.encoder_body(IMAGE_SHAPE, 8), 3, name="encoder")
    encoder.build((None, *IMAGE_SHAPE))
    keras.utils.set_random_seed(0)
    same = networks.build_encoder(config, IMAGE_SHAPE)
    same.build((None, *IMAGE_SHAPE))
    decoder = networks.build_decoder(config, IMAGE_SHAPE)
    for one, other in zip(encoder.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "num_labels" not in encoder.get_config() and "num_labels" not in decoder.get_config()
    assert decoder.body.input_shape == (None, 3)


def test_a_conditional_model_is_saved_and_loaded(tmp_path):
    vae = make_vae(num_labels=3)
    vae.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.num_labels == 3
    pair = (random_images(4), LABELS)
    np.testing.assert_array_equal(vae.predict(pair, verbose=0), again.predict(pair, verbose=0))


def test_a_body_that_was_made_for_images_alone_is_told_of_the_channel():
    mlp = architectures.get("mlp")
    encoder = Encoder(mlp.encoder_body(IMAGE_SHAPE, 8), 3, num_labels=3)
    decoder = Decoder(mlp.decoder_body(IMAGE_SHAPE, 8, 3), num_labels=3)
    with pytest.raises(KvaeError, match=r"one more channel.*\(8, 8, 2\).*it takes \(8, 8, 1\)"):
        VAE(encoder, make_vae(num_labels=3).decoder, StandardNormal(3)).build((None, *IMAGE_SHAPE))
    with pytest.raises(KvaeError, match=r"one-hot label.*\(6,\).*it takes \(3,\)"):
        VAE(make_vae(num_labels=3).encoder, decoder, StandardNormal(3)).build((None, *IMAGE_SHAPE))


def test_networks_with_different_classes_do_not_go_together():
    with pytest.raises(KvaeError, match="same num_labels"):
        VAE(make_vae(num_labels=3).encoder, make_vae(num_labels=4).decoder, StandardNormal(3)).build((None, 8, 8, 1))


@pytest.mark.parametrize("num_labels", [0, -1, 2.0, True, "3"])
def test_a_number_of_classes_that_is_none_is_refused(num_labels):
    with pytest.raises(KvaeError, match="num_labels"):
        Encoder(architectures.get("mlp").encoder_body(IMAGE_SHAPE, 8), 3, num_labels)


def test_a_network_without_its_label_says_so():
    with pytest.raises(KvaeError, match="conditional"):
        make_vae(num_labels=3).decoder(tf.zeros([2, 3]))
