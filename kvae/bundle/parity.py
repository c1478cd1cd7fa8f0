"""How far two computations of the same tensor are apart: Keras and onnxruntime, or onnxruntime and itself elsewhere."""

from typing import Any, NamedTuple

import numpy as np

from kvae.errors import BundleError

TOLERANCE = 1e-5
"""Largest difference between Keras and onnxruntime, both on a CPU, that an export may show, in any output.

It is absolute for `mean`, `loc` and `scale`. `likelihood_parameters` has no bound (the logit of a black background
pixel is -50 in a well-trained model, where float32 itself has steps of 4e-6), so there a difference is divided by the
value's magnitude where that is above 1.
"""


LIMITS = {
    "float16": {"mean_pixel_error": 1e-3, "mean_code_error": 1e-2, "nll_lost": 0.1},
    "int8": {"mean_pixel_error": 1e-2, "mean_code_error": 0.1, "nll_lost": 1.0},
}
"""What a precision may cost, by its name. Of a pixel, 1e-3 is a quarter of a grey level, which nobody sees, 1e-2 two
and a half levels, which show side by side. Codes, `loc` and `scale`, are in units of the prior's standard deviation.
In nats, 0.1 is within the standard error of any test set, and 1 still below that of most."""


class Difference(NamedTuple):
    """What one output is off by."""

    worst: float
    """The largest difference, measured as `TOLERANCE` says; NaN where a value is one."""
    mean: float
    """The mean absolute difference."""
    where: tuple[int, ...]
    """Its place, the image first."""
    expected: float
    """The value there."""
    found: float
    """What was found in its place."""
    size: int
    """Numbers compared."""
    batch_size: int
    """Images in the call that the largest is of."""


def difference(name: str, found: Any, expected: Any) -> Difference:
    """Compare an output with what it should be.

    Args:
        name: the output's name in the contract.
        found: its values, `(batch, ...)`.
        expected: what they should be.

    Raises:
        BundleError: the shapes differ.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise BundleError(f"'{name}' has shape {found.shape}; expected {expected.shape}.")
    unit = np.maximum(1.0, np.abs(expected)) if name == "likelihood_parameters" else 1.0
    with np.errstate(invalid="ignore", over="ignore"):  # infinities become a NaN, which no tolerance lets pass
        absolute = np.abs(found - expected)
        scaled = absolute / unit
        mean = float(np.mean(absolute, dtype=np.float64))
    where = np.unravel_index(np.argmax(scaled), scaled.shape)  # argmax takes a NaN for the largest
    return Difference(
        worst=float(scaled[where]),
        mean=mean,
        where=tuple(map(int, where)),
        expected=float(expected[where]),
        found=float(found[where]),
        size=expected.size,
        batch_size=len(expected),
    )


def merge(worst: dict[str, Difference], name: str, new: Difference) -> None:
    """Enter a difference into those of several calls, by output: the larger one stays, the means are pooled."""
    old = worst.get(name)
    if old is None:
        worst[name] = new
        return
    size = old.size + new.size
    larger = old if np.isnan(old.worst) or old.worst >= new.worst else new  # a NaN stays, once it is there
    worst[name] = larger._replace(mean=(old.mean * old.size + new.mean * new.size) / size, size=size)
