"""Integer tables against scipy's distribution functions."""

import numpy as np
import pytest
from scipy import stats

from kvae.compression.tables import Bits, LocationScale, Tabled, logistic, normal

WHOLE = slice(None)
FAMILIES = {"normal": (normal, 6.0, stats.norm), "logistic": (logistic, 14.0, stats.logistic)}


def frequencies(intervals, bins):
    """How often each bin occurs, for intervals of one symbol."""
    parts = [intervals.interval(np.array([symbol]), WHOLE) for symbol in range(bins)]
    low, size = np.array(parts)[:, :, 0].T
    np.testing.assert_array_equal(low, np.cumsum(size) - size)
    return size


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("least", [0, 1])
@pytest.mark.parametrize("location, scale", [(40, 0), (-30, 20), (31, 40), (64, 63), (9, 64)])
def test_bins_have_their_mass(name, least, location, scale):
    distribution, tail, exact = FAMILIES[name]
    family = LocationScale(distribution, tail, 64, 20, 32.0, least=least)
    found = frequencies(family.at(np.array([location]), np.array([scale])), 64)
    assert found.sum() == 2**20
    assert found.min() >= least
    edges = np.concatenate([[-np.inf], np.arange(63) + 0.5, [np.inf]])
    at = exact(location * family.steps[scale], family.scales[scale])
    np.testing.assert_allclose(found - least, np.diff(at.cdf(edges)) * (2**20 - least * 64), atol=2.5)


@pytest.mark.parametrize("name", FAMILIES)
def test_distribution_functions(name):
    distribution, tail, exact = FAMILIES[name]
    for step in (0.25, 0.01):
        count = round(2 * tail / step)
        np.testing.assert_allclose(distribution(step, count), exact.cdf(step * np.arange(count + 1)), atol=2e-8)


def test_scales_and_steps_are_as_fine_as_stated():
    family = LocationScale(logistic, 14.0, 256, 16, 2550.0)
    np.testing.assert_allclose(family.scales[1:] / family.scales[:-1], 2 ** (1 / 8))
    assert family.scales[0] == 0.125 and family.scales[-1] >= 2550
    assert np.all(family.steps <= family.scales / 4) and np.all(family.steps > family.scales / 8)
    np.testing.assert_allclose(family.positions(family.scales), np.arange(len(family.scales)), atol=1e-9)
    assert family.positions(np.array([1e-9]))[0] == 0


def test_each_number_is_found_in_its_bin():
    family = LocationScale(normal, 6.0, 128, 14, 64.0, least=0)
    rng = np.random.default_rng(0)
    scales = rng.integers(0, len(family.scales), 500)
    locations = np.rint(rng.normal(64, 60, 500) / family.steps[scales]).astype(int)
    intervals = family.at(locations, scales)
    values = rng.integers(0, 2**14, 500)
    symbols = intervals.find(values, WHOLE)
    low, size = intervals.interval(symbols, WHOLE)
    assert np.all((low <= values) & (values < low + size))
    part = slice(100, 250)
    np.testing.assert_array_equal(intervals.find(values[part], part), symbols[part])


def test_weights_become_shares_and_none_is_impossible():
    weights = np.array([[1, 0, 3], [0, 0, 0]])
    table = Tabled.of_weights(weights, 10)
    of_first = Tabled.of_weights(weights[:1], 10)
    np.testing.assert_array_equal(frequencies(of_first, 3), [256, 1, 767])
    assert frequencies(Tabled.of_weights(weights[1:], 10), 3).min() >= 1
    values = np.array([255, 1023])
    low, size = table.interval(table.find(values, WHOLE), WHOLE)
    assert np.all((low <= values) & (values < low + size))


def test_bits_have_the_probability_of_their_logit():
    logits = np.array([-1000, -256, -16, 0, 5, 256, 1000])
    table = Bits().at(logits)
    _, size = table.interval(np.ones(7, int), WHOLE)
    np.testing.assert_allclose(size / 2**16, stats.logistic.cdf(np.clip(logits / 16, -16, 16)), atol=2e-5)
    assert size.min() >= 1 and size.max() < 2**16
