"""What a bundle must prove before it appears: graphs as the contract has them, and parity with Keras."""

from collections.abc import Iterator

import numpy as np
import onnx
import tensorflow as tf

from kvae import noise
from kvae.errors import BundleError
from kvae.graphs import GRAPHS, OPSET, Functions
from kvae.runtime import Bundle

PARITY_BATCHES = (1, 7, 64)
PARITY_TOLERANCE = 1e-5
"""Largest difference between Keras and onnxruntime that an export may show, in any output.

It is absolute for `mean`, `loc` and `scale`. `likelihood_parameters` has no bound (the logit of a black background
pixel is -50 in a well-trained model, where float32 itself has steps of 4e-6), so there a difference is divided by the
value's magnitude where that is above 1.
"""


def check_graph(name: str, model: onnx.ModelProto) -> None:
    """Refuse a graph that is not what the contract says: its ends, its shapes, standard and deterministic ops only.

    Raises:
        BundleError: naming what was found.
    """
    inputs, outputs = GRAPHS[name]
    for end, expected in ((model.graph.input, inputs), (model.graph.output, outputs)):
        if [value.name for value in end] != expected:
            raise BundleError(f"{name}: expected tensors {expected}, got {[value.name for value in end]}.")
        for value in end:
            shape = [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
            if shape[0] != "batch" or not all(isinstance(size, int) and size > 0 for size in shape[1:]):
                raise BundleError(f"{name}: only the batch of '{value.name}' may be dynamic; its shape is {shape}.")
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


def check_parity(bundle: Bundle, keras_functions: Functions) -> dict[str, float]:
    """Compare every output of both graphs with Keras, at several batch sizes.

    Codes are draws of the prior; images are what they decode to, and as many of white noise.

    Args:
        bundle: the bundle, opened on the CPU.
        keras_functions: the functions that its graphs were made of.

    Returns:
        The largest difference of each output, measured as `PARITY_TOLERANCE` says.

    Raises:
        BundleError: one is above `PARITY_TOLERANCE`, or the mean image leaves [0, 1].
    """
    worst = dict.fromkeys((*GRAPHS["decoder"][1], *GRAPHS["encoder"][1]), 0.0)
    white_noise = np.random.default_rng(0)
    for size in PARITY_BATCHES:
        z = noise.standard_normal(seed=0, start=0, count=size, dim=bundle.manifest.latent_dim)
        mean, parameters = (tensor.numpy() for tensor in keras_functions.decode(tf.constant(z)))
        if not (mean.min() >= 0.0 and mean.max() <= 1.0):
            raise BundleError(f"the decoder's mean must be in [0, 1]; it is in [{mean.min():g}, {mean.max():g}].")
        pairs = [("decoder", z, (mean, parameters))]
        for images in (mean, white_noise.random(mean.shape, dtype=np.float32)):
            posterior = tuple(tensor.numpy() for tensor in keras_functions.encode(tf.constant(images)))
            pairs.append(("encoder", images, posterior))
        for graph, values, expected in pairs:
            for name, ours, keras_s in zip(GRAPHS[graph][1], bundle.run(graph, values), expected, strict=True):
                unit = np.maximum(1.0, np.abs(keras_s)) if name == "likelihood_parameters" else 1.0
                worst[name] = float(np.maximum(worst[name], np.max(np.abs(ours - keras_s) / unit)))
    for name, error in worst.items():
        if not error <= PARITY_TOLERANCE:
            raise BundleError(
                f"'{name}' differs between onnxruntime and Keras by up to {error:.2g}, more than the "
                f"{PARITY_TOLERANCE:g} allowed; no bundle was written."
            )
    return worst
