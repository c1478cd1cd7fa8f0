import numpy as np
import pytest

from kvae.runtime.mixing import split_r_hat


def test_by_hand():
    """Two chains of four steps: halves with means 0.5, 2.5, 5.5, 7.5 and variances of 0.5 each."""
    values = np.array([[0.0, 5.0], [1.0, 6.0], [2.0, 7.0], [3.0, 8.0]])
    between = np.var([0.5, 2.5, 5.5, 7.5], ddof=1)
    assert split_r_hat(values) == pytest.approx(np.sqrt(1 / 2 + between / 0.5))


def test_independent_draws_have_mixed():
    assert split_r_hat(np.random.default_rng(0).normal(size=(4000, 8))) == pytest.approx(1, abs=0.005)


def test_chains_apart_and_chains_that_drift_have_not():
    draws = np.random.default_rng(0).normal(size=(400, 8))
    assert split_r_hat(draws + 3 * np.arange(8)) > 3
    assert split_r_hat(draws + np.linspace(0, 5, 400)[:, None]) > 1.3  # the same in each chain: only halves show it


def test_chains_that_never_move():
    assert split_r_hat(np.ones((10, 3))) == 1
    assert split_r_hat(np.ones((10, 3)) * [1, 2, 3]) == np.inf
