"""The stack: what was added comes back, and costs its information."""

import numpy as np
import pytest

from kvae.compression.stack import CHUNK, INITIAL_KEY, Empty, Stack, initial_words, shifts
from kvae.compression.tables import LocationScale, Tabled, normal


def intervals(count, seed=0, bits=14):
    """A normal distribution of 64 bins for each of some symbols, and draws from them."""
    family = LocationScale(normal, 6.0, 64, bits, 16.0)
    rng = np.random.default_rng(seed)
    scales = rng.integers(8, len(family.scales), count)
    means = rng.uniform(10, 50, count)
    symbols = np.clip(np.rint(means + family.scales[scales] * rng.normal(size=count)), 0, 63).astype(np.int64)
    return symbols, family.at(np.rint(means / family.steps[scales]).astype(np.int64), scales)


@pytest.mark.parametrize("count", [1, 7, CHUNK, 3 * CHUNK + 5])
def test_what_was_pushed_is_popped_and_the_initial_words_are_left(count):
    symbols, given = intervals(count)
    stack = Stack(key=INITIAL_KEY)
    stack.push(symbols, given)
    again = Stack(stack.words())
    np.testing.assert_array_equal(again.pop(given), symbols)
    np.testing.assert_array_equal(again.words(), initial_words(INITIAL_KEY, stack.initial))


def test_symbols_cost_their_information():
    symbols, given = intervals(20_000)
    stack = Stack(key=INITIAL_KEY)
    stack.push(symbols, given)
    _, size = given.interval(symbols, slice(None))
    assert stack.information == pytest.approx(np.sum(14 - np.log2(size)))
    assert 32 * (len(stack.words()) - stack.initial) == pytest.approx(stack.information, rel=1e-3)


def test_what_is_popped_follows_the_distribution_and_gives_its_information_back():
    table = Tabled.of_weights(np.tile([1, 2, 5], (20_000, 1)), 12)
    stack = Stack(key=INITIAL_KEY)
    drawn = stack.pop(table)
    np.testing.assert_allclose(np.bincount(drawn) / 20_000, [1 / 8, 2 / 8, 5 / 8], atol=0.015)
    before = 32 * len(stack.words())
    stack.push(drawn, table)
    assert stack.information == pytest.approx(0, abs=1e-6)
    np.testing.assert_array_equal(stack.words(), initial_words(INITIAL_KEY, stack.initial))
    assert before < 32 * stack.initial - 20_000  # 1.3 bits each had been taken


def test_shifts_make_fair_draws_of_a_stack_that_is_not_random():
    table = Tabled.of_weights(np.tile([1, 2, 5], (3000, 1)), 12)
    shift = shifts(7, 0, 3000, 12)
    stack = Stack(np.full(2000, 2**31, np.uint32))
    drawn = stack.pop(table, shift)
    np.testing.assert_allclose(np.bincount(drawn) / 3000, [1 / 8, 2 / 8, 5 / 8], atol=0.03)
    stack.push(drawn, table, shift)
    np.testing.assert_array_equal(stack.words(), np.full(2000, 2**31, np.uint32))
    assert not np.array_equal(shift, shifts(8, 0, 3000, 12))
    assert not np.array_equal(shift, shifts(7, 3000, 3000, 12))


def test_initial_words_of_more_end_with_those_of_fewer():
    many, few = initial_words(4, 9), initial_words(4, 4)
    np.testing.assert_array_equal(many[-4:], few)
    assert few[-1] != 0
    assert not np.array_equal(initial_words(5, 4), few)


def test_a_symbol_that_is_certain_costs_next_to_nothing():
    certain = Tabled(np.tile([0, 2**14 - 1, 2**14], (10_000, 1)), 14)
    stack = Stack(key=INITIAL_KEY)
    stack.push(np.zeros(10_000, np.int64), certain)
    assert len(stack.words()) - stack.initial <= 3
    stack.push(np.ones(3, np.int64), Tabled(np.tile([0, 2**14 - 1, 2**14], (3, 1)), 14))  # of length 1
    np.testing.assert_array_equal(
        Stack(stack.words()).pop(Tabled(np.tile([0, 2**14 - 1, 2**14], (3, 1)), 14)), [1, 1, 1]
    )


def test_a_stack_that_has_too_little_says_so():
    _, given = intervals(100)
    with pytest.raises(Empty):
        Stack(initial_words(4, 5)).pop(given)
    for words in ([], [7], [1, 2, 0]):
        with pytest.raises(Empty):
            Stack(np.array(words, np.uint32))


def test_a_bin_that_is_never_drawn_cannot_be_pushed():
    family = LocationScale(normal, 6.0, 64, 14, 16.0, least=0)
    at = family.at(np.array([40 * 32]), np.array([0]))
    with pytest.raises(Empty):
        Stack(key=INITIAL_KEY).push(np.array([3]), at)


def test_constriction_is_asked_for_by_its_command(monkeypatch):
    import sys

    from kvae.errors import KvaeError

    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(KvaeError, match=r"\[compress\]"):
        Stack(key=INITIAL_KEY)
