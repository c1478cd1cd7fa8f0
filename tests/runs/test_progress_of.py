"""Whether a training had come to rest, on synthetic histories whose course is known."""

import math

import numpy as np
import pytest

from kvae.runs.progress_of import Fall, last_fall, still_falling


def history(losses):
    return {"val_loss": list(losses), "val_elbo": [-loss for loss in losses]}


def decaying(epochs, rate, scale=60.0, floor=240.0):
    """Exponential decay to a floor, in nats per image."""
    return [floor + scale * math.exp(-rate * epoch) for epoch in range(epochs)]


NOISE = np.random.default_rng(0).normal(0, 0.3, 60)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([311.4, 292.7, 285.9, 284.1], True),  # the KL of why-kl after four epochs
        ([310.5, 284.0, 277.4, 276.3], True),  # and the cross-entropy
        (decaying(60, 0.02), True),
        (decaying(60, 0.02) + NOISE, True),
        (decaying(60, 0.3), False),
        (decaying(60, 0.3) + NOISE, False),
        ([240.0 + noise for noise in NOISE], False),
        ([1e6, 300.0, *decaying(28, 0.02)], True),  # a first epoch far above the others hides nothing
        ([1e6, 300.0, *decaying(28, 0.5)], False),
        ([-800.0, -900.0, -950.0, -990.0, -1030.0, -1060.0], True),  # log-densities are negative
        ([300.0, 250.0, 245.0, 246.0, 248.0, 251.0], False),  # overfitting
        ([300.0, 250.0, 250.0, 250.0, 250.0, 250.0], False),
        ([300.0, 250.0, math.nan, 240.0, 230.0, 220.0], True),
        ([math.nan] * 5, False),
        ([300.0, 290.0], False),  # cannot be told
        ([300.0], False),
        ([], False),
    ],
)
def test_a_loss_that_still_falls_at_the_end_is_told_from_one_at_rest(losses, expected):
    assert still_falling(history(losses)) is expected


def test_units_do_not_matter():
    for factor in (1e-3, 1e3):
        assert still_falling(history(np.multiply(decaying(30, 0.03), factor)))
        assert not still_falling(history(np.multiply(decaying(30, 0.4), factor)))


def test_the_fall_is_that_of_the_last_third():
    assert last_fall(history([50.0, 40.0, 30.0, 20.0, 10.0, 5.0, 4.0, 3.0, 1.0])) == Fall(3, 4.0)
    assert last_fall(history([5.0, 4.0, 3.0])) == Fall(2, 2.0)
    assert last_fall(history([5.0, 4.0])) == Fall(0, 0.0)
    assert last_fall({}) == Fall(0, 0.0)
