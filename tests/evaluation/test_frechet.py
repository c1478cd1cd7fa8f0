"""The Fréchet distance against closed forms, SciPy's matrix root, leaving out by hand, and repeated draws."""

import numpy as np
import pytest
from scipy import linalg

from kvae.evaluation.frechet import distance
from kvae.evaluation.jackknife import groups

RNG = np.random.default_rng(0)


def exactly(mean, covariance, count=60):
    """Points with exactly this mean and this unbiased covariance."""
    points = RNG.normal(size=(count, len(mean)))
    points -= points.mean(axis=0)
    whitened = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return whitened @ np.linalg.cholesky(covariance).T + mean


def by_scipy(x, y):
    product = np.cov(x, rowvar=False) @ np.cov(y, rowvar=False)
    root = np.real(linalg.sqrtm(product))
    shift = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    return shift + np.trace(np.cov(x, rowvar=False)) + np.trace(np.cov(y, rowvar=False)) - 2 * np.trace(root)


def test_of_independent_features_it_is_a_sum_over_means_and_standard_deviations():
    mean, scale = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.3])
    x, y = exactly(mean, np.diag(scale**2)), exactly(np.zeros(3), np.eye(3), 80)
    assert distance(x, y).value == pytest.approx(np.sum(mean**2) + np.sum((scale - 1) ** 2))


def test_of_correlated_features_it_is_what_scipy_s_root_gives():
    x = RNG.normal(size=(70, 5)) @ RNG.normal(size=(5, 5)) + 3
    y = RNG.normal(size=(90, 5)) @ RNG.normal(size=(5, 5))
    assert distance(x, y).value == pytest.approx(by_scipy(x, y))
    assert distance(y, x).value == pytest.approx(distance(x, y).value)


def test_a_feature_that_never_changes_adds_nothing():
    """As that of a unit which is always 0: the covariance has no inverse."""
    x, y = RNG.normal(size=(60, 3)), RNG.normal(size=(70, 3)) * 2
    dead = [np.column_stack([points, np.zeros(len(points))]) for points in (x, y)]
    assert distance(*dead).value == pytest.approx(distance(x, y).value)


def test_a_set_has_no_distance_from_itself_and_a_shift_changes_nothing():
    x, y = RNG.normal(size=(60, 4)), RNG.normal(size=(60, 4))
    assert distance(x, x).value == pytest.approx(0.0, abs=1e-10)
    assert distance(x + 1e4, y + 1e4).value == pytest.approx(distance(x, y).value, abs=1e-6)


def test_each_value_lacks_one_group_of_one_set():
    x, y = RNG.normal(size=(100, 3)), RNG.normal(size=(120, 3)) + 0.5
    without_samples, without_images = distance(x, y).without
    assert without_samples == pytest.approx([by_scipy(np.delete(x, part, axis=0), y) for part in groups(100)])
    assert without_images == pytest.approx([by_scipy(x, np.delete(y, part, axis=0)) for part in groups(120)])


def test_the_error_is_the_spread_of_repeated_draws():
    found = [
        distance(RNG.normal(size=(300, 2)) + [0.5, 0], RNG.normal(size=(200, 2)) * [1, 1.5]).estimate()
        for _ in range(120)
    ]
    spread = np.std([each.value for each in found], ddof=1)
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.25)
