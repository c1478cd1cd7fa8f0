"""Outputs of networks rounded to whole numbers, on another machine to the same ones.

Networks compute in float32, and no two processors or versions of onnxruntime agree in the last bits. That moves a
number by a millionth, and over the middle between two whole numbers only if it is that close to it. The portable coding
writes down, for each number within a margin of the middle, on which side it is. Whoever decodes then rounds alike, as
long as the decoder's networks differ by less than the margin.

How likely a number is to be that close, hence how a note is coded, depends on the margin. So a margin may depend only
on what both sides know to the last bit: constants, and numbers that were rounded before; see `tolerances`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.compression.stack import Stack
from kvae.compression.tables import Tabled

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]
TOLERANCE = 2e-5
"""By how much outputs may differ between machines, absolute or, above 1, relative: twice what an export allows between
Keras and onnxruntime."""
MAX_MARGIN = 0.25
"""The largest margin: from the next whole number it must be told, too."""
BITS = 14


class Nearest:
    """Rounding to the nearest whole number, with nothing said about it."""

    def __call__(self, positions: Doubles, margins: Doubles) -> Integers:
        """The whole numbers for positions, `(n,)`.

        Args:
            positions: the numbers.
            margins: by how much each may differ on another machine.
        """
        return nearest(positions)

    def push(self, stack: Stack) -> None:
        """Add to a stack what has to be said about the calls so far."""


class Noted(Nearest):
    """The same, noting where it was close."""

    def __init__(self) -> None:
        self._notes: list[tuple[Integers, Doubles, NDArray[Any]]] = []

    def __call__(self, positions: Doubles, margins: Doubles) -> Integers:
        found, limits = nearest(positions), np.minimum(margins, MAX_MARGIN)
        self._notes.append((found, limits, 0.5 - np.abs(positions - found) < limits))
        return found

    def push(self, stack: Stack) -> None:
        for found, limits, is_close in reversed(self._notes):
            stack.push(found[is_close] % 2, _coins(np.count_nonzero(is_close)))
            stack.push(is_close.astype(np.int64), _closeness(limits))
        self._notes = []


class Told(Nearest):
    """The same, from the notes on a stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def __call__(self, positions: Doubles, margins: Doubles) -> Integers:
        found, limits = nearest(positions), np.minimum(margins, MAX_MARGIN)
        is_close = self._stack.pop(_closeness(limits)) == 1
        parity = np.array(found)
        parity[is_close] = self._stack.pop(_coins(np.count_nonzero(is_close)))
        return found + ((found - parity) % 2) * np.where(positions > found, 1, -1)


def tolerances(rounding: Nearest, values: Doubles) -> Doubles:
    """By how much outputs `(n,)` may differ on another machine: `TOLERANCE` times 1, or a power of 2 for those above 1.

    Which power that is, is rounded with notes itself, because a number may be on the other side of it elsewhere. It
    changes 3.5 % above powers of 2, because networks often end at those, and a note there would be dear.
    """
    above = 0.45 + np.log2(np.maximum(np.abs(values), 0.75))  # rounded to 0 up to 1.035, to 1 up to 2.07
    octaves = rounding(above, np.full(values.size, TOLERANCE / np.log(2)))
    return np.ldexp(TOLERANCE, octaves)


def nearest(positions: Doubles) -> Integers:
    """The nearest whole numbers."""
    return np.rint(np.clip(positions, -(2.0**40), 2.0**40)).astype(np.int64)


def _coins(count: Any) -> Tabled:
    half = 2 ** (BITS - 1)
    return Tabled(np.tile(np.array([0, half, 2 * half]), (int(count), 1)), BITS)


def _closeness(margins: Doubles) -> Tabled:
    """How often a number is within its margin, if it is anywhere between two whole numbers."""
    often = np.clip(np.floor(2 * margins * 2**BITS), 1, 2**BITS - 1).astype(np.int64)
    return Tabled(np.stack([np.zeros_like(often), 2**BITS - often, np.full_like(often, 2**BITS)], axis=1), BITS)
