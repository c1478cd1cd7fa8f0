"""Exports a VAE as a bundle: two ONNX graphs, a manifest, a card and a picture, checked before they appear."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from kvae import __version__, likelihoods
from kvae.bundle import card, parity
from kvae.bundle import folder as bundle_files
from kvae.bundle.manifest import FILE_NAME, Manifest, contract
from kvae.conversion import graph_files
from kvae.errors import KvaeError
from kvae.export import graphs, mixing, proof, reference
from kvae.export.problem import NotExportable, Problem
from kvae.export.tensors import check_prior
from kvae.files.atomic import atomic_folder
from kvae.model.vae import VAE
from kvae.runtime import previews, scoring
from kvae.runtime.bundle import Bundle
from kvae.steps.keras_private import in_float32


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    path: Path
    manifest: Manifest
    parity: dict[str, float]
    """The largest difference seen between Keras and onnxruntime for each output; see `kvae.bundle.parity.TOLERANCE`."""


def export(
    vae: VAE,
    out: str | Path,
    *,
    dataset: dict[str, Any],
    metrics: dict[str, Any] | Callable[[Bundle], dict[str, Any]] | None = None,
    training: dict[str, Any] | None = None,
    binarize: str = "none",
    train_images: NDArray[np.uint8] | None = None,
    test_images: NDArray[np.uint8] | None = None,
) -> Exported:
    """Write a model's bundle; if a check fails, write nothing.

    The graphs return the parameters of the model's distributions; all noise is drawn outside the graphs. They must pass
    the ONNX checker, contain only standard operators, load in onnxruntime, and agree with Keras.

    Args:
        vae: a built VAE with a standard-normal prior, a diagonal Gaussian posterior and a likelihood of
            `kvae.likelihoods`.
        out: folder to make; it is replaced if it already holds a bundle and nothing else.
        dataset: `name`, `sha256` and `num_images` of the training images, and their `licence` if it is known.
        metrics: test metrics, each `{value, standard_error}`, or a function that measures them on the checked
            bundle. The bundle is opened with one thread, with which `kvae.evaluation.evaluation` is fastest.
        training: the training config as JSON values.
        binarize: "dynamic" for a model of binarised images; "none", the default, for a model of images as they are.
        train_images: uint8 `(n, height, width, channels)`, grey even for a model of binarised images. The statistics
            of each latent dimension, and the percentiles of `kvae score`, are computed from the first
            `kvae.runtime.scoring.STATISTICS_IMAGES`; without them the bundle has neither.
        test_images: uint8, binarised if the model's images are; the card shows the first few.

    Raises:
        BundleError: the graphs fail one of these checks.
        KvaeError: the format does not support this kind of model, or `out` cannot be written.
    """
    if not vae.built:
        raise KvaeError("this VAE has no weights yet: fit it, or call it on a batch of images, before exporting it.")
    with in_float32(vae):
        return _export(vae, Path(out), dataset, metrics, training, binarize, train_images, test_images)


def _export(
    vae: VAE,
    out: Path,
    dataset: dict[str, Any],
    metrics: dict[str, Any] | Callable[[Bundle], dict[str, Any]] | None,
    training: dict[str, Any] | None,
    binarize: str,
    train_images: NDArray[np.uint8] | None,
    test_images: NDArray[np.uint8] | None,
) -> Exported:
    check_prior(vae.prior)
    functions = graphs.functions(vae)
    parameters = likelihoods.get(functions.likelihood).parameters
    tensors = contract(vae.image_shape, vae.latent_dim, len(parameters))
    models = _converted(vae, functions, tensors)
    manifest = Manifest(
        kvae_version=__version__,
        dataset=dataset,
        image_shape=list(vae.image_shape),
        latent_dim=vae.latent_dim,
        likelihood=functions.likelihood,
        likelihood_parameters=list(parameters),
        tensors=tensors,
        opset=graphs.OPSET,
        binarize=binarize,
        metrics=metrics if isinstance(metrics, dict) else {},
        training=vae.objective.settings() | (training or {}),
    )
    Manifest.from_json(manifest.to_json(), "the new manifest")  # runs the checks that every reader makes
    for name, model in models.items():
        proof.check_graph(name, model, tensors[name])
    with atomic_folder(out, bundle_files.is_bundle, "a bundle", FILE_NAME, durable=True) as folder:
        bundle = graph_files.write(folder, models, manifest)  # the bundle must be opened to be checked
        with mixing.explained(vae, functions, tensors):
            errors = proof.check_parity(bundle, vae)
            reference.write(vae, binarize == "dynamic", folder)
            proof.check_as_verify_does(folder)
        manifest = replace(manifest, parity={"tolerance": parity.TOLERANCE, "errors": errors})
        if callable(metrics):
            manifest = replace(manifest, metrics=metrics(bundle))
        if train_images is not None:
            manifest = replace(manifest, **scoring.training_statistics(bundle, train_images))
        bundle = graph_files.write(folder, models, manifest)
        pictures = previews.draw_pictures(bundle, test_images, folder)
        (folder / "README.md").write_text(card.render(manifest, pictures), encoding="utf-8")
        manifest = bundle_files.write_manifest(folder, manifest)
    return Exported(out, manifest, errors)


def _converted(vae: VAE, functions: graphs.Functions, tensors: dict[str, Any]) -> dict[str, onnx.ModelProto]:
    """Both graphs by name; raises NotExportable with the problems of both networks."""
    models: dict[str, onnx.ModelProto] = {}
    problems: list[Problem] = []
    parts = {"decoder": (functions.decode, vae.decoder), "encoder": (functions.encode, vae.encoder)}
    for name, (function, network) in parts.items():
        try:
            models[name] = graphs.convert(function, tensors[name], network)
        except NotExportable as error:
            problems += error.problems
    if problems:
        raise NotExportable(problems)
    return models
