"""Checks of `kvae verify` on what a bundle's graphs compute."""

import hashlib
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import noise, parity
from kvae.bundle.folder import REFERENCE
from kvae.bundle.manifest import Manifest
from kvae.bundle.parity import Difference
from kvae.checks.file_checks import Finding, Skipped, Subject
from kvae.errors import BundleError
from kvae.files import arrays
from kvae.files.text import printable
from kvae.runtime import latents
from kvae.runtime.bundle import Bundle
from kvae.runtime.outputs import ROUNDING

Floats = NDArray[np.float32]
Inputs = dict[str, NDArray[Any]]
BATCHES = (1, 3, 64, 257)
"""Batch sizes: the smallest, an odd one, a power of two, and one more than kvae itself ever uses."""
FAR = 30.0
"""Length of codes far outside of N(0, I), whose draws in 16 dimensions are hardly ever longer than 7."""
CUDA_TOLERANCE = 1e-4
"""Tolerance on a GPU. TF32, which would be 1e-3 off, is switched off, so the GPU computes in float32; but cuDNN may
choose Winograd or FFT convolutions, whose rounding is some ten times that of the CPU's direct sums."""
MEAN_LIMITS = {"mean": "mean_pixel_error", "loc": "mean_code_error", "scale": "mean_code_error"}
"""The conversion limit that applies to the mean error of each output."""
MAX_ROWS = 1024
"""The most inputs of a reference; kvae writes four."""
NOISE_SHAPE = (256, 16)
NOISE_SHA256 = "f79cc6b29e2b458a5ca5193e8c52dc334761b3e5b0ffec72e25225f42cf3bb1b"
"""Hash of the noise of seed 0 for images 0 to 255 and latent_dim 16: float32, little-endian, row by row."""
CHOICE_WEIGHTS = (2**50, 3 * 2**50, 2**53)
CHOICES = {noise.COMPONENTS: (2, 2, 2, 1, 1, 2, 2, 2), noise.LABELS: (2, 2, 2, 2, 2, 2, 0, 2)}
"""What the format chooses for seed 0 and images 0 to 7 by these cumulative weights, in each stream."""
SPEED_IMAGES = 1024
SPEED_SECONDS = 0.5


def batch_sizes(subject: Subject) -> Finding:
    """Every batch size runs, and an image's result does not depend on its batch."""
    worst: dict[str, Difference] = {}
    for name in trial(subject):
        inputs = _inputs(subject, name)
        singly = [_run(subject, name, _rows(inputs, row, row + 1)) for row in range(BATCHES[-1])]
        for size in BATCHES:
            together = _run(subject, name, _rows(inputs, 0, size))
            for output, found in together.items():
                alone = np.concatenate([row[output] for row in singly[:size]])
                parity.merge(worst, output, parity.difference(output, found, alone, subject.in_groups))
    detail = judge(subject, worst, "the image computed alone")
    return Finding(f"{', '.join(map(str, BATCHES))}: same results as one by one, {detail}", figures(worst))


def value_range(subject: Subject) -> Finding:
    """Outputs are finite, `mean` in [0, 1] and `scale` above 0, even for inputs far from the training images."""
    kinds: list[str] = []
    for name in trial(subject):
        for kind, inputs in _extremes(subject, name):
            outputs = _run(subject, name, inputs)
            kinds += [kind] if kind not in kinds else []
            for output, found in outputs.items():
                if not np.isfinite(found).all():
                    raise BundleError(f"'{output}' is not finite on {kind}.")
            if name == "decoder":
                low, high = outputs["mean"].min(), outputs["mean"].max()
                if not (low >= -ROUNDING and high <= 1.0 + ROUNDING):
                    raise BundleError(f"'mean' must be in [0, 1]; on {kind} it is in [{low:g}, {high:g}].")
            if name == "encoder" and not outputs["scale"].min() > 0.0:
                raise BundleError(f"'scale' must be above 0; on {kind} it is {outputs['scale'].min():g}.")
    return Finding(f"finite and in range on {', '.join(kinds)}")


def reference_parity(subject: Subject) -> Finding:
    """The graphs compute what Keras computed when the bundle was exported."""
    names = trial(subject)
    if not subject.path.is_dir():
        raise Skipped(f"a lone graph has no {REFERENCE}; --run RUN compares with Keras itself")
    path = subject.path / REFERENCE
    if not path.exists():
        raise Skipped(f"this bundle, of an older kvae, has no {REFERENCE}; --run RUN compares with Keras itself")
    ends = {name: subject.known().tensors[name] for name in names}
    needed = {end["name"]: end for sides in ends.values() for side in sides.values() for end in side}
    expected = _read_reference(path, list(needed.values()))
    worst: dict[str, Difference] = {}
    for name in names:
        found = _run(subject, name, {end["name"]: expected[end["name"]] for end in ends[name]["inputs"]})
        for output, values in found.items():
            parity.merge(worst, output, parity.difference(output, values, expected[output], subject.in_groups))
    return Finding(f"with Keras's {REFERENCE}: {judge(subject, worst, 'Keras at export')}", figures(worst))


def pinned_noise(subject: Subject) -> Finding:
    """This machine draws the noise that the format specifies, bit for bit."""
    values = noise.standard_normal(0, 0, *NOISE_SHAPE)
    digest = hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
    if digest != NOISE_SHA256:
        raise BundleError(
            f"the noise of seed 0 has sha256 {digest[:12]}..., expected {NOISE_SHA256[:12]}...: numpy "
            f"{np.__version__} draws different numbers on this machine, so seeds give different images."
        )
    for stream, expected in CHOICES.items():
        if noise.choices(0, 0, len(expected), CHOICE_WEIGHTS, stream).tolist() != list(expected):
            raise BundleError(
                f"numpy {np.__version__} makes other choices of components and labels on this machine than the format "
                f"specifies, so seeds give different images."
            )
    return Finding(f"seed 0 gives the specified bits ({values.size:,} numbers)")


def speed(subject: Subject) -> Finding:
    """Images decoded per second, and the time for a single one; it only measures and never fails."""
    names = trial(subject)
    if "decoder" not in names:
        raise Skipped("there is no decoder")
    try:
        bundle = Bundle(subject.known(), {name: subject.graphs[name] for name in names}, subject.device)
        one = _rows(_inputs(subject, "decoder"), 0, 1)
        bundle.sample(SPEED_IMAGES)  # the first calls allocate memory
        bundle.run("decoder", one, ["mean"])
        whole = _timed(lambda: bundle.sample(SPEED_IMAGES))
        single = _timed(lambda: bundle.run("decoder", one, ["mean"]))
    except BundleError as error:
        raise Skipped(str(error)) from None
    rate = SPEED_IMAGES / statistics.median(whole)
    latency = statistics.median(single)
    return Finding(
        f"{rate:,.0f} images per second on {subject.device}; a single image takes {1e3 * latency:.2g} ms",
        {"images_per_second": rate, "single_image_seconds": latency},
    )


def _timed(work: Any) -> list[float]:
    """Seconds of each call, for as many calls as fit in `SPEED_SECONDS`, at least one."""
    times: list[float] = []
    while sum(times) < SPEED_SECONDS:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def trial(subject: Subject) -> list[str]:
    """The graphs that can be run."""
    subject.known()
    if not subject.fitting:
        raise Skipped("no graph has the inputs and outputs of the contract")
    return [name for name in subject.sessions if name in subject.fitting]


def _run(subject: Subject, name: str, inputs: Inputs) -> dict[str, Floats]:
    """Run a graph once on all rows, which `Bundle.run` would split."""
    session = subject.sessions[name]
    outputs = [end.name for end in session.get_outputs()]
    count = len(next(iter(inputs.values())))
    try:
        found = session.run(outputs, inputs)
    except Exception as error:  # onnxruntime's exceptions have no narrower common base
        message = printable(error, 160)
        raise BundleError(f"{name}: onnxruntime cannot run a batch of {count}: {message}") from None
    for output, array in zip(outputs, found, strict=True):
        if len(array) != count:
            raise BundleError(f"{name}: for a batch of {count}, '{output}' has shape {array.shape}.")
    return dict(zip(outputs, found, strict=True))


def _inputs(subject: Subject, name: str) -> Inputs:
    """Ordinary inputs of a graph, as many rows as the largest of `BATCHES`; labels and components in turn."""
    return {end["name"]: _input(subject, name, end["name"]) for end in subject.known().tensors[name]["inputs"]}


def _input(subject: Subject, name: str, end: str) -> NDArray[Any]:
    manifest, count = subject.known(), BATCHES[-1]
    if end == "images":
        return np.random.default_rng(0).random((count, *manifest.image_shape), dtype=np.float32)
    if end in ("label", "component"):
        kinds = (manifest.label_weights if end == "label" else manifest.components) or [0]
        return np.arange(count, dtype=np.int64) % len(kinds)
    noise_of_prior = latents.prior_draws(0, 0, count, manifest.latent_dim)
    if end == "z" and "prior" in subject.fitting:
        return _run(subject, "prior", _inputs(subject, "prior"))["z"]
    return noise_of_prior


def _rows(inputs: Inputs, first: int, end: int) -> Inputs:
    return {name: values[first:end] for name, values in inputs.items()}


def _extremes(subject: Subject, name: str) -> list[tuple[str, Inputs]]:
    usual = _inputs(subject, name)
    if name == "encoder":
        few = _rows(usual, 0, 16)
        images = few["images"]
        kinds = {"a black image": 0.0 * images, "a white image": 0.0 * images + 1.0, "white noise": images}
        return [(kind, few | {"images": values}) for kind, values in kinds.items()]
    if name != "decoder":
        return [("prior draws", usual)]
    direction = latents.prior_draws(0, 0, BATCHES[-1], subject.known().latent_dim)
    far = direction * (FAR / np.linalg.norm(direction, axis=1, keepdims=True))
    return [("prior draws", usual), (f"codes of norm {FAR:g}", usual | {"z": far.astype(np.float32)})]


def _read_reference(path: Path, ends: list[dict[str, Any]]) -> Inputs:
    """The arrays of the named inputs and outputs; their shapes are checked before they are read."""
    found = {}
    for end in ends:
        name, shape = end["name"], tuple(end["shape"][1:])
        array = arrays.open_array(path, (name,))
        if array.member != name:
            raise BundleError(f"{path.name} has no array '{name}'.")
        if array.dtype != np.dtype(end["dtype"]) or array.shape[1:] != shape or array.shape[0] > MAX_ROWS:
            raise BundleError(
                f"{path.name}: '{name}' must be {end['dtype']} {('n', *shape)}; got {array.dtype} {array.shape}."
            )
        found[name] = next(array.rows(array.shape[0]))
    return found


def judge(subject: Subject, worst: dict[str, Difference], other: str) -> str:
    """Raise if differences exceed what the bundle allows; otherwise describe them in a few words.

    Float32 graphs have a tolerance for every output. Graphs of another precision must stay within their conversion's
    limits, on the mean error of pixels and codes; `likelihood_parameters`, from which `mean` is computed, are only
    shown.
    """
    for output, difference in worst.items():
        if not np.isfinite(difference.worst):
            raise BundleError(f"'{output}' is {difference.found:g} where {other} gives {difference.expected:g}.")
    conversion = subject.known().conversion
    if conversion is not None:
        return ", ".join(_judge_converted(subject.known(), *item, other) for item in worst.items())
    allowed = tolerance(subject)
    for output, difference in worst.items():
        if difference.worst > allowed:
            raise BundleError(
                f"'{output}' differs from {other} by up to {difference.worst:.2g}, at {list(difference.where)} of a "
                f"batch of {difference.batch_size}; at most {allowed:g} is allowed."
            )
    errors = ", ".join(f"{output} {difference.worst:.2g}" for output, difference in worst.items())
    return f"{errors} (allowed {allowed:g})"


def _judge_converted(manifest: Manifest, output: str, difference: Difference, other: str) -> str:
    if output not in MEAN_LIMITS:
        return f"{output} {difference.worst:.2g} at worst"
    name = MEAN_LIMITS[output]
    limit = (manifest.conversion or {})["limits"][name]
    if manifest.precision in parity.LIMITS:  # a bundle may be stricter than this, but not laxer
        limit = min(limit, parity.LIMITS[manifest.precision][name])
    if difference.mean > limit:
        raise BundleError(
            f"'{output}' differs from {other} by {difference.mean:.2g} on average; at most {limit:g} is allowed."
        )
    return f"{output} {difference.mean:.2g} on average (allowed {limit:g})"


def tolerance(subject: Subject) -> float:
    """The largest difference allowed for float32 graphs on the subject's device."""
    known = subject.known().parity
    stated = min(float(known["tolerance"]), parity.TOLERANCE) if known else parity.TOLERANCE
    return max(stated, CUDA_TOLERANCE) if subject.device == "cuda" else stated


def figures(worst: dict[str, Difference]) -> dict[str, float]:
    """The differences as `kvae verify --json` reports them, by output."""
    return {output: difference.worst for output, difference in worst.items()} | {
        f"{output}_mean": difference.mean for output, difference in worst.items()
    }
