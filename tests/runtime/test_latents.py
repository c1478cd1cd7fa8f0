"""p(z) and q(z|x): densities checked against the math module, the rate against Monte Carlo, draws against numpy."""

import math

import numpy as np
import pytest

from kvae.bundle import noise
from kvae.runtime import latents

RNG = np.random.default_rng(0)
LOC, SCALE = RNG.normal(size=(5, 3)), RNG.uniform(0.1, 2.0, (5, 3))
Z = LOC + SCALE * RNG.normal(size=(5, 3))


def log_normal(z, loc, scale):
    """The log-density of one Gaussian number."""
    return -0.5 * math.log(2 * math.pi * scale**2) - (z - loc) ** 2 / (2 * scale**2)


def test_log_densities_are_sums_over_the_dimensions():
    prior = [sum(log_normal(z, 0, 1) for z in row) for row in Z]
    posterior = [sum(map(log_normal, *row)) for row in zip(Z, LOC, SCALE, strict=True)]
    np.testing.assert_allclose(latents.log_prior(Z), prior, rtol=1e-12)
    np.testing.assert_allclose(latents.log_posterior(Z, LOC, SCALE), posterior, rtol=1e-12)


def test_the_log_ratio_equals_that_of_the_two_densities():
    epsilon = RNG.normal(size=(5, 7, 3)).astype(np.float32)
    loc, scale = LOC.astype(np.float32), SCALE.astype(np.float32)
    z = latents.posterior_draws(loc[:, None], scale[:, None], epsilon)
    assert z.dtype == np.float32
    expected = latents.log_prior(z) - latents.log_posterior(
        *(part.astype(float) for part in (z, loc[:, None], scale[:, None]))
    )
    np.testing.assert_allclose(latents.log_ratio(z, epsilon, scale), expected, atol=1e-5)


def test_the_log_ratio_is_precise_for_a_narrow_posterior():
    """With a scale of 1e-6, log q from z - loc in float32 would be off by nats, but the noise itself is exact."""
    epsilon = RNG.normal(size=(1, 50, 1)).astype(np.float32)
    scale = np.full((1, 1), 1e-6, np.float32)
    z = latents.posterior_draws(np.float32(1.0), scale[:, None], epsilon)
    expected = 0.5 * epsilon.astype(float) ** 2 - 0.5 * z.astype(float) ** 2 + math.log(float(scale[0, 0]))
    np.testing.assert_allclose(latents.log_ratio(z, epsilon, scale), expected[..., 0], atol=1e-6)


def test_the_rate_is_the_mean_log_ratio_of_draws():
    epsilon = RNG.normal(size=(5, 40_000, 3))
    z = latents.posterior_draws(LOC[:, None], SCALE[:, None], epsilon)
    draws = -latents.log_ratio(z, epsilon, SCALE)
    error = draws.std(axis=1) / math.sqrt(draws.shape[1])
    assert np.all(np.abs(draws.mean(axis=1) - latents.rates(LOC, SCALE).sum(axis=1)) < 5 * error)


def test_the_rate_of_the_prior_itself_is_zero():
    np.testing.assert_array_equal(latents.rates(np.zeros((2, 3)), np.ones((2, 3))), 0.0)


@pytest.mark.parametrize("block", [1, 2, 64])
def test_the_aggregated_posterior_is_the_mean_over_all_pairs(block, monkeypatch):
    monkeypatch.setattr(latents, "_BLOCK", block)
    densities = [[math.exp(sum(map(log_normal, z, *other))) for other in zip(LOC, SCALE, strict=True)] for z in Z]
    expected = np.log(np.mean(densities, axis=1))
    np.testing.assert_allclose(latents.log_aggregated_posterior(Z, LOC, SCALE), expected, rtol=1e-10)


def test_draws_from_the_prior_are_the_noise_times_the_temperature():
    z = latents.prior_draws(3, 5, 4, 2)
    np.testing.assert_array_equal(z, noise.standard_normal(3, 5, 4, 2))
    np.testing.assert_array_equal(latents.prior_draws(3, 5, 4, 2, temperature=0.5), z / 2)
    assert not latents.prior_mean(2).any()
