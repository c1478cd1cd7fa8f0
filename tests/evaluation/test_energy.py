"""The energy distance against a double loop and a closed form."""

import numpy as np
import pytest

from kvae.evaluation.energy import distance

RNG = np.random.default_rng(0)


def test_it_is_the_sum_over_pairs():
    x, y = (RNG.random((count, 2, 3, 1), dtype=np.float32) for count in (5, 7))
    pairs = {
        "xy": [np.linalg.norm(a - b) for a in x for b in y],
        "xx": [np.linalg.norm(a - b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j],
        "yy": [np.linalg.norm(a - b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j],
    }
    expected = 2 * np.mean(pairs["xy"]) - np.mean(pairs["xx"]) - np.mean(pairs["yy"])
    assert distance(x, y)[0] == pytest.approx(expected, abs=1e-6)


def test_it_matches_two_normals_within_its_standard_error():
    """For N(0, 1) and N(m, 1), X - Y ~ N(m, 2): E|N(m, 2)| is a folded normal's mean, E|X - X'| = 2/sqrt(pi)."""
    shift = 1.0
    folded = 2 / np.sqrt(np.pi) * np.exp(-(shift**2) / 4) + shift * _erf(shift / 2)
    expected = 2 * folded - 4 / np.sqrt(np.pi)
    found = []
    for _ in range(200):
        x, y = RNG.standard_normal((80, 1, 1, 1)), RNG.standard_normal((60, 1, 1, 1)) + shift
        found.append(distance(x.astype(np.float32), y.astype(np.float32)))
    values, errors = np.array(found).T
    assert values.mean() == pytest.approx(expected, abs=4 * values.std() / np.sqrt(200))
    assert errors.mean() == pytest.approx(values.std(), rel=0.15)


def _erf(x: float) -> float:
    grid = np.linspace(0, x, 20_001)
    return float(2 / np.sqrt(np.pi) * np.trapezoid(np.exp(-(grid**2)), grid))


def test_it_is_about_0_for_the_same_distribution():
    x, y = (RNG.random((400, 2, 2, 1), dtype=np.float32) for _ in range(2))
    assert abs(distance(x, y)[0]) < 0.01
    assert distance(x, y / 2)[0] > 0.1
