"""How faithful a converted bundle is to the float32 bundle that it was made from."""

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
from kvae.evaluation.estimates import Estimate
from kvae.files import pictures
from kvae.runtime import latents
from kvae.runtime.bundle import Bundle

IMPORTANCE_SAMPLES = 50
"""Draws from each posterior for the NLL. Both models get the same noise: most of it cancels in their difference."""
SEED = 0
NUM_DRAWS = 64
"""Draws from the prior, and images, in `differences`."""
SPEED_ROUNDS = 5


Labels = NDArray[np.int64] | None


def inputs(bundle: Bundle, images: NDArray[np.uint8], labels: Labels = None) -> dict[str, dict[str, NDArray[Any]]]:
    """Real inputs of the encoder and the decoder: images, and one draw from each image's posterior.

    Args:
        bundle: the model.
        images: `(n, height, width, channels)`, binarised if the model's images are.
        labels: their labels, `(n,)`, if the model has labels.
    """
    pixels = pictures.to_float32(images)
    epsilon = noise.standard_normal(SEED, 0, len(images), bundle.manifest.latent_dim)
    label = {} if labels is None else {"label": labels}
    own_noise = {} if bundle.manifest.groups is None else {"noise": epsilon}
    encoder = {"images": pixels} | label | own_noise
    found = bundle.run("encoder", encoder, ["loc", "scale"])
    z = latents.posterior_draws(found["loc"], found["scale"], epsilon)
    return {"encoder": encoder, "decoder": {"z": z} | label}


def differences(original: Bundle, converted: Bundle) -> dict[str, float]:
    """The largest difference of each output, for draws from the prior and their images; see
    `kvae.bundle.parity.TOLERANCE`.

    Raises:
        BundleError: graphs with float32 weights differ by more than that.
    """
    manifest = converted.manifest
    label: dict[str, NDArray[Any]] = {}
    if manifest.labels is not None:
        label = {"label": np.arange(NUM_DRAWS, dtype=np.int64) % len(manifest.labels)}
    epsilon = noise.standard_normal(SEED, 0, NUM_DRAWS, manifest.latent_dim)
    given: dict[str, dict[str, NDArray[Any]]] = {}
    z = epsilon
    if manifest.has_own_prior:
        choice: dict[str, NDArray[Any]] = {}
        if manifest.components is not None:
            choice = {"component": np.arange(NUM_DRAWS, dtype=np.int64) % len(manifest.components)}
        given["prior"] = {"noise": epsilon} | choice | label
        z = original.run("prior", given["prior"])["z"]
        given["prior_density"] = {"z": z} | label
    given["decoder"] = {"z": z} | label
    images = original.run("decoder", given["decoder"], ["mean"])["mean"]
    own_noise = {} if manifest.groups is None else {"noise": epsilon}
    given["encoder"] = {"images": np.rint(images) if manifest.is_of_bits else images} | label | own_noise
    worst: dict[str, Difference] = {}
    in_groups = manifest.groups is not None
    for graph in manifest.tensors:
        found, expected = (bundle.run(graph, given[graph]) for bundle in (converted, original))
        for name in expected:
            parity.merge(worst, name, parity.difference(name, found[name], expected[name], in_groups))
    for name, difference in worst.items():
        if manifest.precision == "float32" and not difference.worst <= parity.TOLERANCE:
            raise BundleError(
                f"'{name}' differs from the original graph by up to {difference.worst:.2g}, more than the "
                f"{parity.TOLERANCE:g} allowed; no bundle was written."
            )
    return {name: difference.worst for name, difference in worst.items()}


def compare(
    original: Bundle,
    converted: Bundle,
    images: NDArray[np.uint8],
    progress: Callable[[int, int], None] | None = None,
    labels: Labels = None,
) -> dict[str, Any]:
    """The manifest's field `conversion` (docs/bundle-format.md), except for its `size`, which is 0 here.

    Args:
        original: the float32 bundle.
        converted: the bundle made from it.
        images: test images, uint8 `(n, height, width, channels)`, binarised if the model's images are.
        progress: called with the number of images evaluated since the last call, and the total number to evaluate.
        labels: the images' labels, if the model has labels; the NLL is then -log p(x|y).

    Raises:
        BundleError: a figure exceeds `kvae.bundle.parity.LIMITS`, or a graph breaks its contract.
    """
    given = inputs(original, images, labels)
    code_error = _code_error(original, converted, given["encoder"])
    lossy_mean, mean = (bundle.run("decoder", given["decoder"], ["mean"])["mean"] for bundle in (converted, original))
    error = np.abs(lossy_mean.astype(np.float64) - mean)
    report = (lambda done: progress(done, 2 * len(images))) if progress else None
    lossy, exact = (
        evaluation.evaluate(bundle, images, IMPORTANCE_SAMPLES, SEED, "posterior", report, labels)
        for bundle in (converted, original)
    )
    # With few draws both NLLs are upper bounds; but the draws are the same, so their difference is that of the graphs.
    found = {
        "num_images": len(images),
        "split": "test",
        "worst_pixel_error": float(error.max()),
        "mean_pixel_error": float(error.mean()),
        "mean_code_error": code_error,
        "nll_lost": asdict(Estimate.of(lossy.per_image["nll"] - exact.per_image["nll"])),
        "size": 0,
        "float32_size": size(original),
        "speed": speed(converted, original, given["decoder"]),
        "limits": parity.LIMITS[converted.manifest.precision],
    }
    _check_limits(found, converted.manifest.precision)
    return found


def size(bundle: Bundle) -> int:
    """Size of the graphs in bytes."""
    return sum(len(path.read_bytes()) for path in bundle.graphs.values())


def _code_error(original: Bundle, converted: Bundle, encoder: dict[str, NDArray[Any]]) -> float:
    """The mean absolute difference of `loc` or of `scale`, whichever is larger."""
    exact, lossy = (bundle.run("encoder", encoder) for bundle in (original, converted))
    return max(float(np.abs(lossy[name] - expected).mean()) for name, expected in exact.items())


def _check_limits(found: dict[str, Any], precision: str) -> None:
    for figure, value, words in (
        ("mean_pixel_error", found["mean_pixel_error"], "mean pixel error"),
        ("mean_code_error", found["mean_code_error"], "mean error of codes"),
        ("nll_lost", found["nll_lost"]["value"], "NLL lost in nats"),
    ):
        limit = found["limits"][figure]
        if not value <= limit:  # true for NaN too
            raise BundleError(
                f"{precision} costs this model too much: the {words} is {value:.3g}, more than the {limit:g} allowed; "
                f"no bundle was written. Use another precision."
            )


def speed(one: Bundle, other: Bundle, decoder: dict[str, NDArray[Any]]) -> float:
    """How many times as fast `one` decodes these inputs as `other`: timed in turn, the fastest of several rounds."""
    seconds: dict[Bundle, list[float]] = {one: [], other: []}
    for _ in range(1 + SPEED_ROUNDS):
        for bundle, times in seconds.items():
            start = time.perf_counter()
            bundle.run("decoder", decoder, ["mean"])
            times.append(time.perf_counter() - start)
    return min(seconds[other][1:]) / min(seconds[one][1:])
