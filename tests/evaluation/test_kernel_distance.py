"""The kernel distance against a double loop, leaving out by hand, and repeated draws."""

import numpy as np
import pytest

from kvae.evaluation.jackknife import groups
from kvae.evaluation.kernel_distance import distance

RNG = np.random.default_rng(0)


def by_hand(x, y):
    def kernel(a, b):
        return (a @ b / len(a) + 1) ** 3

    pairs = {
        "xx": [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j],
        "yy": [kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j],
        "xy": [kernel(a, b) for a in x for b in y],
    }
    return np.mean(pairs["xx"]) + np.mean(pairs["yy"]) - 2 * np.mean(pairs["xy"])


def test_it_is_the_mean_over_pairs_of_different_points():
    x, y = RNG.normal(size=(103, 4)), RNG.normal(size=(110, 4)) + 0.3
    assert distance(x, y).value == pytest.approx(by_hand(x, y))


def test_each_value_lacks_one_group_of_one_set():
    x, y = RNG.normal(size=(101, 3)), RNG.normal(size=(104, 3)) + 0.3
    without_samples, without_images = distance(x, y).without
    for group in (0, 20, 49):
        part, other = groups(101)[group], groups(104)[group]
        assert without_samples[group] == pytest.approx(by_hand(np.delete(x, part, axis=0), y))
        assert without_images[group] == pytest.approx(by_hand(x, np.delete(y, other, axis=0)))


@pytest.mark.slow
def test_it_has_no_bias_and_its_error_is_the_spread_of_repeated_draws():
    """For equal distributions the mean is 0; for others the error is that of the draws."""
    alike = [distance(*RNG.normal(size=(2, 100, 3))).value for _ in range(60)]
    assert np.mean(alike) == pytest.approx(0.0, abs=4 * np.std(alike) / np.sqrt(60))
    found = [distance(RNG.normal(size=(150, 3)) + 0.5, RNG.normal(size=(100, 3))).estimate() for _ in range(60)]
    spread = np.std([each.value for each in found], ddof=1)
    assert np.mean([each.standard_error for each in found]) == pytest.approx(spread, rel=0.35)
