"""Density and coverage against the package `prdc` of their authors, and repeated draws."""

import numpy as np
import pytest
from prdc import compute_prdc

from kvae.evaluation.jackknife import groups
from kvae.evaluation.neighbours import density_and_coverage, distances

RNG = np.random.default_rng(0)


def by_prdc(samples, images, k=5):
    found = compute_prdc(real_features=images, fake_features=samples, nearest_k=k)
    return found["density"], found["coverage"]


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_they_are_those_of_prdc(k, shift):
    samples, images = RNG.normal(size=(130, 6)) + shift, RNG.normal(size=(171, 6))
    found = [number.value for number in density_and_coverage(samples, images, k)]
    assert found == pytest.approx(by_prdc(samples, images, k))


def test_each_value_is_that_of_prdc_without_one_group_of_one_set():
    """Without some images, the balls of their neighbours are larger."""
    samples, images = RNG.normal(size=(120, 3)) + 0.5, RNG.normal(size=(105, 3))
    density, coverage = density_and_coverage(samples, images)
    for group in (0, 7, 24, 49):
        part, other = groups(120)[group], groups(105)[group]
        expected = by_prdc(np.delete(samples, part, axis=0), images), by_prdc(samples, np.delete(images, other, axis=0))
        for number, without in enumerate(expected):
            found = density.without[number][group], coverage.without[number][group]
            assert found == pytest.approx(without), (group, number)


def test_exact_copies_of_the_images_are_in_all_balls():
    images = RNG.normal(size=(100, 4))
    density, coverage = density_and_coverage(images, images)
    assert coverage.value == 1.0
    assert density.value == pytest.approx(by_prdc(images, images)[0])


def test_images_that_are_all_the_same_break_nothing():
    density, coverage = density_and_coverage(RNG.normal(size=(100, 2)), np.ones((100, 2)))
    assert (density.value, coverage.value) == (0.0, 0.0)


@pytest.mark.slow
def test_the_errors_are_the_spread_of_repeated_draws_or_somewhat_more():
    """The jackknife overrates the error of numbers that jump, as those of neighbours do: here by 1.4 and by 2.2."""
    found = [
        [number.estimate() for number in density_and_coverage(RNG.normal(size=(200, 3)), RNG.normal(size=(150, 3)))]
        for _ in range(60)
    ]
    for number in range(2):
        spread = np.std([each[number].value for each in found], ddof=1)
        assert spread < np.mean([each[number].standard_error for each in found]) < 3 * spread


def test_distances_are_euclidean():
    x, y = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3))
    np.testing.assert_allclose(distances(x, y), [[np.linalg.norm(a - b) for b in y] for a in x])
