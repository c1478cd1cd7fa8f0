"""Whether Markov chains have mixed: the split-R-hat of a number over several chains."""

import numpy as np

from kvae.runtime.latents import Doubles


def split_r_hat(values: Doubles) -> float:
    """How much wider a number is spread over all chains than within half a chain: 1 if they have mixed, else more.

    Each chain is cut into halves, so that a chain that drifts is seen as well. With W the mean variance within the
    halves of length h and B / h the variance of their means, it is sqrt(((h - 1) W / h + B / h) / W).

    Args:
        values: the number at each step of each chain, `(steps, chains)`, at least 4 steps.

    Returns:
        The ratio; infinity if no half moved, although they differ.

    Reference: Gelman et al., Bayesian Data Analysis, third edition, section 11.4; Vehtari et al., arXiv 1903.08008.
    """
    length = len(values) // 2
    halves = np.concatenate([values[:length], values[-length:]], axis=1)
    within = float(halves.var(axis=0, ddof=1).mean())
    between = float(halves.mean(axis=0).var(ddof=1))
    if within == 0:
        return 1.0 if between == 0 else float("inf")
    return float(np.sqrt((length - 1) / length + between / within))
