"""Differences between two computations, checked against plain numpy."""

import numpy as np
import pytest

from kvae.bundle import parity
from kvae.errors import BundleError


def test_the_largest_difference_is_found_with_its_index():
    expected = np.zeros((4, 3), np.float32)
    found = expected.copy()
    found[2, 1], found[0, 0] = -0.5, 0.25
    result = parity.difference("loc", found, expected)
    assert (result.worst, result.where, result.expected, result.found) == (0.5, (2, 1), 0.0, -0.5)
    assert result.mean == 0.75 / 12
    assert (result.size, result.batch_size) == (12, 4)


@pytest.mark.parametrize(("name", "worst"), [("likelihood_parameters", 0.02), ("mean", 1.0)])
def test_only_likelihood_parameters_are_measured_by_their_magnitude(name, worst):
    result = parity.difference(name, np.array([[-49.0]], np.float32), np.array([[-50.0]], np.float32))
    assert result.worst == pytest.approx(worst)


@pytest.mark.parametrize(("name", "worst"), [("loc", 2e-6), ("scale", 2e-6), ("mean", 2e-5)])
def test_posteriors_in_groups_may_differ_by_ten_times_as_much(name, worst):
    found = parity.difference(name, np.array([[0.3 + 2e-5]]), np.array([[0.3]]), in_groups=True)
    assert found.worst == pytest.approx(worst, rel=1e-6)
    assert parity.difference(name, np.array([[0.3 + 2e-5]]), np.array([[0.3]])).worst == pytest.approx(2e-5, rel=1e-6)


def test_differences_of_small_likelihood_parameters_are_not_scaled_up():
    result = parity.difference("likelihood_parameters", np.array([[0.125]]), np.array([[0.0625]]))
    assert result.worst == 0.0625


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_exceeds_every_tolerance(value):
    for found, expected in ((value, 0.0), (value, value)):
        result = parity.difference("mean", np.array([[0.0, found]]), np.array([[1.0, expected]]))
        assert not result.worst <= 1e30
        assert result.where == (0, 1)


def test_other_shapes_are_refused():
    with pytest.raises(BundleError, match=r"'mean' has shape \(2, 3\); expected \(1, 3\)"):
        parity.difference("mean", np.zeros((2, 3)), np.zeros((1, 3)))


def test_merging_keeps_the_worst_and_pools_the_means():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 5)), rng.random((3, 5))
    worst = {}
    for array in (first, second):
        parity.merge(worst, "loc", parity.difference("loc", array, np.zeros_like(array)))
    together = np.concatenate([first, second])
    assert worst["loc"].worst == together.max()
    assert worst["loc"].mean == pytest.approx(together.mean())
    assert worst["loc"].batch_size == (2 if first.max() > second.max() else 3)


@pytest.mark.parametrize("order", [[0.0, np.nan, 1.0], [np.nan, 0.0, 1.0], [1.0, 0.0, np.nan]])
def test_a_nan_stays_the_worst(order):
    worst = {}
    for value in order:
        parity.merge(worst, "loc", parity.difference("loc", np.array([[value]]), np.array([[0.0]])))
    assert np.isnan(worst["loc"].worst)
