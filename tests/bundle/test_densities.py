"""The densities in numpy against the likelihoods in TFP, which they must equal without TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf

from kvae import likelihoods
from kvae.bundle import densities
from kvae.bundle.densities import log_densities, log_density
from kvae.config import LIKELIHOODS
from kvae.errors import BundleError

RNG = np.random.default_rng(0)
SHAPES = [(8, 8, 1), (5, 3, 1), (7, 5, 3), (3, 3, 2), (1, 1, 1), (28, 28, 1)]
# Locations outside the image, logits beyond saturation, and scales at both bounds; every combination is tested.
EXTREMES = {
    "bernoulli": [[0.0, 1e-3, -50.0, 50.0, -1000.0, 1000.0]],
    "continuous_bernoulli": [[0.0, 1e-6, -1e-3, 0.0159, 0.0999, -0.1001, 1.0, 50.0, -50.0, 1000.0, -1000.0]],
    "discretized_logistic": [[0.0, 0.5, 1.0, -0.3, 1.4, -5.0, 6.0], [-100.0, -3.0, 0.0, 3.0, 100.0]],
    "normal": [[0.0, 50.0, -50.0], [-100.0, -3.0, 0.0, 3.0, 100.0]],
}


def eight_bit(shape, rng=RNG):
    return rng.integers(0, 256, shape).astype(np.float32) / np.float32(255)


def parameters_of(name, outputs):
    """What a bundle's decoder returns besides the mean, computed from the last layer's output."""
    distribution = likelihoods.get(name).distribution(tf.constant(outputs))
    return np.concatenate([getattr(distribution, part).numpy() for part in likelihoods.get(name).parameters], axis=-1)


def check(name, outputs, image):
    """numpy agrees with TFP within float32's rounding of the sum: 2e-6 of the sum of the terms' magnitudes."""
    likelihood = likelihoods.get(name)
    images = np.broadcast_to(image, (len(outputs), *image.shape))
    by_pixel = likelihood.distribution(tf.constant(outputs)).log_prob(images).numpy().astype(np.float64)
    magnitude = np.abs(by_pixel).sum(axis=(1, 2, 3))
    found = log_density(name, parameters_of(name, outputs), image)
    assert (found.shape, found.dtype) == ((len(outputs),), np.float64)
    assert np.all(np.isfinite(found))
    assert np.all(np.abs(found - by_pixel.sum(axis=(1, 2, 3))) < 1e-5 * image.size + 2e-6 * magnitude)
    of_pixels = log_densities(name, parameters_of(name, outputs), image)
    np.testing.assert_allclose(of_pixels, by_pixel.sum(axis=-1), rtol=1e-5, atol=1e-5 * image.shape[-1])
    np.testing.assert_allclose(of_pixels.sum(axis=(1, 2)), found, rtol=2e-6, atol=1e-5 * image.size)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_numpy_agrees_with_tfp(name, shape):
    """At several shapes, some with three channels: each parameter comes for all channels before the next one."""
    parts = len(likelihoods.get(name).parameters)
    outputs = RNG.normal(size=(6, *shape[:2], parts * shape[2])).astype(np.float32) * 2
    check(name, outputs, eight_bit(shape))


@pytest.mark.parametrize("shade", ["black", "white", "grey", "any"])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_numpy_agrees_with_tfp_at_the_extremes(name, shade):
    """Pixels that are saturated, far outside, or at a bound of the scale; also on constant images."""
    shape = (9, 7, 1)
    parts = [RNG.choice(np.float32(values), (20, *shape)) for values in EXTREMES[name]]
    image = {
        "black": np.zeros(shape, np.float32),
        "white": np.ones(shape, np.float32),
        "grey": np.full(shape, 128 / 255, np.float32),
        "any": eight_bit(shape),
    }[shade]
    check(name, np.concatenate(parts, axis=-1), image)


def test_all_channels_of_one_parameter_come_before_the_next():
    """By hand: two pixels of two channels under a normal of loc (l1, l2) and scale (s1, s2)."""
    image = np.float32([[[0.1, 0.2], [0.3, 0.4]]])
    parameters = np.float32([[[[0.5, 0.6, 1.0, 2.0], [0.7, 0.8, 3.0, 4.0]]]])
    x, loc, scale = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.5, 0.6, 0.7, 0.8]), np.array([1.0, 2.0, 3.0, 4.0])
    expected = np.sum(-0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi))
    assert log_density("normal", parameters, image)[0] == pytest.approx(expected, abs=1e-6)


def test_sums_of_softplus_are_exact_for_any_number_of_pixels():
    """An all-black image under a Bernoulli has log p = -sum log(1 + e^l); even, odd, more and fewer than 64 terms."""
    for size in (*range(1, 71), 127, 128, 129, 783, 2352):
        logits = np.random.default_rng(size).normal(size=(3, 1, size, 1)).astype(np.float32) * 10
        expected = -np.logaddexp(0, logits.astype(np.float64)).sum(axis=(1, 2, 3))
        found = log_density("bernoulli", logits.copy(), np.zeros((1, size, 1), np.float32))
        np.testing.assert_allclose(found, expected, rtol=2e-6, err_msg=f"{size} pixels")


def test_products_of_factors_do_not_overflow():
    """If all logits are 0, each of the 28 x 28 x 3 factors is 2, the largest possible: log p = -2352 ln 2."""
    logits = np.zeros((2, 28, 28, 3), np.float32)
    found = log_density("bernoulli", logits, np.ones((28, 28, 3), np.float32))
    np.testing.assert_allclose(found, -2352 * np.log(2), rtol=1e-7)


@pytest.mark.parametrize("logits", [0.0, 1e-6, 1e-3, 0.05, 0.0999, 0.1, 0.1001, 0.5, 0.9, 2.0])
def test_the_continuous_bernoulli_s_series_meets_its_closed_form(logits):
    """log(sinh(a) / a) with a = l / 2 in float64, on both sides of the switch, of either sign; within 3e-7 nats."""
    exact = float(np.float32(logits))
    half = max(exact / 2, 1e-9)
    normaliser = half**2 / 6 if half < 1e-4 else np.log(np.sinh(half) / half)
    for sign in (1, -1):
        for x in (0.0, 0.25, 1.0):
            parameters = np.full((1, 1, 1, 1), sign * logits, np.float32)
            found = log_density("continuous_bernoulli", parameters, np.full((1, 1, 1), x, np.float32))
            assert found[0] == pytest.approx(sign * exact * (x - 0.5) - normaliser, abs=3e-7)


def test_each_code_s_density_depends_only_on_its_own_parameters():
    """The same parameters under other codes give the same number, within 1e-6 of it."""
    for name in LIKELIHOODS:
        parts = len(likelihoods.get(name).parameters)
        parameters = parameters_of(name, RNG.normal(size=(7, 5, 5, parts)).astype(np.float32))
        image = eight_bit((5, 5, 1))
        alone = [log_density(name, parameters[[index]], image)[0] for index in range(7)]
        np.testing.assert_allclose(log_density(name, parameters.copy(), image), alone, rtol=1e-6)


def test_an_unknown_likelihood_is_refused():
    with pytest.raises(BundleError, match="no density is known: .*gamma"):
        log_density("gamma", np.zeros((1, 2, 2, 1), np.float32), np.zeros((2, 2, 1), np.float32))
    with pytest.raises(BundleError, match="'gamma'"):
        densities.check("gamma")
    assert densities.check("normal").parameters == ("loc", "scale")
