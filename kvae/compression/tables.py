"""Distributions as integer tables: how often out of 2^bits each symbol of a family occurs.

An entropy coder returns what was coded only if both directions use the same probabilities to the last bit. So no
probability of a pixel or a code is computed in floats while coding. The networks' outputs are rounded to the indices of
a table, and the table is built from operations that IEEE 754 rounds correctly (+, *, / and Python's decimals), hence is
the same everywhere. Only p(c|z) of a mixture is computed in floats (`kvae.compression.priors`), and so is not the same
everywhere.

Every symbol that has to be coded, whatever comes, has at least one of the 2^bits.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]
OCTAVE = 8
"""Scales in a doubling. The nearest is off by at most 4.4 %, which costs less than 0.001 bits per symbol on average."""
SHARE = 4
"""Locations are multiples of a power of 2 that is at most the scale over this; 0.001 bits per symbol likewise."""


def _exp(exponent: float) -> float:
    """exp, correctly rounded on every machine, which a system's own is not."""
    return float(Decimal(exponent).exp())


def logistic(step: float, count: int) -> Doubles:
    """The standard logistic distribution function at 0, step, ..., count * step."""
    exponentials = np.multiply.accumulate(np.full(count, _exp(-step)))
    return 1.0 / (1.0 + np.concatenate([[1.0], exponentials]))


def normal(step: float, count: int) -> Doubles:
    """The standard normal distribution function at 0, step, ..., count * step, which is to be far in its tail.

    It is the sum over steps of the density in their middles, with two terms of its Taylor series, and normalised: exact
    to 1e-8 for steps of a quarter and less.
    """
    ratios = np.multiply.accumulate(np.full(count - 1, _exp(-step * step)))
    density = np.multiply.accumulate(np.concatenate([[1.0], ratios]))
    squares = ((np.arange(count) + 0.5) * step) * ((np.arange(count) + 0.5) * step)
    second, fourth = squares - 1.0, squares * squares - 6.0 * squares + 3.0
    curved = 1.0 + step * step / 24 * second + step * step * step * step / 1920 * fourth
    sums = np.add.accumulate(density * curved)
    return np.concatenate([[0.5], 0.5 + 0.5 * (sums / sums[-1])])


class LocationScale:
    """The bins 0, 1, ..., bins - 1, each of width 1 around its number, under distributions with a location and a scale.

    The first and the last bin extend to infinity.

    Args:
        distribution: the standard distribution's function on a grid from its middle, such as `logistic`.
        tail: how far from the middle it is less than 2^-bits from 0 and 1.
        bins: number of bins, a power of 2.
        bits: the total is 2^bits.
        largest: the largest scale, in bins; larger ones count as this one.
        smallest: the smallest.
        finer: by how much the scales, and the locations, are closer together than `OCTAVE` and `SHARE` say.
        least: 1, and every bin can be coded; 0, and those that are hardly ever drawn are never drawn.
    """

    def __init__(
        self,
        distribution: Callable[[float, int], Doubles],
        tail: float,
        bins: int,
        bits: int,
        largest: float,
        smallest: float = 0.125,
        finer: int = 1,
        least: int = 1,
    ) -> None:
        self.bins, self.bits, self.smallest, self.least = bins, bits, smallest, least
        self.octave = finer * OCTAVE
        count = int(np.ceil(self.octave * np.log2(largest / smallest))) + 1
        self.scales = np.array([smallest * float(Decimal(2) ** (Decimal(k) / self.octave)) for k in range(count)])
        self.steps: Doubles = np.exp2(np.floor(np.log2(self.scales / (finer * SHARE))))
        """The grid of locations of each scale, in bins."""
        units = np.minimum(self.steps, 0.5)  # in which ends of bins and locations are whole numbers
        self._half = np.rint(0.5 / units).astype(np.int64)
        self._step = np.rint(self.steps / units).astype(np.int64)
        self._reach = np.ceil(np.minimum(tail * self.scales, 4 * bins) / units).astype(np.int64)
        parts = []
        for scale, unit, reach in zip(self.scales, units, self._reach, strict=True):
            full = max(int(reach), int(np.ceil(tail * scale / unit)))
            upper = distribution(float(unit / scale), full)[: reach + 1]
            parts.append(np.concatenate([1.0 - upper[:0:-1], upper]))
        self._table = np.floor(np.concatenate(parts) * (2**bits - least * bins)).astype(np.int64)
        self._middle = np.cumsum([0, *(2 * self._reach[:-1] + 1)]) + self._reach

    def positions(self, scale: Doubles) -> Doubles:
        """Scales, in bins, as positions among `scales`, between two of which most lie."""
        return np.clip(self.octave * np.log2(scale / self.smallest), 0, len(self.scales) - 1)

    def at(self, location: Integers, scale: Integers) -> "Located":
        """The distributions of some symbols.

        Args:
            location: of each, `(n,)`, in the steps of its scale.
            scale: of each, an index of `scales`.
        """
        return Located(self, location, scale)


class Located:
    """A bin under each of n distributions of a `LocationScale`; a kind of `kvae.compression.stack.Intervals`."""

    def __init__(self, family: LocationScale, location: Integers, scale: Integers) -> None:
        self.bits, self.count = family.bits, len(location)
        self._bins, self._table, self._least = family.bins, family._table, family.least
        self._half, self._reach, self._middle = family._half[scale], family._reach[scale], family._middle[scale]
        # Far outside, a location changes nothing, but must not overflow.
        self._zero = np.clip(location * family._step[scale], -(2**40), 2**40) + self._half

    def _below(self, bins: Integers, part: slice) -> Integers:
        """The cumulative frequency of all bins before these, none of which is the first."""
        offset = 2 * self._half[part] * bins - self._zero[part]
        reach = self._reach[part]
        found: Integers = self._table[self._middle[part] + np.clip(offset, -reach, reach)] + self._least * bins
        return found

    def interval(self, symbols: Integers, part: slice) -> tuple[Integers, Integers]:
        low = np.where(symbols > 0, self._below(symbols, part), 0)
        high = np.where(symbols + 1 < self._bins, self._below(symbols + 1, part), 2**self.bits)
        return low, high - low

    def find(self, values: Integers, part: slice) -> Integers:
        found = np.zeros(len(values), np.int64)
        step = self._bins // 2
        while step:
            tried = found + step
            found = np.where(self._below(tried, part) <= values, tried, found)
            step //= 2
        return found


class Tabled:
    """A symbol from a table of its own for each of n; a kind of `kvae.compression.stack.Intervals`.

    Args:
        cumulative: `(n, symbols + 1)`, from 0 to 2^bits, strictly rising.
        bits: the total is 2^bits.
    """

    def __init__(self, cumulative: Integers, bits: int) -> None:
        self.bits, self.count = bits, len(cumulative)
        self._cumulative = cumulative

    @classmethod
    def of_weights(cls, weights: Integers, bits: int) -> "Tabled":
        """The table for weights `(n, symbols)`, integers from 0, which need not add up to anything."""
        symbols = weights.shape[1]
        sums = np.cumsum(weights, axis=1)
        scaled = sums * (2**bits - symbols) // np.maximum(sums[:, -1:], 1) + np.arange(1, symbols + 1)
        scaled[:, -1] = 2**bits
        return cls(np.concatenate([np.zeros((len(weights), 1), np.int64), scaled], axis=1), bits)

    def interval(self, symbols: Integers, part: slice) -> tuple[Integers, Integers]:
        rows = self._cumulative[part]
        index = np.arange(len(rows))
        low = rows[index, symbols]
        return low, rows[index, symbols + 1] - low

    def find(self, values: Integers, part: slice) -> Integers:
        found: Integers = np.sum(values[:, None] >= self._cumulative[part, 1:], axis=1)
        return found


class Bits:
    """Zeros and ones of logits.

    A logit is a multiple of 1/`STEPS`, at most `LARGEST` in magnitude.
    """

    STEPS, LARGEST, BITS = 16, 16, 16

    @cached_property
    def _zeros(self) -> Integers:
        """How many of 2^BITS the zero has, for each logit from the lowest."""
        upper = logistic(1 / self.STEPS, self.STEPS * self.LARGEST)
        of_zero = np.concatenate([upper[::-1], 1.0 - upper[1:]])
        return np.clip(np.floor(of_zero * 2**self.BITS), 1, 2**self.BITS - 1).astype(np.int64)

    def at(self, logits: Integers) -> Tabled:
        """The tables of logits `(n,)`, in steps."""
        ends = self.STEPS * self.LARGEST
        zeros = self._zeros[np.clip(logits, -ends, ends) + ends]
        return Tabled(np.stack([np.zeros_like(zeros), zeros, np.full_like(zeros, 2**self.BITS)], axis=1), self.BITS)
