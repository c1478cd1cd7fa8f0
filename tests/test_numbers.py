"""What counts as a number."""

import math

import pytest

from kvae.bundle import caveats
from kvae.numbers import is_finite


@pytest.mark.parametrize("value", [0, -1, 2.5, 10**300 - 1, -1e299])
def test_numbers_that_fit_in_a_float(value):
    assert is_finite(value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, None, "1", [1.0]])
def test_other_values_are_not_numbers(value):
    assert not is_finite(value)
    assert caveats.about_training({"beta": value}) is None  # as in a manifest from another program
