"""Standard errors by leaving out: a statistic of several sets, and its values when a part of one set is missing.

Each set is cut into `NUM_GROUPS` groups. For G values t_g, each without one group, the variance is
(G - 1) / G sum_g (t_g - mean t)^2, summed over the sets, which must be independent of each other. Unlike the bootstrap
it puts no image beside itself, which would break every statistic of nearest neighbours.

Reference: Efron and Stein, The jackknife estimate of variance, Annals of Statistics 9, 1981.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvae.evaluation.estimates import Estimate

NUM_GROUPS = 50

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Jackknifed:
    """A statistic of independent sets of images."""

    value: float
    without: tuple[Doubles, ...]
    """For each set the statistic without each of its groups, `(NUM_GROUPS,)`."""

    def __sub__(self, other: "Jackknifed") -> "Jackknifed":
        """The difference, paired: the same groups of the same images are missing on both sides."""
        pairs = zip(self.without, other.without, strict=True)
        return Jackknifed(self.value - other.value, tuple(ours - theirs for ours, theirs in pairs))

    def estimate(self) -> Estimate:
        """The value with its standard error."""
        variance = sum((len(values) - 1) * float(np.var(values)) for values in self.without)
        return Estimate(self.value, float(np.sqrt(variance)))


def groups(count: int) -> list[slice]:
    """The rows of each group of a set of `count` images, at least `NUM_GROUPS`, whose order must be random."""
    bounds = np.linspace(0, count, NUM_GROUPS + 1).astype(int).tolist()
    return [slice(first, end) for first, end in zip(bounds[:-1], bounds[1:], strict=True)]


def of_mean(values: NDArray[np.generic]) -> Jackknifed:
    """The mean of one number per image, `(n,)`."""
    doubles = np.asarray(values, np.float64)
    sums = np.array([[doubles[part].sum(), part.stop - part.start] for part in groups(len(doubles))])
    left, counts = (sums.sum(axis=0) - sums).T
    return Jackknifed(float(doubles.mean()), (left / counts,))
