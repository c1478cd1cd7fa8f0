"""Rounding that another machine, with slightly other numbers, repeats."""

import numpy as np
import pytest

from kvae.compression.rounding import MAX_MARGIN, TOLERANCE, Nearest, Noted, Told, nearest, tolerances
from kvae.compression.stack import INITIAL_KEY, Stack


@pytest.mark.parametrize("margin", [1e-3, 0.1, 3.0])
def test_numbers_within_the_margin_are_rounded_alike(margin):
    rng = np.random.default_rng(0)
    positions = rng.uniform(-50, 50, 4000)
    positions[:400] = np.rint(positions[:400]) + 0.5 + rng.uniform(-1e-4, 1e-4, 400)
    margins = np.full(4000, margin)
    elsewhere = positions + rng.uniform(-1, 1, 4000) * min(margin, MAX_MARGIN) * 0.99
    stack, noted = Stack(key=INITIAL_KEY), Noted()
    here = noted(positions, margins), noted(2 * positions, margins)
    noted.push(stack)
    told = Told(Stack(stack.words()))
    np.testing.assert_array_equal(told(elsewhere, margins), here[0])
    np.testing.assert_array_equal(told(2 * positions, margins), here[1])
    np.testing.assert_array_equal(here[0], nearest(positions))
    assert np.any(nearest(elsewhere) != here[0])


def test_notes_cost_what_closeness_tells():
    """H(2m) + 2m bits for each number that is equally likely anywhere."""
    positions, margin = np.random.default_rng(0).uniform(0, 100, 200_000), 0.02
    stack, noted = Stack(key=INITIAL_KEY), Noted()
    noted(positions, np.full(200_000, margin))
    noted.push(stack)
    share = 2 * margin
    entropy = -share * np.log2(share) - (1 - share) * np.log2(1 - share)
    assert stack.information / 200_000 == pytest.approx(entropy + share, rel=0.05)


def test_tolerances_grow_with_powers_of_2():
    found = tolerances(Nearest(), np.array([0, 0.3, -1, 1.05, -2, 2.1, 16]))
    np.testing.assert_array_equal(found / TOLERANCE, [1, 1, 1, 2, 2, 4, 16])


def test_nothing_is_said_unless_it_shall_be():
    stack, rounding = Stack(key=INITIAL_KEY), Nearest()
    np.testing.assert_array_equal(rounding(np.array([0.4, 1.6, 1e300]), np.ones(3)), [0, 2, 2**40])
    rounding.push(stack)
    assert stack.information == 0
