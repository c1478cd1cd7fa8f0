"""The checks that a bundle must pass before it appears: graphs that match the contract, and parity with Keras."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from kvae.bundle import operators, parity
from kvae.bundle.manifest import Manifest
from kvae.bundle.parity import Difference
from kvae.checks import verification
from kvae.checks.file_checks import Skipped, Subject
from kvae.errors import BundleError
from kvae.export.graphs import OPSET, interface
from kvae.export.parity_cases import Case, cases
from kvae.model.vae import VAE
from kvae.runtime.bundle import Bundle


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


def check_fits(manifest: Manifest, vae: VAE) -> None:
    """Raise if the shape of a model's codes or images, or the number of its labels, differs from the bundle's.

    Raises:
        BundleError: they differ.
    """
    theirs = {"latent_dim": vae.latent_dim, "image_shape": list(vae.image_shape), "num_labels": vae.num_labels}
    for name, value in theirs.items():
        if name == "num_labels":
            found = None if manifest.labels is None else len(manifest.labels)
        else:
            found = getattr(manifest, name)
        if found != value:
            raise BundleError(f"the model has {name} {value}, the bundle {found}.")


def differences(bundle: Bundle, compared: Iterable[Case]) -> dict[str, Difference]:
    """A bundle's differences from the expected outputs, by output name; only those of the graphs it has.

    Raises:
        BundleError: a graph fails, or its outputs have the wrong shape.
    """
    worst: dict[str, Difference] = {}
    in_groups = bundle.manifest.groups is not None
    for graph, inputs, expected in compared:
        if graph not in bundle.graphs:
            continue
        found = bundle.run(graph, inputs, expected)
        for name in expected:
            parity.merge(worst, name, parity.difference(name, found[name], expected[name], in_groups))
    return worst


def check_parity(bundle: Bundle, vae: VAE) -> dict[str, float]:
    """Compare every output of all graphs with Keras, at several batch sizes; see `cases`.

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
