"""Whether samples copy training images: how near the nearest one is, beside what it is for test images."""

import numpy as np

from kvae.evaluation.jackknife import Doubles, Jackknifed, groups, of_mean
from kvae.evaluation.neighbours import distances

NEAREST = 0.01
"""The share of test images, those nearest to training images, beside which samples are counted."""
ROWS = 4096
"""Points whose distances are in memory at a time."""


def bring_nearer(nearest: Doubles, points: Doubles, training: Doubles) -> None:
    """Lower the distance of each point to its nearest training image, in place.

    Args:
        nearest: the distances so far, `(n,)`; at first infinite.
        points: features, `(n, num_features)`.
        training: features of further training images, `(m, num_features)`.
    """
    for first in range(0, len(points), ROWS):
        part = slice(first, first + ROWS)
        np.minimum(nearest[part], distances(points[part], training).min(axis=1), out=nearest[part])


def numbers(nearest: Doubles, of_images: Doubles) -> dict[str, Jackknifed]:
    """The mean distance of samples from the nearest training image, and the share of them that are suspiciously near.

    Args:
        nearest: the distance of each sample, `(n,)`.
        of_images: that of each test image, `(m,)`; as near as the nearest `NEAREST` of these is suspicious. A model
            that copies has a share of 1, one that invents has about `NEAREST`.
    """
    near = of_mean(nearest <= np.quantile(of_images, NEAREST))
    bounds = (np.quantile(np.delete(of_images, part), NEAREST) for part in groups(len(of_images)))
    moved = np.array([np.mean(nearest <= bound) for bound in bounds])
    return {"nearest_training": of_mean(nearest), "near_training": Jackknifed(near.value, (*near.without, moved))}


def floor(of_images: Doubles) -> dict[str, Jackknifed]:
    """The same numbers of the test images themselves."""
    return {"nearest_training": of_mean(of_images), "near_training": Jackknifed(NEAREST, ())}
