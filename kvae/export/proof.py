"""The checks that a bundle must pass before it appears: graphs that match the contract, and parity with Keras."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import tensorflow as tf
from numpy.typing import NDArray

from kvae.bundle import operators, parity
from kvae.bundle.manifest import Manifest
from kvae.bundle.parity import Difference
from kvae.checks import verification
from kvae.checks.file_checks import Skipped, Subject
from kvae.errors import BundleError
from kvae.export.graphs import OPSET, interface
from kvae.export.tensors import of_likelihood
from kvae.model.vae import VAE
from kvae.runtime import latents
from kvae.runtime.bundle import Bundle
from kvae.steps.keras_private import in_float32

PARITY_BATCHES = (1, 7, 64)


def check_graph(name: str, model: onnx.ModelProto, tensors: dict[str, Any]) -> None:
    """Raise if a graph breaks the contract: its inputs and outputs, and only standard, deterministic ops.

    Args:
        name: the graph's name, for error messages.
        model: the graph.
        tensors: the inputs and outputs that `kvae.bundle.manifest.contract` prescribes for it.

    Raises:
        BundleError: the graph breaks the contract; the message names what was found.
    """
    found = interface(model)
    for end, expected in tensors.items():
        if found[end] != expected:
            raise BundleError(f"{name}: its {end} must be {_describe(expected)}; got {_describe(found[end])}.")
    operators.check_model(name, model, OPSET)


class Case(NamedTuple):
    """Inputs of one graph, and what Keras computes for them."""

    graph: str
    """"decoder" or "encoder"."""
    inputs: dict[str, NDArray[np.float32]]
    """The graph's inputs by name: codes or images."""
    expected: dict[str, NDArray[np.float32]]
    """The graph's outputs by name."""


def cases(
    vae: VAE, batch_sizes: Sequence[int] = PARITY_BATCHES, images: NDArray[np.float32] | None = None
) -> Iterator[Case]:
    """The inputs and expected outputs to compare a bundle with.

    Codes are drawn from the prior; images are the decoded codes, and as many of white noise. The expected outputs are
    the distributions' own `mean()` and `stddev()`, not the tensors that were exported, in float32 even for a model of
    mixed precision.

    Args:
        vae: a built model.
        batch_sizes: images per call; each size gives one case for the decoder and two for the encoder.
        images: further images for the encoder, `(n, height, width, channels)` in [0, 1]; none by default.
    """
    white_noise = np.random.default_rng(0)
    for size in batch_sizes:
        z = latents.prior_draws(0, 0, size, vae.latent_dim)
        with in_float32(vae):
            likelihood = vae.decoder(tf.constant(z), training=False)
            mean = likelihood.mean().numpy()
            parameters = of_likelihood(likelihood).parameters.numpy()
        yield Case("decoder", {"z": z}, {"mean": mean, "likelihood_parameters": parameters})
        decoded = np.clip(np.nan_to_num(mean), 0.0, 1.0)  # images for the encoder, even if the decoder is broken
        for pixels in (decoded, white_noise.random(mean.shape, dtype=np.float32)):
            yield _encoder_case(vae, pixels)
    if images is not None:
        yield _encoder_case(vae, images)


def _encoder_case(vae: VAE, images: NDArray[np.float32]) -> Case:
    with in_float32(vae):
        posterior = vae.encoder(tf.constant(images), training=False)
        loc, scale = posterior.mean().numpy(), posterior.stddev().numpy()
    expected = {"loc": loc, "scale": np.broadcast_to(scale, loc.shape)}  # all images may share one scale
    return Case("encoder", {"images": images}, expected)


def check_fits(manifest: Manifest, vae: VAE) -> None:
    """Raise if the shape of a model's codes or images differs from the bundle's.

    Raises:
        BundleError: they differ.
    """
    theirs = {"latent_dim": vae.latent_dim, "image_shape": list(vae.image_shape)}
    for name, value in theirs.items():
        if getattr(manifest, name) != value:
            raise BundleError(f"the model has {name} {value}, the bundle {getattr(manifest, name)}.")


def differences(bundle: Bundle, compared: Iterable[Case]) -> dict[str, Difference]:
    """A bundle's differences from the expected outputs, by output name; if it has only one graph, just that graph's.

    Raises:
        BundleError: a graph fails, or its outputs have the wrong shape.
    """
    worst: dict[str, Difference] = {}
    for graph, inputs, expected in compared:
        if graph not in bundle.graphs:
            continue
        found = bundle.run(graph, inputs, expected)
        for name in expected:
            parity.merge(worst, name, parity.difference(name, found[name], expected[name]))
    return worst


def check_parity(bundle: Bundle, vae: VAE) -> dict[str, float]:
    """Compare every output of both graphs with Keras, at several batch sizes; see `cases`.

    Args:
        bundle: the bundle, opened on the CPU.
        vae: the model that it was made from.

    Returns:
        The largest difference of each output, measured as `kvae.bundle.parity.TOLERANCE` says.

    Raises:
        BundleError: a difference is above `kvae.bundle.parity.TOLERANCE`, or the mean image leaves [0, 1].
    """
    compared = list(cases(vae))
    for case in compared:
        mean = case.expected.get("mean")
        if mean is not None and not (mean.min() >= 0.0 and mean.max() <= 1.0):
            raise BundleError(f"the decoder's mean must be in [0, 1]; it is in [{mean.min():g}, {mean.max():g}].")
    worst = differences(bundle, compared)
    for name, difference in worst.items():
        if not difference.worst <= parity.TOLERANCE:
            raise BundleError(
                f"'{name}' differs between onnxruntime and Keras by up to {difference.worst:.2g}, more than the "
                f"{parity.TOLERANCE:g} allowed; no bundle was written."
            )
    return {name: difference.worst for name, difference in worst.items()}


def _describe(ends: list[dict[str, Any]]) -> str:
    return ", ".join(f"{end['name']} {end['dtype']} [{', '.join(map(str, end['shape']))}]" for end in ends)


def check_as_verify_does(folder: Path) -> None:
    """Make the checks of `kvae verify`, all but the measurement of speed, in a bundle's folder.

    Raises:
        BundleError: a check fails.
    """
    subject = Subject(folder, "cpu")
    for name, check in verification.CHECKS.items():
        if name == "speed":
            continue
        try:
            check(subject)
        except Skipped:
            pass
        except BundleError as error:
            raise BundleError(f"{error} No bundle was written.") from None
