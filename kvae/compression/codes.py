"""Codes z on a grid, and Gaussians on it: the posterior q(z|x), and those of the prior p(z).

Each latent dimension is cut into bins of one width: a power of 2 that is at most a quarter of the posterior's standard
deviation in its narrowest dimension, in the mean over the first images, and of the prior's smallest one, within
`PRECISIONS` and `MOST`.

Both q and p of a bin are its mass under a Gaussian. So what z costs in bits is, up to rounding, log2 q(z|x) / p(z) of
the densities: the widths cancel.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.compression.rounding import TOLERANCE, Nearest, tolerances
from kvae.compression.stack import Intervals
from kvae.compression.tables import OCTAVE, LocationScale, normal

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
PRECISIONS = (3, 14)
"""The least and the greatest precision."""
REACHES = (3, 8)
"""The same of the reach: N(0, 1) is beyond 2^3 once in 10^15 draws."""
MOST = 17
"""The most that precision and reach add up to: 2^18 bins."""
MAX_BITS = 23
TAIL = 6.0
"""The standard deviations at which a Gaussian ends; the rest of its mass is 10^-9."""


class Grid(NamedTuple):
    """The bins of a latent dimension: 2^-precision wide, from -2^reach to 2^reach."""

    precision: int
    reach: int

    @property
    def bins(self) -> int:
        return int(2 ** (self.precision + self.reach + 1))

    def codes(self, symbols: Integers) -> Floats:
        """The middles of bins."""
        return ((symbols - self.bins // 2) * 2.0**-self.precision).astype(np.float32)


def grid_for(narrowest: float, farthest: float) -> Grid:
    """The grid for posteriors.

    Args:
        narrowest: their standard deviation in the narrowest dimension, or the smallest of the prior's components.
        farthest: how far the prior reaches.
    """
    precision = int(np.clip(2 - math.floor(math.log2(narrowest)), *PRECISIONS))
    reach = int(np.clip(math.ceil(math.log2(farthest)), *REACHES))
    return Grid(min(precision, MOST - reach), reach)


class Gaussians:
    """Gaussians on a grid.

    Args:
        grid: the grid.
        widest: the largest standard deviation.
        least: 1 for a prior, under which any code must be possible. 0 for posteriors: codes are drawn from them.
        finer: as for `LocationScale`. What is drawn from a rounded posterior suits it; a rounded prior suits codes
            less than the prior does.
    """

    def __init__(self, grid: Grid, widest: float, least: int = 0, finer: int = 1) -> None:
        self.grid = grid
        largest = max(2.0, widest) * 2.0**grid.precision
        bits = max(20, grid.precision + grid.reach + 9) if least else 16 + max(0, grid.precision - 8)
        self._table = LocationScale(normal, TAIL, grid.bins, min(MAX_BITS, bits), largest, finer=finer, least=least)

    def rounded(self, rounding: Nearest, loc: NDArray[Any], scale: NDArray[Any]) -> tuple[Integers, Integers]:
        """Means and standard deviations, of any one shape, as indices."""
        width = 2.0**-self.grid.precision
        scales = np.asarray(scale, np.float64).ravel() / width
        indices = rounding(self._table.positions(scales), np.full(scales.size, OCTAVE * TOLERANCE / np.log(2)))
        steps = self._table.steps[indices]
        position = np.asarray(loc, np.float64).ravel() / width
        margins = tolerances(rounding, position * width) / width / steps
        locations = rounding((position + self.grid.bins // 2) / steps, margins)
        return locations.reshape(np.shape(loc)), indices.reshape(np.shape(scale))

    def values(self, locations: Integers, scales: Integers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The means and the standard deviations that indices stand for."""
        width = 2.0**-self.grid.precision
        return (locations * self._table.steps[scales] - self.grid.bins // 2) * width, self._table.scales[scales] * width

    def at(self, locations: Integers, scales: Integers) -> Intervals:
        """The distributions of codes, of indices of any one shape."""
        return self._table.at(locations.ravel(), scales.ravel())


def parts(groups: list[int] | None, latent_dim: int) -> Iterator[slice]:
    """The dimensions of each group, in order; all of them if the posterior has no groups."""
    first = 0
    for size in groups or [latent_dim]:
        yield slice(first, first + size)
        first += size
