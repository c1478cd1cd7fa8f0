"""The energy distance: how far samples are from real images, in one number that needs no extra network.

2 E|X - Y| - E|X - X'| - E|Y - Y'| for samples X, images Y and Euclidean distances between them is 0 for equal
distributions, and positive otherwise (Székely & Rizzo, Energy statistics, 2013). It compares whole images, pixel by
pixel: samples that are blurred, of the wrong kinds, or all alike are far away.
"""

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def distance(samples: NDArray[np.float32], images: NDArray[np.float32]) -> tuple[float, float]:
    """The energy distance, in units of Euclidean distance, and its standard error.

    Args:
        samples: `(n, height, width, channels)` in [0, 1], n at least 2.
        images: `(m, height, width, channels)` in [0, 1], m at least 2.

    Returns:
        The unbiased estimate (sometimes below 0 if the distributions are alike), and its first-order standard error
        over samples and images, which is too small if the distance itself is about 0.
    """
    x, y = (np.asarray(images, np.float64).reshape(len(images), -1) for images in (samples, images))
    across, within_x, within_y = _distances(x, y), _distances(x, x), _distances(y, y)
    # Means over the other points: of x to y, of x to the other x, of y to the other y.
    x_to_x = within_x.sum(axis=1) / (len(x) - 1)
    y_to_y = within_y.sum(axis=1) / (len(y) - 1)
    value = 2 * across.mean() - x_to_x.mean() - y_to_y.mean()
    variance = sum(
        np.var(2 * (to_other - to_own), ddof=1) / len(to_own)
        for to_other, to_own in ((across.mean(axis=1), x_to_x), (across.mean(axis=0), y_to_y))
    )
    return float(value), float(np.sqrt(variance))


def _distances(x: Doubles, y: Doubles) -> Doubles:
    squares = np.sum(x**2, axis=1)[:, None] - 2 * x @ y.T + np.sum(y**2, axis=1)
    if x is y:
        np.fill_diagonal(squares, 0.0)
    return np.sqrt(np.maximum(squares, 0.0))
