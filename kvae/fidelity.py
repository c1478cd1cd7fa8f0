"""How true a bundle of another precision or format is to the float32 bundle it was made of."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae import evaluation, noise, parity
from kvae.errors import BundleError
from kvae.parity import Difference
from kvae.runtime import Bundle, Floats

LIMITS = {
    "float16": {"mean_pixel_error": 1e-3, "nll_lost": 0.1},
    "int8": {"mean_pixel_error": 1e-2, "nll_lost": 1.0},
}
"""What a precision may cost. 1e-3 is a quarter of a grey level, which nobody sees, 1e-2 two and a half levels, which
show side by side. In nats, 0.1 is within the standard error of any test set, and 1 still below that of most."""
IMPORTANCE_SAMPLES = 50
"""Draws of each posterior for the NLL. Both models meet the same noise: most of it cancels in their difference."""
SEED = 0
NUM_DRAWS = 64
"""Draws of the prior, and images, of `differences`."""
SPEED_ROUNDS = 5


def pixels(images: NDArray[np.uint8]) -> Floats:
    """Bytes as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255)


def codes(bundle: Bundle, images: NDArray[np.uint8]) -> Floats:
    """A draw of each image's posterior, `(n, latent_dim)`."""
    posterior = bundle.encode(pixels(images))
    return posterior.loc + posterior.scale * noise.standard_normal(SEED, 0, len(images), bundle.manifest.latent_dim)


def differences(original: Bundle, converted: Bundle) -> dict[str, float]:
    """Per output the largest difference, for draws of the prior and their images, as `kvae.parity.TOLERANCE` measures.

    Raises:
        BundleError: graphs of float32 weights differ by more than that.
    """
    manifest = converted.manifest
    z = noise.standard_normal(SEED, 0, NUM_DRAWS, manifest.latent_dim)
    images = original.decode(z)
    worst: dict[str, Difference] = {}
    for graph, values in (("decoder", z), ("encoder", np.rint(images) if manifest.binarize == "dynamic" else images)):
        names = [tensor["name"] for tensor in manifest.tensors[graph]["outputs"]]
        found, expected = (bundle.run(graph, values, names) for bundle in (converted, original))
        for output in zip(names, found, expected, strict=True):
            parity.merge(worst, output[0], parity.difference(*output))
    for name, difference in worst.items():
        if manifest.precision == "float32" and not difference.worst <= parity.TOLERANCE:
            raise BundleError(
                f"'{name}' differs from the graph it was made of by up to {difference.worst:.2g}, more than the "
                f"{parity.TOLERANCE:g} allowed; no bundle was written."
            )
    return {name: difference.worst for name, difference in worst.items()}


def compare(
    original: Bundle,
    converted: Bundle,
    images: NDArray[np.uint8],
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The manifest's field `conversion` (docs/bundle-format.md), but for its `size`, which is 0 here.

    Args:
        original: the float32 bundle.
        converted: the one made of it.
        images: test images, uint8 `(n, height, width, channels)`, as the model meets them.
        progress: called with the number of images evaluated since the last call, and that of all to be evaluated.

    Raises:
        BundleError: a figure is beyond `LIMITS`, or the encoder's scale is no scale.
    """
    _check_scale(converted, images)
    z = codes(original, images)
    error = np.abs(converted.decode(z).astype(np.float64) - original.decode(z))
    report = (lambda done: progress(done, 2 * len(images))) if progress else None
    lossy, exact = (
        evaluation.evaluate(bundle, images, IMPORTANCE_SAMPLES, SEED, "posterior", report)
        for bundle in (converted, original)
    )
    found = {
        "num_images": len(images),
        "split": "test",
        "worst_pixel_error": float(error.max()),
        "mean_pixel_error": float(error.mean()),
        "nll_lost": asdict(evaluation.paired(lossy, exact)["nll"]),
        "size": 0,
        "float32_size": size(original),
        "speed": speed(converted, original, z),
        "limits": LIMITS[converted.manifest.precision],
    }
    _check_limits(found, converted.manifest.precision)
    return found


def size(bundle: Bundle) -> int:
    """Bytes of the graphs."""
    return sum(path.stat().st_size for path in bundle.graphs.values())


def _check_scale(bundle: Bundle, images: NDArray[np.uint8]) -> None:
    posterior = bundle.encode(pixels(images))
    if not (np.isfinite(posterior.loc).all() and np.isfinite(posterior.scale).all() and posterior.scale.min() > 0):
        raise BundleError(
            f"{bundle.manifest.precision}: the encoder's loc must be finite, its scale positive; on test images they "
            f"are not. No bundle was written."
        )


def _check_limits(found: dict[str, Any], precision: str) -> None:
    for figure, value, words in (
        ("mean_pixel_error", found["mean_pixel_error"], "mean pixel error"),
        ("nll_lost", found["nll_lost"]["value"], "NLL lost in nats"),
    ):
        limit = found["limits"][figure]
        if not value <= limit:  # a NaN is not, either
            raise BundleError(
                f"{precision} costs this model too much: the {words} is {value:.3g}, more than the {limit:g} allowed; "
                f"no bundle was written. Stay with another precision."
            )


def speed(one: Bundle, other: Bundle, z: Floats) -> float:
    """How many times as fast as `other` `one` decodes `z`: both in turn, the fastest of several rounds."""
    seconds: dict[Bundle, list[float]] = {one: [], other: []}
    for _ in range(1 + SPEED_ROUNDS):
        for bundle, times in seconds.items():
            start = time.perf_counter()
            bundle.decode(z)
            times.append(time.perf_counter() - start)
    return min(seconds[other][1:]) / min(seconds[one][1:])
