"""Metrics against numpy, and the effective beta, which is measured."""

import math

import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae

from kvae.errors import KvaeError
from kvae.evaluation import evaluate

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)


def test_mean_and_standard_error_are_over_images():
    vae = make_vae()
    metrics = evaluate(vae, IMAGES, seed=4)
    terms = vae.terms(tf.constant(IMAGES / np.float32(255)), tf.constant([4, 0], tf.int32))
    elbo = -(terms.distortion.numpy() + terms.rate.numpy()).astype(np.float64)
    assert metrics.elbo.value == pytest.approx(elbo.mean(), rel=1e-6)
    assert metrics.elbo.standard_error == pytest.approx(elbo.std(ddof=1) / math.sqrt(50), rel=1e-4)
    assert metrics.elbo.value == pytest.approx(-metrics.distortion.value - metrics.rate.value, rel=1e-6)


def test_evaluation_repeats_itself_and_leaves_the_model_as_it_was():
    vae = make_vae()
    state = vae.seed_generator.state.numpy().copy()
    assert evaluate(vae, IMAGES, seed=2**32 - 1) == evaluate(vae, IMAGES, seed=2**32 - 1)
    np.testing.assert_array_equal(vae.seed_generator.state, state)


def test_every_image_counts_once_whatever_the_batch_size():
    vae = make_vae()
    assert evaluate(vae, IMAGES, batch_size=7).rate.value == pytest.approx(evaluate(vae, IMAGES).rate.value, rel=1e-6)


@pytest.mark.parametrize("images", [IMAGES / np.float32(255), IMAGES[:1]])
def test_images_must_be_bytes_and_several(images):
    with pytest.raises(KvaeError, match="at least 2 images of uint8"):
        evaluate(make_vae(), images)


@pytest.mark.parametrize("beta", [0.0, 0.25, 1.0, 4.0])
def test_effective_beta_is_that_of_the_loss(beta):
    assert evaluate(make_vae(beta=beta), IMAGES).effective_beta == pytest.approx(beta, abs=1e-3)


def test_effective_beta_shows_a_loss_of_means(monkeypatch):
    """The commonest defect, means over 64 pixels and 3 dimensions, would be reported as 64/3 of the KL's weight."""
    vae = make_vae()
    monkeypatch.setattr(vae, "loss_of", lambda terms: 64 * tf.reduce_mean(terms.distortion / 64 + terms.rate / 3))
    assert evaluate(vae, IMAGES).effective_beta == pytest.approx(64 / 3, rel=1e-3)
