"""Conformal p-values against their definition, image by image, and the false-alarm rate that they guarantee."""

import numpy as np
import pytest

from kvae.detection.conformal import check_alarm, p_values
from kvae.errors import KvaeError


def by_hand(score, reference, two_sided):
    """The definition with loops; two-sided, every score is measured from the mean of all n + 1."""
    everyone = [*reference, score]
    centre = sum(everyone) / len(everyone)
    odd = [abs(one - centre) for one in everyone] if two_sided else everyone
    return sum(one >= odd[-1] - 1e-12 for one in odd) / len(everyone)  # the image itself counts: 1 + rank


@pytest.mark.parametrize("two_sided", [False, True])
@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_p_values_are_ranks_by_definition(two_sided, count):
    """With ties within the reference and between it and the images; powers of 2 keep the two-sided distances exact."""
    rng = np.random.default_rng(count)
    reference = rng.integers(-8, 9, count) / 4.0
    scores = np.concatenate([rng.integers(-12, 13, 60) / 4.0, rng.normal(size=40), reference[:1]])
    expected = [by_hand(score, reference, two_sided) for score in scores]
    np.testing.assert_allclose(p_values(scores, reference, two_sided), expected)


def test_ties_are_conservative():
    assert p_values(np.array([1.0]), np.array([1.0, 1.0, 0.0]))[0] == 3 / 4
    assert p_values(np.array([2.0]), np.array([1.0, 1.0, 0.0]))[0] == 1 / 4


@pytest.mark.parametrize("two_sided", [False, True])
def test_false_alarms_have_the_rate_that_was_asked_for(two_sided):
    """Over many references of 19 skewed scores, p <= 0.1 has probability exactly 2/20 for scores without ties."""
    rng = np.random.default_rng(0)
    draws = rng.exponential(size=(20_000, 20))
    found = np.concatenate([p_values(row[:1], row[1:], two_sided) for row in draws])
    assert abs(np.mean(found <= 0.1) - 0.1) < 4 * np.sqrt(0.1 * 0.9 / len(draws))


def test_the_image_counts_in_the_two_sided_mean():
    """With the mean of the reference alone, false alarms are more frequent than asked for."""
    draws = np.random.default_rng(0).exponential(size=(20_000, 4))
    distances = np.abs(draws - draws[:, 1:].mean(axis=1, keepdims=True))
    naive = (1 + np.sum(distances[:, 1:] >= distances[:, :1], axis=1)) / 4
    ours = np.concatenate([p_values(row[:1], row[1:], two_sided=True) for row in draws])
    error = np.sqrt(0.25 * 0.75 / len(draws))
    assert np.mean(naive <= 0.25) > 0.25 + 8 * error and abs(np.mean(ours <= 0.25) - 0.25) < 4 * error


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    for scores, reference in ((np.array([0.0, value]), np.zeros(3)), (np.zeros(2), np.array([1.0, value]))):
        with pytest.raises(KvaeError, match=f"finite.* number 1 is {value}"):
            p_values(scores, reference)


def test_an_empty_reference_is_refused():
    with pytest.raises(KvaeError, match="at least one reference image"):
        p_values(np.zeros(2), np.zeros(0))


@pytest.mark.parametrize(("rate", "count"), [(0.01, 99), (0.05, 19), (0.1, 9), (1 / 3, 2), (0.001, 999)])
def test_an_alarm_that_can_never_fire_is_refused(rate, count):
    """At n = 1 / rate - 1 the lowest p-value is the rate itself, which fires."""
    check_alarm(rate, count)
    assert p_values(np.array([1.0]), np.zeros(count))[0] <= rate
    with pytest.raises(KvaeError, match=f"never fire with {count - 1:,} .* at least {count:,},"):
        check_alarm(rate, count - 1)
