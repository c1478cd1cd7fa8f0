"""A VAE's networks as ONNX graphs, with the names from the bundle's contract. Nothing after this needs TensorFlow."""

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from kvae.export import tensors
from kvae.model.vae import VAE

OPSET = 17


class Functions(NamedTuple):
    """The two functions of a VAE that become graphs: tensors in, a distribution's parameters out."""

    likelihood: str
    """The likelihood's name in `kvae.config.LIKELIHOODS`."""
    decode: Callable[..., Any]
    """z -> (mean, likelihood parameters)."""
    encode: Callable[..., Any]
    """images -> (loc, scale)."""


def functions(vae: VAE) -> Functions:
    """The functions of a built VAE.

    Raises:
        KvaeError: a network returns a distribution that a bundle cannot describe.
    """
    likelihood = tensors.of_likelihood(vae.decoder(tf.zeros((1, vae.latent_dim)), training=False)).name
    tensors.of_posterior(vae.encoder(tf.zeros((1, *vae.image_shape)), training=False))

    def decode(z: tf.Tensor) -> Any:
        result = tensors.of_likelihood(vae.decoder(z, training=False))
        return result.mean, result.parameters

    def encode(images: tf.Tensor) -> Any:
        return tensors.of_posterior(vae.encoder(images, training=False))

    return Functions(likelihood, decode, encode)


def convert(function: Callable[..., Any], ends: dict[str, Any]) -> onnx.ModelProto:
    """The graph of one function, unchecked.

    Args:
        function: one of `Functions`.
        ends: the inputs and outputs that `kvae.bundle.manifest.contract` prescribes for it.
    """
    inputs, outputs = ([tensor["name"] for tensor in ends[end]] for end in ("inputs", "outputs"))
    _, *shape = ends["inputs"][0]["shape"]
    signature = [tf.TensorSpec((None, *shape), tf.float32, name=inputs[0])]
    # tf2onnx only logs an unsupported op and writes the graph anyway: kvae.export.proof finds it and reports it in
    # one line.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    model, _ = tf2onnx.convert.from_function(
        tf.function(function, input_signature=signature), input_signature=signature, opset=OPSET
    )
    _rename(model.graph, inputs, outputs)
    del model.opset_import[:]  # tf2onnx names ai.onnx.ml too, whose ops kvae.export.proof refuses
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    return model


def _rename(graph: onnx.GraphProto, inputs: list[str], outputs: list[str]) -> None:
    """Rename the graph's inputs, outputs and dynamic dimension from tf2onnx's names to the contract's."""
    names = dict(zip([end.name for end in (*graph.input, *graph.output)], [*inputs, *outputs], strict=True))
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(end, end) for end in ends]
    for end in (*graph.input, *graph.output):
        end.name = names[end.name]
        for dim in end.type.tensor_type.shape.dim[:1]:
            if not dim.dim_value:
                dim.dim_param = "batch"
    del graph.value_info[:]  # it uses tf2onnx's name for the dynamic dimension; onnxruntime infers shapes by itself


def interface(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    """The inputs and outputs of a graph, as the manifest lists them."""

    def describe(end: onnx.ValueInfoProto) -> dict[str, Any]:
        tensor = end.type.tensor_type
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        return {"name": end.name, "dtype": dtype, "shape": [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]}

    return {"inputs": [describe(end) for end in model.graph.input], "outputs": [*map(describe, model.graph.output)]}
