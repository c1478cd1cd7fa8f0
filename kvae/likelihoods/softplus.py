"""Sums of softplus over an image, which most densities are made of."""

import numpy as np

from kvae.likelihoods.likelihood import Doubles, Floats


def sum_softplus(values: Floats) -> Doubles:
    """The sum over the last axis of log(1 + exp(values)), `(n,)`; `values` `(n, k)` is overwritten.

    Logarithms of single pixels would cost more than the decoder itself. The factors 1 + exp(-|v|) lie in [1, 2], so
    64 of them can be multiplied before a logarithm is taken, without overflow.
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
