"""The Fréchet distance between two sets of features, each taken for a normal distribution.

|m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_2^1/2 C_1 C_2^1/2)^1/2) for means m and covariances C. With an ImageNet network's
features it is known as FID; of other features its values are on another scale, and must not be called that.

References: Dowson and Landau, The Fréchet distance between multivariate normal distributions, 1982; Heusel et al.,
arXiv 1706.08500.
"""

import numpy as np

from kvae.evaluation.jackknife import Doubles, Jackknifed, groups


def distance(samples: Doubles, images: Doubles) -> Jackknifed:
    """The distance between two sets of features, at least 0; too large by a bias that falls with both sizes.

    Args:
        samples: `(n, num_features)`, n at least `jackknife.NUM_GROUPS`, and above num_features to mean much.
        images: `(m, num_features)`, likewise.
    """
    centre = images.mean(axis=0)  # a shift changes nothing, but keeps squares small
    one, other = _Moments(samples - centre), _Moments(images - centre)
    gaussian, real = one.gaussian(), other.gaussian()
    root, real_root = _root(gaussian[1]), _root(real[1])
    return Jackknifed(
        _between(gaussian, real, real_root),
        (
            np.array([_between(one.gaussian(part), real, real_root) for part in groups(len(samples))]),
            np.array([_between(other.gaussian(part), gaussian, root) for part in groups(len(images))]),
        ),
    )


class _Moments:
    """The sums of a set from which means and covariances are made, also those without a part of it."""

    def __init__(self, features: Doubles) -> None:
        self._features = features
        self._sum = features.sum(axis=0)
        self._products = features.T @ features

    def gaussian(self, without: slice = slice(0)) -> tuple[Doubles, Doubles]:
        """The mean, and the unbiased covariance."""
        part = self._features[without]
        count = len(self._features) - len(part)
        mean = (self._sum - part.sum(axis=0)) / count
        return mean, (self._products - part.T @ part - count * np.outer(mean, mean)) / (count - 1)


def _between(one: tuple[Doubles, Doubles], other: tuple[Doubles, Doubles], root_of_other: Doubles) -> float:
    """The distance between two normal distributions, given as mean and covariance."""
    (mean, covariance), (other_mean, other_covariance) = one, other
    # The eigenvalues of a product of positive matrices are at least 0; rounding may put some just below.
    values = np.linalg.eigvalsh(root_of_other @ covariance @ root_of_other)
    overlap = np.sqrt(np.maximum(values, 0.0)).sum()
    shift = np.sum((mean - other_mean) ** 2)
    return float(shift + np.trace(covariance) + np.trace(other_covariance) - 2 * overlap)


def _root(matrix: Doubles) -> Doubles:
    """The symmetric square root of a symmetric positive matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: Doubles = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root
