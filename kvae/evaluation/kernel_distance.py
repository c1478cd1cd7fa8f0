"""The kernel distance between two sets of features: the squared maximum mean discrepancy, estimated without bias.

E k(x, x') + E k(y, y') - 2 E k(x, y) for samples x, images y and the kernel k(x, y) = (x y / num_features + 1)^3, over
pairs of different points. With an ImageNet network's features it is known as KID; of other features its values are on
another scale.

References: Gretton et al., A kernel two-sample test, JMLR 13, 2012; Binkowski et al., arXiv 1801.01401.
"""

import numpy as np

from kvae.evaluation.jackknife import NUM_GROUPS, Doubles, Jackknifed, groups


def distance(samples: Doubles, images: Doubles) -> Jackknifed:
    """The distance between two sets of features, 0 in expectation for equal distributions, so sometimes below 0.

    Args:
        samples: `(n, num_features)`, n at least `2 * jackknife.NUM_GROUPS`.
        images: `(m, num_features)`, likewise.
    """
    across = _sums(samples, images)
    among = [(_sums(points, points), _sizes(points)) for points in (samples, images)]

    def without(group: int | None = None, image_group: int | None = None) -> float:
        kept = [_all_but(group), _all_but(image_group)]
        counts = [keep @ sizes for keep, (_, sizes) in zip(kept, among, strict=True)]
        own = (
            keep @ sums @ keep / (count * (count - 1))
            for keep, count, (sums, _) in zip(kept, counts, among, strict=True)
        )
        return float(sum(own) - 2 * (kept[0] @ across @ kept[1]) / (counts[0] * counts[1]))

    each = range(NUM_GROUPS)
    return Jackknifed(
        without(), (np.array([without(group) for group in each]), np.array([without(None, group) for group in each]))
    )


def _sums(x: Doubles, y: Doubles) -> Doubles:
    """The sums of the kernel over the pairs of each group of x and each of y; of one set, no point meets itself."""
    found = np.empty((NUM_GROUPS, NUM_GROUPS))
    for row, part in enumerate(groups(len(x))):
        for column, other in enumerate(groups(len(y))):
            if x is y and column < row:
                found[row, column] = found[column, row]
                continue
            kernel = (x[part] @ y[other].T / x.shape[1] + 1.0) ** 3
            found[row, column] = kernel.sum() - (np.trace(kernel) if x is y and row == column else 0.0)
    return found


def _sizes(points: Doubles) -> Doubles:
    return np.array([part.stop - part.start for part in groups(len(points))], np.float64)


def _all_but(group: int | None) -> Doubles:
    kept = np.ones(NUM_GROUPS)
    if group is not None:
        kept[group] = 0.0
    return kept
