"""p(x|z) of a model as tables of integers: of the 256 levels of an 8-bit image, or of bits."""

from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kvae.compression.rounding import TOLERANCE, Nearest, tolerances
from kvae.compression.stack import Intervals
from kvae.compression.tables import OCTAVE, Bits, LocationScale, logistic
from kvae.errors import KvaeError

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
LEVELS = 256


class Pixels(Protocol):
    """How the values of images are coded."""

    def symbols(self, images: Bytes) -> NDArray[np.int64]:
        """The values of images, in C order, as numbers from 0."""

    def images(self, symbols: NDArray[np.int64]) -> Bytes:
        """The inverse, `(values,)`."""

    def intervals(self, parameters: Floats, rounding: Nearest) -> Intervals:
        """The distributions of all values of images, from the decoder's `likelihood_parameters` of them."""


class Levels:
    """The levels of 8-bit images under a discretised logistic likelihood."""

    def symbols(self, images: Bytes) -> NDArray[np.int64]:
        return images.ravel().astype(np.int64)

    def images(self, symbols: NDArray[np.int64]) -> Bytes:
        return symbols.astype(np.uint8)

    def intervals(self, parameters: Floats, rounding: Nearest) -> Intervals:
        table = _levels()
        loc, scale = (part.ravel() * (LEVELS - 1) for part in np.split(parameters.astype(np.float64), 2, axis=-1))
        relative = OCTAVE * TOLERANCE / np.log(2)
        scales = rounding(table.positions(scale), np.full(scale.size, relative))
        steps = table.steps[scales]
        margins = tolerances(rounding, loc / (LEVELS - 1)) * (LEVELS - 1) / steps
        return table.at(rounding(loc / steps, margins), scales)


class BlackOrWhite:
    """Images of 0 and 1 under a Bernoulli likelihood."""

    def symbols(self, images: Bytes) -> NDArray[np.int64]:
        return (images.ravel() > 0).astype(np.int64)

    def images(self, symbols: NDArray[np.int64]) -> Bytes:
        return (symbols * (LEVELS - 1)).astype(np.uint8)

    def intervals(self, parameters: Floats, rounding: Nearest) -> Intervals:
        logits = np.clip(parameters.ravel().astype(np.float64), -Bits.LARGEST, Bits.LARGEST)
        return _bits().at(rounding(Bits.STEPS * logits, Bits.STEPS * tolerances(rounding, logits)))


_KINDS: dict[str, type[Levels] | type[BlackOrWhite]] = {"discretized_logistic": Levels, "bernoulli": BlackOrWhite}


def of(likelihood: str) -> Pixels:
    """The coding of images under a likelihood.

    Raises:
        KvaeError: it is not a probability of 8-bit levels or of bits.
    """
    if likelihood not in _KINDS:
        raise KvaeError(
            f"this model's likelihood, {likelihood}, is not a probability of pixel values, so images cannot be coded "
            f"with it: use a model of 8-bit images (--likelihood discretized_logistic) or of bits (bernoulli)."
        )
    return _KINDS[likelihood]()


def exact(likelihood: str, images: Floats, names: list[str]) -> Bytes:
    """Images in [0, 1] as the bytes that they are.

    Raises:
        KvaeError: an image is not one of 8 bits, or not one of 0 and 1 for a model of bits.
    """
    levels = np.rint(images * (LEVELS - 1))
    off = np.abs(images * (LEVELS - 1) - levels).reshape(len(images), -1).max(axis=1)
    if np.any(off > 1e-3):
        name = names[int(np.argmax(off > 1e-3))]
        raise KvaeError(f"{name} has values between the 256 levels of an 8-bit image; only 8-bit images can be coded.")
    if likelihood == "bernoulli":
        is_grey = np.any((levels > 0) & (levels < LEVELS - 1), axis=(1, 2, 3))
        if np.any(is_grey):
            raise KvaeError(
                f"{names[int(np.argmax(is_grey))]} is grey, and this model knows only the values 0 and 1. Give --model "
                f"a model of 8-bit images, which kvae train --data IMAGES --likelihood discretized_logistic makes."
            )
    return levels.astype(np.uint8)


@cache
def _levels() -> LocationScale:
    from kvae.likelihoods.discretized_logistic import MAX_SCALE, TOP_LEVEL

    return LocationScale(logistic, 14.0, LEVELS, 16, MAX_SCALE * TOP_LEVEL)


@cache
def _bits() -> Bits:
    return Bits()
