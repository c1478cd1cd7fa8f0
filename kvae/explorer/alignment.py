"""Turns the planes of several models so that they can be looked at one after the other.

The prior N(0, I) is the same in every direction, so a model is as good with its codes turned or mirrored about the
origin; which way they lie is an accident of training.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def turn(codes: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The orthogonal matrix R, a rotation or a reflection, for which `codes @ R` is nearest to `target`.

    Args:
        codes: `(n, latent_dim)`.
        target: other codes of the same n images.

    Reference: Schönemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika 31, 1966.
    """
    left, _, right = np.linalg.svd(codes.T @ target)
    return left @ right


def turns(codes: Sequence[NDArray[np.float64]], start: int) -> list[NDArray[np.float64]]:
    """For each model the matrix that turns its codes towards those of its neighbour, beginning at the model `start`.

    Args:
        codes: for each model `(n, latent_dim)`, of the same images.
        start: the model that stays as it is.
    """
    found = [np.eye(each.shape[1]) for each in codes]
    for index in (*range(start + 1, len(codes)), *reversed(range(start))):
        neighbour = index - 1 if index > start else index + 1
        found[index] = turn(codes[index], codes[neighbour] @ found[neighbour])
    return found
