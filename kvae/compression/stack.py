"""A stack of bits to which symbols are added, and from which they are taken: asymmetric numeral systems (ANS).

A symbol is an interval of the numbers below 2^bits: it has as many of them as it is frequent. To add one, any number in
its interval is added as uniform. Which one is taken from the stack too, so the choice costs nothing: in all, bits minus
the logarithm of the interval's length, which is -log2 p. `constriction` keeps the stack. It is only asked for uniform
numbers, in one call for many symbols, and the intervals are integers, so it computes no probability in floats.

References: Duda, Asymmetric numeral systems, arXiv 1311.2540; Bamler, Understanding entropy coding with ANS,
arXiv 2201.01741 (constriction).
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kvae.errors import DataError, KvaeError

Integers = NDArray[np.int64]
Words = NDArray[np.uint32]
WORD = 32
HEAD = 3
"""Words that stay on the stack: two are the coder's state, which must not run dry."""
CHUNK = 256
"""Symbols of a call of constriction. The stack must hold all bits that they choose from at once."""
SHIFTS_KEY = 6
"""The Philox key of `shifts`."""
COMPONENT = 2**31
"""What stands for the component of a mixture among the latent dimensions in `shifts`."""
INITIAL_KEY = 4
"""The Philox key of the words that a stack begins with; `kvae.bundle.binarization` has those below."""


class Intervals(Protocol):
    """The distributions of n symbols, as integers."""

    @property
    def bits(self) -> int:
        """The total is 2^bits; at most 23."""

    @property
    def count(self) -> int:
        """n."""

    def interval(self, symbols: Integers, part: slice) -> tuple[Integers, Integers]:
        """The first number of each symbol's interval and its length, at least 1; `symbols` are those of `part`."""

    def find(self, values: Integers, part: slice) -> Integers:
        """The symbols in whose intervals these numbers are."""


class Empty(DataError):
    """More was taken from a stack than was on it."""


class Stack:
    """A stack. One that is being filled draws initial words whenever it has too few to choose from.

    Args:
        words: what is on it, the top last.
        key: the Philox key of its initial words; None for a stack that has none left.
    """

    def __init__(self, words: Words | None = None, key: int | None = None) -> None:
        self._constriction = load_constriction()
        self._uniform = self._constriction.model.Uniform()
        self._coder: Any = self._constriction.stack.AnsCoder() if words is None else self._load(words)
        self._key = key
        self.initial = 0
        """Initial words so far; they are below all others."""
        self.information = 0.0
        """Bits of all symbols that were added, less those of the symbols that were taken."""

    def push(self, symbols: Integers, intervals: Intervals, shift: Integers | None = None) -> None:
        """Add symbols.

        Args:
            symbols: the symbols, `(n,)`.
            intervals: their distributions.
            shift: how far their numbers are moved, modulo 2^bits, `(n,)`; see `shifts`.
        """
        for first in range(0, intervals.count, CHUNK):
            part = slice(first, first + CHUNK)
            low, size = intervals.interval(symbols[part], part)
            self._add(low, size, intervals.bits, None if shift is None else shift[part])

    def pop(self, intervals: Intervals, shift: Integers | None = None) -> Integers:
        """Take symbols, `(n,)`: the inverse of `push`, with the same distributions and the same shift."""
        found = np.empty(intervals.count, np.int64)
        for first in reversed(range(0, intervals.count, CHUNK)):
            part = slice(first, first + CHUNK)
            count = len(found[part])
            self._reserve(count * intervals.bits)
            values = self._decode(self._uniform, np.full(count, 2**intervals.bits, np.int32))
            if shift is not None:
                values = (values + shift[part]) % 2**intervals.bits
            found[part] = intervals.find(values, part)
            low, size = intervals.interval(found[part], part)
            self._remove(values - low, size, intervals.bits)
        return found

    def _add(self, low: Integers, size: Integers, bits: int, shift: Integers | None) -> None:
        if np.any(size < 1):
            raise Empty("a symbol that was not drawn is on the stack.")
        self._reserve(len(low) * bits)
        offset = np.zeros(len(low), np.int64)
        chosen = size > 1  # constriction has no distribution over one number
        offset[chosen] = self._decode(self._uniform, size[chosen].astype(np.int32))
        numbers = low + offset if shift is None else (low + offset - shift) % 2**bits
        self._coder.encode_reverse(numbers.astype(np.int32), self._uniform, np.full(len(low), 2**bits, np.int32))
        self.information += float(np.sum(bits - np.log2(size)))

    def _remove(self, offset: Integers, size: Integers, bits: int) -> None:
        chosen = size > 1
        sizes = size[chosen].astype(np.int32)
        self._coder.encode_reverse(offset[chosen].astype(np.int32), self._uniform, sizes)
        self.information -= float(np.sum(bits - np.log2(size)))

    def _decode(self, model: Any, sizes: NDArray[np.int32]) -> Integers:
        found: Integers = self._coder.decode(model, sizes).astype(np.int64)
        if self._coder.num_words() < 2:
            raise Empty("more was taken from the stack than was on it.")
        return found

    def _reserve(self, bits: int) -> None:
        """See to it that so many bits can be taken."""
        have = self._coder.num_words()
        missing = HEAD + -(-bits // WORD) - have
        if missing <= 0:
            return
        if self._key is None:
            return  # if they are missing, it shows when they are taken
        words = initial_words(self._key, self.initial + missing)[:missing]
        self.initial += missing
        self._coder = self._load(np.concatenate([words, self.words()]))

    def words(self) -> Words:
        """What is on the stack, the top last."""
        found: Words = self._coder.get_compressed()
        return found

    def _load(self, words: Words) -> Any:
        if len(words) < 2 or not words[-1]:
            raise Empty("these words are not a stack.")
        return self._constriction.stack.AnsCoder(words)


def shifts(image: int, first: int, count: int, bits: int) -> Integers:
    """Random numbers below 2^bits, `(count,)`, that depend on the image and the dimension alone.

    What lies on top of a stack is only as random as the symbols there fit their distributions, and codes z fit p(z)
    badly in one image. A symbol that is taken from it must be a fair draw all the same, so its number is shifted.

    Args:
        image: the first image of the batch.
        first: the first of the latent dimensions, or `COMPONENT`, so that no two draws are shifted alike.
        count: how many numbers.
        bits: those of the intervals.
    """
    words = np.random.Philox(key=np.array([SHIFTS_KEY, 2**32 * image + first], np.uint64)).random_raw(count)
    return (words >> np.uint64(64 - bits)).astype(np.int64)


def initial_words(key: int, count: int) -> Words:
    """The first words of a stack as it begins, `(count,)`, the top last, so that fewer are the last of more."""
    raw = np.random.Philox(key=key).random_raw((count + 1) // 2)
    words = np.stack([raw >> np.uint64(WORD), raw & np.uint64(2**WORD - 1)], axis=1).ravel()[:count]
    words = words.astype(np.uint32)
    words[:1] |= np.uint32(1)  # the top is not 0
    return words[::-1]


def load_constriction() -> Any:
    """constriction's stream coders.

    Raises:
        KvaeError: it is not installed; the message says how to install it.
    """
    try:
        import constriction
    except ModuleNotFoundError as error:
        if error.name != "constriction":
            raise
        from kvae.machine import extras  # needed only for this error

        raise KvaeError(f"kvae compress and decompress need constriction; {extras.advice('compress')}") from None
    return constriction.stream
