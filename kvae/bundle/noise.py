"""The noise behind a sample: a specification, so that programs in every language draw the same codes.

The noise of image `i` under seed `s` depends only on `(s, i)` (and on latent_dim, its length):

1. `B = ceil(latent_dim / 4)` blocks of Philox4x64-10 (Salmon et al., SC 2011, doi 10.1145/2063384.2063405) with key
   `(s, 0)` and the 256-bit counters `i * B + 1, ..., i * B + B`, each giving four 64-bit words. (The `+ 1` comes from
   numpy, whose generator increments its counter before it draws.)
2. Each pair of words `(a, b)` becomes two uniforms, `u = ((a >> 11) + 1) / 2^53` in (0, 1] and `v = (b >> 11) / 2^53`
   in [0, 1), in float64.
3. Box-Muller in float64: `r = sqrt(-2 ln u)`, and the two normals `r cos(2 pi v)` and `r sin(2 pi v)`, in this order.
4. The first latent_dim of them, rounded to float32, are the noise.

Hence sample(10) is the start of sample(100), and any machine can make images 5,000,000 to 6,000,000 by itself. The
words have the same bits everywhere; in step 3 the logarithm, sine and cosine of other libraries may differ in the last
bit.

A choice of one of K things, such as a mixture's component or a label, is exact everywhere. Their cumulative weights are
integers, `0 <= c_1 <= ... <= c_K = 2^53`. That of image `i` under seed `s` in stream `t` (`COMPONENTS` or `LABELS`):

1. The first word `w` of the block with key `(s, t)` and counter `i + 1`.
2. The number of cumulative weights that are at most `w >> 11`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.fields import WHOLE
from kvae.errors import KvaeError

WORDS_PER_BLOCK = 4
COMPONENTS = 1
"""The second word of the key for the components of a mixture; that of the noise is 0."""
LABELS = 2
"""The same for labels."""
CHAINS = 3
"""The same for Markov chains; see `Stream`."""
PIXELS = 4
"""The same for draws of pixels from the likelihood."""
MAX_WORD = 2**64 - 1


def standard_normal(seed: int, start: int, count: int, dim: int) -> NDArray[np.float32]:
    """Standard-normal noise of the images `start` to `start + count - 1`.

    Args:
        seed: 0 to 2^64 - 1.
        start: index of the first image, 0 to 2^64 - 1.
        count: number of images.
        dim: numbers per image (latent_dim), at least 1.

    Returns:
        `(count, dim)` float32.

    Raises:
        KvaeError: the seed, the start, or the index of the last image is out of range.
    """
    return standard_normals(seed, [start], count, dim)[0]


def standard_normals(seed: int, starts: Sequence[int], count: int, dim: int) -> NDArray[np.float32]:
    """`standard_normal` from each of several starts, `(len(starts), count, dim)`: faster than separate calls."""
    for start in starts:
        check(seed, start, count)
    blocks = -(-dim // WORDS_PER_BLOCK)
    num_words = count * blocks * WORDS_PER_BLOCK
    words = np.empty((len(starts), num_words), np.uint64)
    for row, start in zip(words, starts, strict=True):
        row[:] = np.random.Philox(key=int(seed), counter=int(start) * blocks).random_raw(num_words)
    normals = _normals(words).reshape(len(starts), count, blocks * WORDS_PER_BLOCK)
    return normals[:, :, :dim].astype(np.float32)


class Stream:
    """Numbers for what needs too many, or an unknown number, to name each by its own counter, such as a Markov chain.

    They are a function of the arguments, and of the order of the calls, alone, whatever the version of numpy.

    Args:
        seed: 0 to 2^64 - 1.
        stream: the second word of the key; `CHAINS`.
        *place: up to two words of the counter, such as the number of an image: streams of different places do not meet.
    """

    def __init__(self, seed: int, stream: int, *place: int) -> None:
        check(seed, 0)
        counter = np.array([0, 0, *place, *[0] * (2 - len(place))], np.uint64)
        self._words = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=counter)

    def uniforms(self, *shape: int) -> NDArray[np.float64]:
        """Uniform numbers in (0, 1), both ends excluded."""
        words = self._words.random_raw(math.prod(shape)) >> np.uint64(11)
        found: NDArray[np.float64] = (words.astype(np.float64) + 0.5) * 2.0**-53
        return found.reshape(shape)

    def normals(self, *shape: int) -> NDArray[np.float64]:
        """Standard normal numbers."""
        size = math.prod(shape)
        words = self._words.random_raw(size + size % 2)
        return _normals(words[None]).ravel()[:size].reshape(shape)


def _normals(words: NDArray[np.uint64]) -> NDArray[np.float64]:
    """The normals that words, `(n, an even number)`, become by steps 2 and 3, in their order. Words are overwritten."""
    words >>= np.uint64(11)
    uniform = (words[:, 0::2].astype(np.float64) + 1.0) * 2.0**-53
    turn = words[:, 1::2].astype(np.float64) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log(uniform))
    angle = 2.0 * np.pi * turn
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def choices(seed: int, start: int, count: int, cumulative: Sequence[int], stream: int) -> NDArray[np.int64]:
    """Which of K things was chosen for the images `start` to `start + count - 1`, `(count,)`, each from 0 to K - 1.

    Args:
        seed: 0 to 2^64 - 1.
        start: index of the first image, 0 to 2^64 - 1.
        count: number of images.
        cumulative: the K cumulative weights, as `cumulative` makes them.
        stream: `COMPONENTS` or `LABELS`.

    Raises:
        KvaeError: the seed, the start, or the index of the last image is out of range.
    """
    check(seed, start, count)
    key = np.array([seed, stream], np.uint64)
    words = np.random.Philox(key=key, counter=int(start)).random_raw(count * WORDS_PER_BLOCK)[::WORDS_PER_BLOCK]
    found = np.searchsorted(np.array(cumulative, np.uint64), words >> np.uint64(11), side="right")
    return found.astype(np.int64)


def cumulative(weights: NDArray[np.floating[Any]]) -> list[int]:
    """Cumulative weights as integers up to `WHOLE`, for weights `(K,)` of at least 0, of which one is above 0.

    Each is rounded, so a probability is off by at most 2^-53.
    """
    share = np.cumsum(np.asarray(weights, np.float64))
    found = [min(WHOLE, int(value)) for value in np.rint(share / share[-1] * WHOLE).tolist()]
    # Sums may round down: all from the last weight above 0 on are the whole.
    last = int(np.flatnonzero(np.asarray(weights))[-1])
    return found[:last] + [WHOLE] * (len(found) - last)


def check(seed: int, start: int, count: int = 1) -> None:
    """Raise KvaeError if a seed, or the index of one of `count` images, is out of range."""
    for name, value in (("seed", seed), ("start", start)):
        if not isinstance(value, (int, np.integer)) or not 0 <= value <= MAX_WORD:
            raise KvaeError(f"{name} must be an integer between 0 and 2^64 - 1; got {value}.")
    if start + count - 1 > MAX_WORD:
        raise KvaeError(f"start must be at most 2^64 - {count} for {count} images; got {start}.")
