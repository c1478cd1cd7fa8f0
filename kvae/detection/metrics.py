"""How well a statistic tells odd images from normal ones, with bootstrap standard errors.

All three numbers depend on the order of the scores alone. A weight for each image makes them those of a bootstrap
sample, in which an image stands as often as its weight says: so the images are sorted once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kvae.errors import KvaeError

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
DETECTION = 0.95
"""The share of odd images that are detected, at which false alarms are counted."""
SAMPLES = 1000
"""Bootstrap samples of a standard error."""
NAMES = {"auroc": "AUROC", "aupr": "AUPR", "fpr_at_95": "false alarms at 95 % detection"}
"""How each number is called in a text."""


@dataclass(frozen=True)
class Metric:
    """A number and its bootstrap standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Metrics:
    """How well scores tell odd images from normal ones."""

    auroc: Metric
    """The area under the ROC curve: the probability that an odd image scores higher than a normal one, and half that of
    a tie. 0.5 is chance."""
    aupr: Metric
    """Average precision, the area under the steps of the precision-recall curve; chance is the share of odd images."""
    fpr_at_95: Metric
    """The share of normal images at or above the highest threshold that detects 95 % of the odd ones."""
    num_normal: int
    num_odd: int

    def as_text(self) -> str:
        """The numbers, a line each."""
        lines = [f"{self.num_odd:,} odd and {self.num_normal:,} normal images"]
        found = {name: getattr(self, name) for name in NAMES}
        lines += [f"{NAMES[name]}  {one.value:.4f} ± {one.standard_error:.4f}" for name, one in found.items()]
        return "\n".join(lines)


def measure(scores: Doubles, is_odd: Bools, seed: int = 0, samples: int = SAMPLES) -> Metrics:
    """How well scores tell odd images from normal ones.

    Args:
        scores: `(n,)`; high is odd.
        is_odd: whether each image is odd, `(n,)`.
        seed: seed of the bootstrap, which draws normal and odd images separately, as many as there are of each.
        samples: number of bootstrap samples.

    Raises:
        KvaeError: a score is NaN, or there are only normal or only odd images.
    """
    wrong = np.flatnonzero(np.isnan(scores))
    if wrong.size:
        raise KvaeError(f"the score of image {wrong[0]:,} is NaN, which cannot be ranked.")
    num_odd = int(is_odd.sum())
    num_normal = len(is_odd) - num_odd
    if not num_odd or not num_normal:
        what = "odd" if num_odd else "normal"
        raise KvaeError(f"all {len(is_odd):,} images are labelled {what}: detection needs odd and normal images.")
    order = np.argsort(scores)[::-1]
    odd_first = is_odd[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = _values(np.where(odd_first, 0, 1), odd_first.astype(int), last_of_ties)
    draws = np.empty((samples, len(found)))
    generator = np.random.default_rng(seed)
    for index in range(samples):
        weights = np.zeros((2, len(order)), int)
        for row, members, count in zip(weights, (~odd_first, odd_first), (num_normal, num_odd), strict=True):
            row[members] = np.bincount(generator.integers(count, size=count), minlength=count)
        draws[index] = _values(weights[0], weights[1], last_of_ties)
    errors = draws.std(axis=0, ddof=1)
    auroc, aupr, fpr = (Metric(value, float(error)) for value, error in zip(found, errors, strict=True))
    return Metrics(auroc, aupr, fpr, num_normal, num_odd)


def _values(normal: NDArray[np.int64], odd: NDArray[np.int64], ends: NDArray[np.int64]) -> tuple[float, float, float]:
    """AUROC, AUPR and the false-alarm rate at 95 % detection.

    Args:
        normal: the weight of each image if it is normal, else 0, from the highest score to the lowest.
        odd: the same for odd images.
        ends: the positions at which a threshold can be: the last image of each run of equal scores.
    """
    false, true = np.cumsum(normal)[ends], np.cumsum(odd)[ends]  # alarms at each threshold
    fpr, recall = false / false[-1], true / true[-1]
    steps = np.diff(recall, prepend=0.0)
    precision = true / np.maximum(false + true, 1)
    auroc = float(np.sum(np.diff(fpr, prepend=0.0) * (recall - steps / 2)))
    return auroc, float(np.sum(steps * precision)), float(fpr[np.argmax(recall >= DETECTION)])
