"""The jackknife against the standard error of a mean in closed form, and leaving out by hand."""

import numpy as np
import pytest

from kvae.evaluation.jackknife import NUM_GROUPS, Jackknifed, groups, of_mean

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("count", [50, 101, 1234])
def test_the_groups_are_all_rows_once_and_of_nearly_one_size(count):
    found = groups(count)
    assert len(found) == NUM_GROUPS
    assert np.array_equal(np.concatenate([np.arange(count)[part] for part in found]), np.arange(count))
    assert {part.stop - part.start for part in found} <= {count // NUM_GROUPS, count // NUM_GROUPS + 1}


def test_of_groups_of_one_the_error_of_a_mean_is_the_textbook_s():
    values = RNG.normal(size=NUM_GROUPS)
    found = of_mean(values).estimate()
    assert found.value == pytest.approx(values.mean())
    assert found.standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(NUM_GROUPS))


def test_each_value_lacks_one_group():
    values = RNG.normal(size=120)
    expected = [np.delete(values, part).mean() for part in groups(120)]
    np.testing.assert_allclose(of_mean(values).without[0], expected)


def test_the_variances_of_independent_sets_add_up():
    one, other = of_mean(RNG.normal(size=200)), of_mean(RNG.normal(size=100))
    both = Jackknifed(0.0, (*one.without, *other.without)).estimate().standard_error
    assert both == pytest.approx(np.hypot(one.estimate().standard_error, other.estimate().standard_error))


def test_a_difference_is_paired():
    """What two numbers share is not in the error of their difference."""
    shared, own = RNG.normal(size=500), RNG.normal(size=500) / 10
    found = (of_mean(shared + own) - of_mean(shared)).estimate()
    assert found.value == pytest.approx(own.mean())
    assert found.standard_error == pytest.approx(of_mean(own).estimate().standard_error)
