"""The score of an image: TFP's ELBO on the specified draws, and percentiles by counting, whatever the other images."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tiny import DATASET, make_vae, random_images

from kvae.bundle import binarization, noise
from kvae.config import LIKELIHOODS
from kvae.errors import BundleError, KvaeError
from kvae.export.bundles import export
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle

IMAGES = np.rint(random_images(300) * 255).astype(np.uint8)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_score_equals_tfp_s_elbo(likelihood, tmp_path):
    """The distortion over the specified draws, and the rate in closed form, by the model's own distributions."""
    vae = make_vae(likelihood=likelihood)
    bundle = Bundle.open(export(vae, tmp_path / "b", dataset=DATASET).path, threads=1)
    images = IMAGES[:5].astype(np.float32) / 255
    found = scoring.score(bundle, images, draws=7, seed=3)
    posterior = vae.encoder(images)
    log_prob = []
    for index in range(7):
        z = posterior.mean() + posterior.stddev() * noise.standard_normal(3, index, 1, 3)
        log_prob.append(vae.decoder(tf.cast(z, tf.float32)).log_prob(images))
    np.testing.assert_allclose(found.distortion, -np.mean(log_prob, axis=0), rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(found.rate, posterior.kl_divergence(vae.prior()), rtol=1e-4)
    np.testing.assert_allclose(found.elbo, -found.distortion - found.rate)


def test_a_score_depends_only_on_the_image(bundle_path):
    bundle = Bundle.open(bundle_path)
    images = IMAGES.astype(np.float32) / 255
    together = scoring.score(bundle, images).elbo
    alone = [scoring.score(bundle, images[index : index + 1]).elbo[0] for index in (0, 17, 299)]
    np.testing.assert_allclose(together[[0, 17, 299]], alone, rtol=1e-6)


def test_images_out_of_range_are_refused(bundle_path):
    with pytest.raises(KvaeError, match=r"must be in \[0, 1\]"):
        scoring.score(Bundle.open(bundle_path), random_images(2) * 2)


# The statistics of a bundle


@pytest.fixture(scope="module", params=["none", "dynamic"])
def known(request, tmp_path_factory):
    """A bundle with statistics of its training images, which are grey or bits."""
    out = tmp_path_factory.mktemp("known") / "b"
    return Bundle.open(export(make_vae(), out, dataset=DATASET, binarize=request.param, train_images=IMAGES).path)


def met(bundle):
    """The training images as the encoder gets them."""
    grey = IMAGES.astype(np.float32) / np.float32(255)
    return binarization.binarize_alike(grey) if bundle.manifest.is_of_bits else grey


def test_posterior_statistics_describe_the_training_images(known):
    loc, scale = (np.asarray(part, np.float64) for part in known.encode(met(known)))
    found = known.manifest.posterior
    assert found["num_images"] == 300
    for name, expected in {
        "loc_mean": loc.mean(axis=0),
        "loc_std": loc.std(axis=0),
        "scale_mean": scale.mean(axis=0),
        "rate": (0.5 * (loc**2 + scale**2 - 1) - np.log(scale)).mean(axis=0),
    }.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-7)


def test_percentiles_count_the_training_images_below(known):
    draws, seed = scoring.recorded_settings(known.manifest)
    elbo = scoring.score(known, met(known), draws, seed).elbo
    found = scoring.percentile(known.manifest, elbo)
    below = [100 * np.sum(elbo < value) / len(elbo) for value in elbo]
    np.testing.assert_allclose(found, below, atol=1.0)  # percentiles are interpolated between entries
    assert known.manifest.scoring["num_images"] == 300


def test_percentiles_at_and_beyond_the_ends_and_at_ties(known):
    scores = {"num_images": 9, "draws": 1, "seed": 0, "percents": [0, 10, 50, 60, 100], "elbo": [-9, -5, -5, -5, -1]}
    manifest = replace(known.manifest, scoring=scores)
    found = scoring.percentile(manifest, np.array([-10, -9, -7, -5, -3, -1, 0.0]))
    np.testing.assert_allclose(found, [0, 0, 5, 60, 80, 100, 100])


def test_nan_has_no_percentile(known):
    assert np.isnan(scoring.percentile(known.manifest, np.array([np.nan]))).all()


def test_below_the_first_of_equal_entries_is_0(known):
    scores = {"num_images": 9, "draws": 1, "seed": 0, "percents": [0, 10, 100], "elbo": [-300, -300, -1]}
    found = scoring.percentile(replace(known.manifest, scoring=scores), np.array([-400.0, -300.0]))
    np.testing.assert_allclose(found, [0, 10])


def test_without_statistics_there_is_no_percentile(bundle_path):
    manifest = Bundle.open(bundle_path).manifest
    assert scoring.recorded_settings(manifest) == (scoring.DRAWS, scoring.SEED)
    with pytest.raises(BundleError, match="no statistics of its training images"):
        scoring.percentile(manifest, np.zeros(1))


def test_images_are_binarised_only_for_a_model_of_bits(known):
    grey = random_images(2)
    found = binarization.as_encoded(known.manifest, grey)
    expected = binarization.binarize_alike(grey) if known.manifest.is_of_bits else grey
    np.testing.assert_array_equal(found, expected)
