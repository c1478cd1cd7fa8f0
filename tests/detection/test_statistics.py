"""The statistics against closed forms, and what they mean for which model."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from gaussian_family import KINDS, has_labels, images, log_p, write

from kvae.bundle import locate
from kvae.detection import STATISTICS, Calibration, calibrate, compressor, p_values, surprise
from kvae.detection.statistics import default_for
from kvae.errors import KvaeError
from kvae.runtime import Bundle, scoring


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: Bundle.open(write(folder / kind, kind), device="cpu") for kind in KINDS}


@pytest.fixture(scope="module")
def shipped():
    return Bundle.open(locate.shipped()["fashion_mnist_small"])


def given(kind, count=40, seed=0):
    pixels, labels = images(kind, count, seed)
    return pixels / np.float32(255), labels if has_labels(kind) else None


@pytest.mark.parametrize("kind", KINDS)
def test_elbo_and_nll_bound_the_closed_form(bundles, kind):
    """-log p(x|y) is known; 100 draws come nearer to it than the ELBO, and bound it within their noise."""
    pixels, labels = given(kind)
    exact = -log_p(kind, pixels.reshape(-1, 12).astype(float), 0)
    if labels is not None:
        exact = np.array(
            [-log_p(kind, x.reshape(1, 12), y)[0] for x, y in zip(pixels.astype(float), labels, strict=True)]
        )
    elbo, nll = (surprise(bundles[kind], pixels, name, labels) for name in ("elbo", "nll"))
    np.testing.assert_allclose(elbo, -scoring.score(bundles[kind], pixels, label=labels).elbo, rtol=1e-12)
    assert np.abs(np.mean(nll - exact)) < 0.1 and np.abs(nll - exact).max() < 1.0
    assert np.abs(nll - exact).mean() <= np.abs(elbo - exact).mean()


def test_typicality_is_the_distance_from_the_mean_of_the_reference(bundles):
    bundle = bundles["affine"]
    normal, pixels = given("affine", 30)[0], given("affine", 20, seed=1)[0]
    calibration = calibrate(bundle, normal, "typicality")
    found = surprise(bundle, pixels, "typicality")
    np.testing.assert_allclose(found, surprise(bundle, pixels, "elbo"))
    centre = surprise(bundle, normal, "elbo").mean()
    np.testing.assert_allclose(calibration.values(found), np.abs(found - centre))
    # The p-values order images as the distances do, though their mean includes the image.
    order = np.argsort(calibration.values(found))
    assert np.all(np.diff(calibration.p_values(found)[order]) <= 0)


def test_too_probable_is_odd_to_typicality_alone():
    reference = np.array([240.0, 250.0, 260.0, 245.0])
    high, low = np.array([500.0]), np.array([100.0])
    for statistic, p_of_low in (("elbo", 1.0), ("typicality", 0.2)):
        calibration = Calibration(statistic, reference)
        assert (calibration.p_values(high)[0], calibration.p_values(low)[0]) == (0.2, p_of_low)


def test_complexity_is_the_model_s_bits_minus_the_compressor_s(bundles):
    pixels = given("affine", 10)[0]
    expected = surprise(bundles["affine"], pixels, "elbo") / math.log(2) - compressor.bits(pixels)
    np.testing.assert_allclose(surprise(bundles["affine"], pixels, "complexity"), expected)


def test_complexity_means_nothing_for_a_surrogate(shipped):
    with pytest.raises(KvaeError, match="surrogate, not a code length"):
        surprise(shipped, np.zeros((1, 28, 28, 1), np.float32), "complexity")


def test_other_names_and_an_empty_reference_are_refused(shipped):
    with pytest.raises(KvaeError, match="elbo, nll, typicality, complexity; got 'odd'"):
        surprise(shipped, np.zeros((1, 28, 28, 1), np.float32), "odd")
    for statistic in STATISTICS:
        with pytest.raises(KvaeError, match="at least one image"):
            calibrate(shipped, np.zeros((0, 28, 28, 1), np.float32), statistic)


def test_calibrated_p_values_are_ranks_among_the_reference(bundles):
    normal, pixels = given("mixture", 50)[0], given("mixture", 20, seed=1)[0]
    calibration = calibrate(bundles["mixture"], normal)
    found = surprise(bundles["mixture"], pixels)
    np.testing.assert_allclose(calibration.p_values(found), p_values(found, surprise(bundles["mixture"], normal)))


@pytest.mark.parametrize(
    ("likelihood", "expected"),
    [("discretized_logistic", "complexity"), ("bernoulli", "elbo"), ("normal", "elbo")],
)
def test_the_default_is_complexity_for_8_bit_images_and_else_the_elbo(likelihood, expected):
    assert default_for(SimpleNamespace(manifest=SimpleNamespace(likelihood=likelihood))) == expected


def test_without_a_statistic_the_default_is_taken(bundles, shipped):
    pixels, _ = given("affine", 8)
    bundle = bundles["affine"]
    assert calibrate(bundle, pixels).statistic == "elbo"
    np.testing.assert_array_equal(surprise(bundle, pixels), surprise(bundle, pixels, "elbo"))
    assert calibrate(shipped, np.zeros((2, 28, 28, 1), np.float32)).statistic == "elbo"  # a surrogate
