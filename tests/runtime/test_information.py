"""Mutual information and marginal KL, checked by brute force and numerical integration; active units by hand."""

import math

import numpy as np
import pytest

from kvae.runtime import latents
from kvae.runtime.information import active_units, active_units_error, measure


def codes(n, dim, scale, seed=0):
    """Posteriors whose means are spread like the prior, and one draw from each."""
    rng = np.random.default_rng(seed)
    loc, scale = rng.normal(size=(n, dim)), scale * (0.5 + rng.random((n, dim)))
    return loc, scale, loc + scale * rng.normal(size=(n, dim))


def log_normal(z, loc, scale):
    """log N(z; loc, scale^2), summed over the dimensions in Python floats."""
    return math.fsum(
        -0.5 * ((a - m) / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)
        for a, m, s in zip(z, loc, scale, strict=True)
    )


def brute_force(loc, scale, z):
    """Both numbers of each image, by a double loop over the images."""
    mutual, marginal = [], []
    for i in range(len(z)):
        pairs = [log_normal(z[i], loc[j], scale[j]) for j in range(len(z))]
        top = max(pairs)
        aggregated = top + math.log(math.fsum(math.exp(pair - top) for pair in pairs) / len(pairs))
        mutual.append(pairs[i] - aggregated)
        marginal.append(aggregated - log_normal(z[i], np.zeros_like(z[i]), np.ones_like(z[i])))
    return mutual, marginal


@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_both_numbers_equal_those_of_the_double_loop(dim, scale):
    posteriors = codes(40, dim, scale)
    found = measure(*posteriors)
    mutual, marginal = brute_force(*posteriors)
    np.testing.assert_allclose(found.mutual_information, mutual, atol=1e-9)
    np.testing.assert_allclose(found.marginal_kl, marginal, atol=1e-9)


def test_tiny_scales_stay_finite_and_accurate():
    """At the smallest posterior scale, 1e-4, quadratic terms of 1e9 cancel: within 1e-5 nats of the double loop."""
    posteriors = codes(40, 3, 1e-4)
    found = measure(*posteriors)
    mutual, marginal = brute_force(*posteriors)
    np.testing.assert_allclose(found.mutual_information, mutual, atol=1e-5)
    np.testing.assert_allclose(found.marginal_kl, marginal, atol=1e-5)
    np.testing.assert_allclose(found.mutual_information, math.log(40), atol=1e-5)  # no two codes overlap


def test_means_equal_the_integrals_in_one_dimension():
    """I = 1/N sum_i int q_i ln(q_i / q) and KL = int q ln(q / p), by the trapezoid rule, against 900 draws from each of
    three posteriors; within 4 standard errors, which are below 0.03 nats."""
    loc, scale = np.array([-1.0, 0.2, 2.0]), np.array([0.5, 0.3, 0.8])
    grid = np.linspace(-12, 12, 200_001)

    def integral(values):
        return (values[1:] + values[:-1]).sum() / 2 * (grid[1] - grid[0])

    def density(m, s):
        return np.exp(-0.5 * ((grid - m) / s) ** 2) / (s * np.sqrt(2 * np.pi))

    each = [density(m, s) for m, s in zip(loc, scale, strict=True)]
    q, p = np.mean(each, axis=0), density(0.0, 1.0)
    safe = 1e-300
    mutual = np.mean([integral(one * np.log((one + safe) / (q + safe))) for one in each])
    marginal = integral(q * np.log((q + safe) / (p + safe)))
    # Each image is repeated 900 times, which does not change the aggregated posterior.
    many = np.tile(loc, 900)[:, None], np.tile(scale, 900)[:, None]
    found = measure(*many, many[0] + many[1] * np.random.default_rng(0).normal(size=many[0].shape))
    for values, expected in zip(found, (mutual, marginal), strict=True):
        error = values.std() / math.sqrt(len(values))
        assert error < 0.03
        assert abs(values.mean() - expected) < 4 * error


def test_the_two_add_up_to_the_integrand_of_the_rate():
    """To log q(z|x) - log p(z), whose mean is the rate, for each image: nothing is lost between them."""
    loc, scale, z = codes(30, 4, 0.3)
    found = measure(loc, scale, z)
    own = [log_normal(*one) - log_normal(one[0], np.zeros(4), np.ones(4)) for one in zip(z, loc, scale, strict=True)]
    np.testing.assert_allclose(found.mutual_information + found.marginal_kl, own, atol=1e-10)


def test_codes_that_do_not_depend_on_the_image_hold_no_information():
    """With one posterior for all, I is 0; if that is the prior, so is the marginal KL."""
    loc, scale = np.zeros((20, 3)), np.ones((20, 3))
    found = measure(loc, scale, np.random.default_rng(0).normal(size=(20, 3)))
    np.testing.assert_allclose(found, 0, atol=1e-12)


def test_the_block_size_does_not_matter(monkeypatch):
    posteriors = codes(50, 3, 0.2)
    whole = measure(*posteriors)
    for block in (1, 7, 50):
        monkeypatch.setattr(latents, "_BLOCK", block)
        np.testing.assert_allclose(measure(*posteriors), whole, atol=1e-11)


def test_active_units_are_those_whose_means_vary():
    """Variances of 0.0081, 0.0121 and 0, by hand, against the threshold of 0.01."""
    loc = np.array([[0.09, 0.11, 5.0], [-0.09, -0.11, 5.0]])
    np.testing.assert_array_equal(active_units(loc), [False, True, False])


def test_the_standard_error_of_the_count_is_the_bootstrap_s():
    """A resample of two images has both with probability 1/2, else the unit does not vary: a coin toss, sd 1/2. A unit
    that varies in every resample, or in none, adds nothing; two that vary together have sd 1."""
    clear = np.random.default_rng(0).normal(size=(100, 2))
    assert active_units_error(clear) == 0
    assert active_units_error(0.001 * clear) == 0
    coin = np.array([[1.0], [-1.0]])
    assert active_units_error(coin) == pytest.approx(0.5, abs=0.02)
    assert active_units_error(np.hstack([coin, coin])) == pytest.approx(1.0, abs=0.04)
    assert active_units_error(coin) == active_units_error(coin)
