"""Sums of softplus over an image, on which most densities are built."""

import numpy as np

from kvae.likelihoods.likelihood import Doubles, Floats


def sum_softplus(values: Floats) -> Doubles:
    """The sum over the last axis of log(1 + exp(values)), `(n,)`; `values` `(n, k)` is overwritten.

    A logarithm per pixel would cost more than the decoder itself. The factors 1 + exp(-|v|) are in [1, 2], so 64 of
    them can be multiplied without overflow before taking a logarithm.
    """
    magnitude = np.abs(values)
    total = np.add(values, magnitude, out=values).sum(axis=1, dtype=np.float32).astype(np.float64) / 2  # max(v, 0)
    factors = np.exp(np.negative(magnitude, out=magnitude), out=magnitude)
    factors += 1
    for _ in range(6):
        columns = factors.shape[1]
        if columns < 2:
            break
        half = columns // 2
        folded = factors[:, : columns - half]
        folded[:, :half] *= factors[:, columns - half :]
        factors = folded
    logarithms: Doubles = np.log(factors).sum(axis=1, dtype=np.float64)
    return total + logarithms
