"""How true a bundle of another precision or format is to the float32 bundle it was made of."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import noise, parity
from kvae.bundle.parity import Difference
from kvae.errors import BundleError
from kvae.evaluation import evaluation
from kvae.files import pictures
from kvae.runtime.bundle import Bundle, Floats

IMPORTANCE_SAMPLES = 50
"""Draws of each posterior for the NLL. Both models meet the same noise: most of it cancels in their difference."""
SEED = 0
NUM_DRAWS = 64
"""Draws of the prior, and images, of `differences`."""
SPEED_ROUNDS = 5


def codes(bundle: Bundle, images: NDArray[np.uint8]) -> Floats:
    """A draw of each image's posterior, `(n, latent_dim)`."""
    posterior = bundle.encode(pictures.to_float32(images))
    return posterior.loc + posterior.scale * noise.standard_normal(SEED, 0, len(images), bundle.manifest.latent_dim)


def differences(original: Bundle, converted: Bundle) -> dict[str, float]:
    """Per output the largest difference, for draws of the prior and their images, as `kvae.bundle.parity.TOLERANCE`
    measures.

    Raises:
        BundleError: graphs of float32 weights differ by more than that.
    """
    manifest = converted.manifest
    z = noise.standard_normal(SEED, 0, NUM_DRAWS, manifest.latent_dim)
    images = original.decode(z)
    worst: dict[str, Difference] = {}
    for graph, values in (("decoder", z), ("encoder", np.rint(images) if manifest.is_of_bits else images)):
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
        BundleError: a figure is beyond `kvae.bundle.parity.LIMITS`, or the encoder's scale is no scale.
    """
    code_error = _code_error(original, converted, images)
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
        "mean_code_error": code_error,
        "nll_lost": asdict(evaluation.paired(lossy, exact)["nll"]),
        "size": 0,
        "float32_size": size(original),
        "speed": speed(converted, original, z),
        "limits": parity.LIMITS[converted.manifest.precision],
    }
    _check_limits(found, converted.manifest.precision)
    return found


def size(bundle: Bundle) -> int:
    """Bytes of the graphs."""
    return sum(path.stat().st_size for path in bundle.graphs.values())


def _code_error(original: Bundle, converted: Bundle, images: NDArray[np.uint8]) -> float:
    """The mean absolute difference of `loc` and `scale`, of the one of them that is off more."""
    exact, lossy = (bundle.encode(pictures.to_float32(images)) for bundle in (original, converted))
    if not (np.isfinite(lossy.loc).all() and np.isfinite(lossy.scale).all() and lossy.scale.min() > 0):
        raise BundleError(
            f"{converted.manifest.precision}: the encoder's loc must be finite, its scale positive; on test images "
            f"they are not. No bundle was written."
        )
    return max(float(np.abs(found - expected).mean()) for found, expected in zip(lossy, exact, strict=True))


def _check_limits(found: dict[str, Any], precision: str) -> None:
    for figure, value, words in (
        ("mean_pixel_error", found["mean_pixel_error"], "mean pixel error"),
        ("mean_code_error", found["mean_code_error"], "mean error of codes"),
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
