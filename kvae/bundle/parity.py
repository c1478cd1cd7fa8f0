"""How much two computations of the same tensor differ: Keras and onnxruntime, or onnxruntime on two machines."""

from typing import Any, NamedTuple

import numpy as np

from kvae.errors import BundleError

TOLERANCE = 1e-5
"""Largest difference between Keras and onnxruntime, both on a CPU, that an export may have in any output.

It is absolute for `mean`, `loc` and `scale`. The values of the outputs `RELATIVE` have no bound (the logit of a black
background pixel is -50 in a well-trained model, where float32 itself has steps of 4e-6), so a difference there is
divided by the value's magnitude if that is above 1.
"""
RELATIVE = ("likelihood_parameters", "log_prob", "z")
GROUPS = 10.0
"""What a difference of `loc` or `scale` is divided by if the latent dimensions are in groups: their posterior is
computed group by group, from the draws of the groups before, and so through several times as many layers, each of which
rounds. Of a ladder after 70 epochs `loc` differed by 2.0e-5 prior standard deviations, with values up to 4."""

LIMITS = {
    "float16": {"mean_pixel_error": 1e-3, "mean_code_error": 1e-2, "nll_lost": 0.1},
    "int8": {"mean_pixel_error": 1e-2, "mean_code_error": 0.1, "nll_lost": 1.0},
}
"""What each precision may cost. A pixel error of 1e-3 is a quarter of a grey level, which nobody sees; 1e-2 is two and
a half levels, which are visible side by side. Codes, `loc` and `scale`, are in units of the prior's standard deviation.
0.1 nats is within the standard error of any test set, and 1 nat is still below that of most."""


class Difference(NamedTuple):
    """How much one output differs."""

    worst: float
    """The largest difference, measured as `TOLERANCE` says; NaN if a value is NaN."""
    mean: float
    """The mean absolute difference."""
    where: tuple[int, ...]
    """The index of the largest difference, the image first."""
    expected: float
    """The expected value there."""
    found: float
    """The value found there."""
    size: int
    """How many numbers were compared."""
    batch_size: int
    """Images in the call with the largest difference."""


def difference(name: str, found: Any, expected: Any, in_groups: bool = False) -> Difference:
    """Compare an output with its expected values.

    Args:
        name: the output's name in the contract.
        found: its values, `(batch, ...)`.
        expected: the expected values.
        in_groups: whether the model's latent dimensions are in groups.

    Raises:
        BundleError: the shapes differ.
    """
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise BundleError(f"'{name}' has shape {found.shape}; expected {expected.shape}.")
    unit: Any = np.maximum(1.0, np.abs(expected)) if name in RELATIVE else 1.0
    if in_groups and name in ("loc", "scale"):
        unit = GROUPS
    with np.errstate(invalid="ignore", over="ignore"):  # infinities become NaN, which exceeds every tolerance
        absolute = np.abs(found - expected)
        scaled = absolute / unit
        mean = float(np.mean(absolute, dtype=np.float64))
    where = np.unravel_index(np.argmax(scaled), scaled.shape)  # argmax treats NaN as the largest
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
    """Merge the difference of one more call into `worst`, by output: keep the larger one, and pool the means."""
    old = worst.get(name)
    if old is None:
        worst[name] = new
        return
    size = old.size + new.size
    larger = old if np.isnan(old.worst) or old.worst >= new.worst else new  # NaN stays once it has occurred
    worst[name] = larger._replace(mean=(old.mean * old.size + new.mean * new.size) / size, size=size)
