"""A VAE becomes a bundle: two ONNX graphs, a manifest, a card and a picture, proved before they appear."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
import tensorflow_probability as tfp
import tf2onnx

from kvae import __version__, card, likelihoods, noise, pictures, priors
from kvae.atomic import atomic_folder
from kvae.errors import BundleError, KvaeError
from kvae.manifest import FILE_NAME, METADATA_KEY, Manifest, sha256
from kvae.runtime import Bundle
from kvae.vae import VAE

tfd = tfp.distributions

OPSET = 17
PARITY_BATCHES = (1, 7, 64)
PARITY_TOLERANCE = 1e-5
"""Largest difference between Keras and onnxruntime that an export may show, in any output.

It is absolute for `mean`, `loc` and `scale`. `likelihood_parameters` has no bound (the logit of a black background
pixel is -50 in a well-trained model, where float32 itself has steps of 4e-6), so there a difference is divided by the
value's magnitude where that is above 1.
"""

GRAPHS = {
    "decoder": (["z"], ["mean", "likelihood_parameters"]),
    "encoder": (["images"], ["loc", "scale"]),
}
"""The names of each graph's inputs and outputs: the bundle's contract."""


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    path: Path
    manifest: Manifest
    parity: dict[str, float]
    """Per output the largest difference between Keras and onnxruntime that was seen; see `PARITY_TOLERANCE`."""


def export(
    vae: VAE,
    out: Path,
    *,
    dataset: dict[str, Any],
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> Exported:
    """Write the bundle of a model, or nothing.

    The graphs return the tensors that the model's distributions are made of; all noise is drawn outside of them. They
    must pass the ONNX checker, hold nothing but standard operators, load in onnxruntime, and agree with Keras.

    Args:
        vae: a built VAE with a standard-normal prior, a diagonal Gaussian posterior and a likelihood of
            `kvae.likelihoods`.
        out: folder to make; a bundle that stands there is replaced.
        dataset: `name`, `sha256` and `num_images` of the training images.
        metrics: test metrics, each `{value, standard_error}`.
        training: the training config as JSON values.

    Raises:
        BundleError: the graphs fail one of these proofs.
        KvaeError: the model is of a kind that the format cannot hold, or `out` cannot be written.
    """
    if not vae.built:
        raise KvaeError("this VAE has no weights yet: fit it, or call it on a batch of images, before exporting it.")
    if not priors.is_standard_normal(vae.prior):
        raise KvaeError("format 1 of a bundle has the prior N(0, I) alone; this VAE has another.")
    name, decode, encode = _functions(vae)
    graphs = {
        "decoder": _to_onnx("decoder", decode, (vae.latent_dim,)),
        "encoder": _to_onnx("encoder", encode, vae.image_shape),
    }
    manifest = Manifest(
        kvae_version=__version__,
        dataset=dataset,
        image_shape=list(vae.image_shape),
        latent_dim=vae.latent_dim,
        likelihood=name,
        likelihood_parameters=list(likelihoods.get(name).parameters),
        tensors={graph: _interface(model) for graph, model in graphs.items()},
        opset=OPSET,
        metrics=metrics or {},
        training=training or {},
    )
    for graph, model in graphs.items():
        check_graph(graph, model)
        model.metadata_props.add(key=METADATA_KEY, value=manifest.for_graph())
    with atomic_folder(out, is_bundle, "a bundle") as folder:
        for graph, model in graphs.items():
            onnx.save(model, folder / f"{graph}.onnx")
        _write_manifest(folder, manifest)
        bundle = Bundle.open(folder, device="cpu")
        parity = check_parity(bundle, decode, encode)
        if manifest.image_shape[-1] in (1, 3):
            pictures.save(pictures.grid(bundle.sample(64)), folder / "preview.png")
        (folder / "README.md").write_text(card.render(manifest, parity, PARITY_TOLERANCE), encoding="utf-8")
        manifest = _write_manifest(folder, manifest)
    return Exported(out, manifest, parity)


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle, as far as its names tell."""
    return (path / FILE_NAME).is_file() and (path / "decoder.onnx").is_file()


def _functions(vae: VAE) -> tuple[str, Callable[..., Any], Callable[..., Any]]:
    """The likelihood's name, and the two functions that become graphs."""
    likelihood = likelihoods.tensors(vae.decoder(tf.zeros((1, vae.latent_dim)))).name

    def decode(z: tf.Tensor) -> Any:
        result = likelihoods.tensors(vae.decoder(z))
        return result.mean, result.parameters

    def encode(images: tf.Tensor) -> Any:
        posterior = vae.encoder(images)
        if isinstance(posterior, tfd.MultivariateNormalDiag):
            # The tensors it was made of: its mean() and stddev() broadcast by an op that tf2onnx does not know.
            return posterior.loc, posterior.parameters["scale_diag"]
        base = getattr(posterior, "distribution", None)
        if isinstance(base, tfd.Normal):
            return base.loc, base.scale
        raise KvaeError(
            f"the encoder returns {type(posterior).__name__}, which a bundle cannot describe. Return "
            f"tfd.MultivariateNormalDiag(loc=..., scale_diag=...) or tfd.Independent over tfd.Normal."
        )

    return likelihood, decode, encode


def _to_onnx(name: str, function: Callable[..., Any], shape: tuple[int, ...]) -> onnx.ModelProto:
    inputs, outputs = GRAPHS[name]
    signature = [tf.TensorSpec((None, *shape), tf.float32, name=inputs[0])]
    # tf2onnx reports an unsupported op in its log and writes the graph all the same: check_graph finds it, in one line.
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    model, _ = tf2onnx.convert.from_function(
        tf.function(function, input_signature=signature), input_signature=signature, opset=OPSET
    )
    _rename(model.graph, inputs, outputs)
    model.graph.name = name
    del model.opset_import[:]  # tf2onnx names ai.onnx.ml too, whose ops check_graph refuses
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    return model


def _rename(graph: onnx.GraphProto, inputs: list[str], outputs: list[str]) -> None:
    """Give the graph's ends and its dynamic dimension the contract's names, where tf2onnx has its own."""
    names = dict(zip([end.name for end in (*graph.input, *graph.output)], [*inputs, *outputs], strict=True))
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(end, end) for end in ends]
    for end in (*graph.input, *graph.output):
        end.name = names[end.name]
        end.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]  # it names the dynamic dimension as tf2onnx did; onnxruntime infers shapes by itself


def _interface(model: onnx.ModelProto) -> dict[str, list[dict[str, Any]]]:
    def describe(end: onnx.ValueInfoProto) -> dict[str, Any]:
        tensor = end.type.tensor_type
        dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        return {"name": end.name, "dtype": dtype, "shape": [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]}

    return {"inputs": [describe(end) for end in model.graph.input], "outputs": [*map(describe, model.graph.output)]}


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


def check_parity(bundle: Bundle, decode: Callable[..., Any], encode: Callable[..., Any]) -> dict[str, float]:
    """Compare every output of both graphs with Keras, at several batch sizes.

    Codes are draws of the prior; images are what they decode to, and as many of white noise.

    Args:
        bundle: the bundle, opened on the CPU.
        decode: z -> (mean, likelihood parameters), in Keras.
        encode: images -> (loc, scale), in Keras.

    Returns:
        The largest difference of each output, measured as `PARITY_TOLERANCE` says.

    Raises:
        BundleError: one is above `PARITY_TOLERANCE`, or the mean image leaves [0, 1].
    """
    worst = dict.fromkeys((*GRAPHS["decoder"][1], *GRAPHS["encoder"][1]), 0.0)
    white_noise = np.random.default_rng(0)
    for size in PARITY_BATCHES:
        z = noise.standard_normal(seed=0, start=0, count=size, dim=bundle.manifest.latent_dim)
        mean, parameters = (tensor.numpy() for tensor in decode(tf.constant(z)))
        if not (mean.min() >= 0.0 and mean.max() <= 1.0):
            raise BundleError(f"the decoder's mean must be in [0, 1]; it is in [{mean.min():g}, {mean.max():g}].")
        pairs = [("decoder", z, (mean, parameters))]
        for images in (mean, white_noise.random(mean.shape, dtype=np.float32)):
            pairs.append(("encoder", images, tuple(tensor.numpy() for tensor in encode(tf.constant(images)))))
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


def _write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    manifest = replace(manifest, files=files)
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest
