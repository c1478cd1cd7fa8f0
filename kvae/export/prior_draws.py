"""Whether a prior's `from_noise` draws from the distribution that the prior returns."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.export.functions import called
from kvae.model.calls import takes_label
from kvae.model.priors import Prior

DRAWS = 20_000
MAX_NUMBERS = 2**24
"""Most numbers that are drawn; of a mixture, TFP draws from each component."""
MAX_LABELS = 10
CHANCE = 1e-9
"""The probability with which draws from the right distribution are refused, for each latent dimension."""


def check(prior: Prior, components: list[int] | None) -> None:
    """Compare each dimension's draws with TFP's own by the Kolmogorov-Smirnov test; the seeds are fixed.

    Nothing is compared if TFP cannot draw from the distribution. Of many labels, the first `MAX_LABELS` are compared.

    Args:
        prior: the prior.
        components: the cumulative weights of its components, if it is a mixture.

    Raises:
        KvaeError: they differ by more than chance explains.
    """
    labels = range(min(prior.num_labels, MAX_LABELS)) if takes_label(prior) and prior.num_labels else [None]
    most = MAX_NUMBERS // (prior.latent_dim * len(components or [1]))
    count = max(1, min(DRAWS, most) // len(labels))
    limit = float(np.sqrt(-np.log(CHANCE / 2) / count))  # of the test for two samples of the same size
    epsilon = tf.constant(noise.standard_normal(0, 0, count, prior.latent_dim))
    component = None if components is None else noise.choices(0, 0, count, components, noise.COMPONENTS)
    for number in labels:
        label = None if number is None else np.full(count, number, np.int64)
        try:
            shape = [count] if label is None else []
            expected = np.asarray(called(prior, label=label).sample(shape, seed=tf.constant([0, 0])))
        except (NotImplementedError, TypeError, ValueError):  # TFP and users' classes have no common error for it
            return
        found = np.asarray(prior.from_noise(epsilon, component, label))
        gaps = [_gap(*pair) for pair in zip(found.T, expected.T, strict=True)]
        worst = int(np.argmax(gaps))
        if gaps[worst] > limit:
            given = "" if number is None else f" for label {number}"
            raise KvaeError(
                f"from_noise of the prior {type(prior).__name__} does not draw from the distribution that the prior "
                f"returns{given}: of latent dimension {worst}, the distribution functions differ by {gaps[worst]:.2g}; "
                f"by chance, at most {limit:.2g}."
            )


def _gap(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The largest difference between two samples' distribution functions."""
    one, other = np.sort(one), np.sort(other)
    points = np.concatenate([one, other])
    shares = [np.searchsorted(values, points, side="right") / len(values) for values in (one, other)]
    return float(np.max(np.abs(shares[0] - shares[1])))
