"""Check what a graph computes against the contract, at each call: a stranger's graph can compute anything."""

from collections.abc import Mapping

import numpy as np

from kvae.bundle.manifest import Manifest
from kvae.errors import BundleError
from kvae.runtime.latents import Floats

ROUNDING = 1e-4
"""How far outside of [0, 1] a pixel may lie, in which case it is clipped. A runtime's own approximation of a sigmoid is
off by less than a hundredth of this, and a fortieth of a grey level is not seen; whatever is further off was not
rounded, but computed."""


def check(path: object, manifest: Manifest, results: Mapping[str, Floats]) -> None:
    """Refuse values that the contract does not allow; pixels that are only rounded are clipped in place.

    Their shapes and types need no check, because onnxruntime writes into arrays of the contract's.

    Args:
        path: the graph, for messages.
        manifest: its manifest.
        results: outputs of the graph by name, as it computed them.

    Raises:
        BundleError: `mean` is not in [0, 1], a standard deviation is not positive, or a number is not finite.
    """
    for name, values in results.items():
        low, high = float(values.min()), float(values.max())  # NaN, if one of them is
        if not (np.isfinite(low) and np.isfinite(high)):
            raise _refusal(path, name, "finite", low if not np.isfinite(low) else high)
        if name == "mean" and not (low >= 0.0 and high <= 1.0):
            worst = low if low < 1.0 - high else high
            if not (low >= -ROUNDING and high <= 1.0 + ROUNDING):
                raise _refusal(path, name, "in [0, 1]", worst)
            np.clip(values, 0.0, 1.0, out=values)
        if name == "scale" and not low > 0.0:
            raise _refusal(path, name, "above 0", low)
        if name == "likelihood_parameters":
            _check_scale(path, manifest, values)


def _check_scale(path: object, manifest: Manifest, values: Floats) -> None:
    """The likelihood's scale, which is a part of the last axis, must be positive too."""
    names = manifest.likelihood_parameters
    if "scale" not in names:
        return
    width = values.shape[-1] // len(names)
    first = width * names.index("scale")
    low = float(values[..., first : first + width].min())
    if not low > 0.0:
        raise _refusal(path, "the scale in likelihood_parameters", "above 0", low)


def _refusal(path: object, name: str, expected: str, found: float) -> BundleError:
    return BundleError(
        f"{path} does not keep to its contract: {name} must be {expected}; it is {found:g} for one of these inputs. "
        f"Check it with kvae verify, and export it again."
    )
