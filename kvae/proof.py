"""What a bundle must prove before it appears: graphs as the contract has them, and parity with Keras."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from kvae import noise
from kvae.errors import BundleError
from kvae.graphs import OPSET, interface
from kvae.likelihoods import tensors as likelihood_tensors
from kvae.runtime import Bundle
from kvae.vae import VAE

PARITY_BATCHES = (1, 7, 64)
PARITY_TOLERANCE = 1e-5
"""Largest difference between Keras and onnxruntime that an export may show, in any output.

It is absolute for `mean`, `loc` and `scale`. `likelihood_parameters` has no bound (the logit of a black background
pixel is -50 in a well-trained model, where float32 itself has steps of 4e-6), so there a difference is divided by the
value's magnitude where that is above 1.
"""


def check_graph(name: str, model: onnx.ModelProto, tensors: dict[str, Any]) -> None:
    """Refuse a graph that is not what the contract says: its ends, standard and deterministic ops only.

    Args:
        name: the graph's name, for messages.
        model: the graph.
        tensors: the inputs and outputs that `kvae.manifest.contract` prescribes for it.

    Raises:
        BundleError: naming what was found.
    """
    found = interface(model)
    for end, expected in tensors.items():
        if found[end] != expected:
            raise BundleError(f"{name}: its {end} must be {_describe(expected)}; got {_describe(found[end])}.")
    for node in _nodes(model.graph):
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, OPSET):
            raise BundleError(f"{name}: {node.domain or 'op'} {node.op_type} is not a standard ONNX operator.")
        if node.op_type.startswith("Random") or node.op_type in ("Bernoulli", "Multinomial"):
            raise BundleError(f"{name}: {node.op_type} draws noise inside the graph; noise must come from outside.")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise BundleError(f"{name}: the ONNX checker refuses the graph: {str(error).splitlines()[0]}") from None


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for subgraph in (attribute.g, *attribute.graphs):
                yield from _nodes(subgraph)


def check_parity(bundle: Bundle, vae: VAE) -> dict[str, float]:
    """Compare every output of both graphs with Keras, at several batch sizes.

    Codes are draws of the prior; images are what they decode to, and as many of white noise. The reference is what the
    distributions themselves say, `mean()` and `stddev()`, not the tensors that were exported.

    Args:
        bundle: the bundle, opened on the CPU.
        vae: the model that it was made of.

    Returns:
        The largest difference of each output, measured as `PARITY_TOLERANCE` says.

    Raises:
        BundleError: one is above `PARITY_TOLERANCE`, or the mean image leaves [0, 1].
    """
    worst: dict[str, float] = {}
    white_noise = np.random.default_rng(0)
    for size in PARITY_BATCHES:
        z = noise.standard_normal(seed=0, start=0, count=size, dim=vae.latent_dim)
        likelihood = vae.decoder(tf.constant(z))
        mean = likelihood.mean().numpy()
        if not (mean.min() >= 0.0 and mean.max() <= 1.0):
            raise BundleError(f"the decoder's mean must be in [0, 1]; it is in [{mean.min():g}, {mean.max():g}].")
        parameters = likelihood_tensors(likelihood).parameters
        _compare("decoder", bundle, z, {"mean": mean, "likelihood_parameters": parameters}, worst)
        for images in (mean, white_noise.random(mean.shape, dtype=np.float32)):
            posterior = vae.encoder(tf.constant(images))
            _compare("encoder", bundle, images, {"loc": posterior.mean(), "scale": posterior.stddev()}, worst)
    for name, error in worst.items():
        if not error <= PARITY_TOLERANCE:
            raise BundleError(
                f"'{name}' differs between onnxruntime and Keras by up to {error:.2g}, more than the "
                f"{PARITY_TOLERANCE:g} allowed; no bundle was written."
            )
    return worst


def _compare(graph: str, bundle: Bundle, values: Any, expected: dict[str, Any], worst: dict[str, float]) -> None:
    """Run one graph and enter into `worst` what its outputs are off by."""
    for (name, reference), found in zip(expected.items(), bundle.run(graph, values, list(expected)), strict=True):
        reference = np.asarray(reference)
        unit = np.maximum(1.0, np.abs(reference)) if name == "likelihood_parameters" else 1.0
        error = np.max(np.abs(found - reference) / unit)
        worst[name] = float(np.maximum(worst.get(name, 0.0), error))  # unlike max, it keeps a NaN


def _describe(ends: list[dict[str, Any]]) -> str:
    return ", ".join(f"{end['name']} {end['dtype']} [{', '.join(map(str, end['shape']))}]" for end in ends)
