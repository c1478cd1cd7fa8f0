"""Conformal p-values: how often an image as odd as this one is met among normal images, with a guarantee.

Let s_1 ... s_n be how odd n reference images are, and s how odd another image is. Its p-value is

    p = (1 + number of i with s_i >= s) / (n + 1)

If the image is exchangeable with the reference images, such as another draw from the same source, then p <= alpha has a
probability of at most alpha, for every alpha, whatever the model and the statistic. This is so on average over
references and images. Ties count as "at least as odd", so they make p larger, never smaller.

References: Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; Laxhammar and Falkman, Conformal
prediction for distribution-independent anomaly detection in streaming vessel data, 2010; Bates et al., Testing for
outliers with conformal p-values, arXiv 2104.08279.
"""

import numpy as np
from numpy.typing import NDArray

from kvae.errors import KvaeError

Doubles = NDArray[np.float64]


def p_values(scores: Doubles, reference: Doubles, two_sided: bool = False) -> Doubles:
    """The p-value of each image, `(k,)`, between 1 / (n + 1) and 1.

    Args:
        scores: how odd each image is, `(k,)`; high is odd.
        reference: how odd each reference image is, `(n,)`.
        two_sided: whether scores far from the mean are odd, on either side. The mean is then that of the reference and
            the image together: with the reference's alone, the image would not be treated as the reference images are,
            and the guarantee would not hold.

    Raises:
        KvaeError: there are no reference images, or a score is not finite.
    """
    for name, values in (("scores", scores), ("reference scores", reference)):
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            raise KvaeError(f"the {name} must be finite to be ranked; number {wrong[0]:,} is {values[wrong[0]]:g}.")
    count = len(reference)
    if not count:
        raise KvaeError("p-values need at least one reference image; got none.")
    known = np.sort(reference)
    if not two_sided:
        return (1 + count - np.searchsorted(known, scores)) / (count + 1)
    # With the mean m of all n + 1, s_i is at least as far from m as s if it is not strictly between s and 2 m - s.
    mirrored = 2 * (known.sum() + scores) / (count + 1) - scores
    low, high = np.minimum(scores, mirrored), np.maximum(scores, mirrored)
    nearer = np.searchsorted(known, high) - np.searchsorted(known, low, side="right")
    return (1 + count - np.maximum(nearer, 0)) / (count + 1)


def check_alarm(rate: float, count: int) -> None:
    """Raise KvaeError if no p-value from `count` reference images can be as low as this false-alarm rate.

    Or if it is not a rate between 0 and 1.
    """
    if not 0 < rate < 1:
        raise KvaeError(f"an alarm rate is between 0 and 1; got {rate:g}.")
    if 1 / (count + 1) > rate:
        needed = int(np.ceil(1 / rate - 1e-9)) - 1
        raise KvaeError(
            f"an alarm rate of {rate:g} can never fire with {count:,} reference images, whose lowest p-value is "
            f"1 / {count + 1:,}: give at least {needed:,}, or a higher rate."
        )
