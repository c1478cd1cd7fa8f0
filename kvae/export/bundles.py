"""Exports a VAE as a bundle: its ONNX graphs, a manifest, a card and a picture, checked before they appear."""

from collections.abc import Callable, Sequence
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
from kvae.export import family, functions, graphs, mixing, proof, reference
from kvae.export.problem import NotExportable, Problem
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
    labels: Sequence[str] | None = None,
    label_counts: Sequence[int] | None = None,
    train_images: NDArray[np.uint8] | None = None,
    train_labels: NDArray[np.int64] | None = None,
    test_images: NDArray[np.uint8] | None = None,
    test_labels: NDArray[np.int64] | None = None,
) -> Exported:
    """Write a model's bundle; if a check fails, write nothing.

    The graphs return the parameters of the model's distributions; all noise is drawn outside the graphs. They must pass
    the ONNX checker, contain only standard operators, load in onnxruntime, and agree with Keras.

    Args:
        vae: a built VAE whose posterior is a diagonal Gaussian, or one in groups (`kvae.model.posteriors`), whose
            likelihood is one of `kvae.likelihoods`, and whose prior knows its draws as a function of noise
            (`kvae.model.Prior.from_noise`).
        out: folder to make; it is replaced if it already holds a bundle and nothing else.
        dataset: `name`, `sha256` and `num_images` of the training images, and their `licence` if it is known.
        metrics: test metrics, each `{value, standard_error}`, or a function that measures them on the checked
            bundle. The bundle is opened with one thread, with which `kvae.evaluation.evaluation` is fastest.
        training: the training config as JSON values.
        binarize: "dynamic" for a model of binarised images; "none", the default, for a model of images as they are.
        labels: the names of the classes of a conditional model, in the order of their numbers; None for other models.
        label_counts: how many training images have each label, for p(y); by default all labels are as likely.
        train_images: uint8 `(n, height, width, channels)`, grey even for a model of binarised images. The statistics
            of each latent dimension, and the percentiles of `kvae score`, are computed from the first
            `kvae.runtime.scoring.STATISTICS_IMAGES`; without them the bundle has neither.
        train_labels: the labels of `train_images`, int64 `(n,)`, for a conditional model.
        test_images: uint8, binarised if the model's images are; the card shows the first few.
        test_labels: the labels of `test_images`, likewise.

    Raises:
        BundleError: the graphs fail one of these checks.
        KvaeError: the format does not support this kind of model, the labels are not the model's, or `out` cannot be
            written.
    """
    if not vae.built:
        raise KvaeError("this VAE has no weights yet: fit it, or call it on a batch of images, before exporting it.")
    for name, images, given in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        family.check_image_labels(vae, f"{name}_labels", images, given)
    with in_float32(vae):
        made = functions.of(vae)
        manifest = _manifest(
            vae,
            family.of(vae, labels, label_counts),
            made.likelihood,
            dataset=dataset,
            binarize=binarize,
            metrics=metrics if isinstance(metrics, dict) else {},
            training=vae.objective.settings() | (training or {}),
        )
        models = _converted(vae, made, manifest.tensors)
        with atomic_folder(Path(out), bundle_files.is_bundle, "a bundle", FILE_NAME, durable=True) as folder:
            bundle = graph_files.write(folder, models, manifest)  # the bundle must be opened to be checked
            with mixing.explained(vae, made, manifest.tensors):
                errors = proof.check_parity(bundle, vae)
                reference.write(vae, manifest, folder)
                proof.check_as_verify_does(folder)
            manifest = replace(manifest, parity={"tolerance": parity.TOLERANCE, "errors": errors})
            if callable(metrics):
                manifest = replace(manifest, metrics=metrics(bundle))
            if train_images is not None:
                manifest = replace(manifest, **scoring.training_statistics(bundle, train_images, train_labels))
            bundle = graph_files.write(folder, models, manifest)
            pictures = previews.draw_pictures(bundle, test_images, folder, test_labels)
            (folder / "README.md").write_text(card.render(manifest, pictures), encoding="utf-8")
            manifest = bundle_files.write_manifest(folder, manifest)
    return Exported(Path(out), manifest, errors)


def _manifest(vae: VAE, member: family.Family, likelihood: str, **known: Any) -> Manifest:
    """The manifest before anything was measured, which has passed the checks that every reader makes."""
    parameters = likelihoods.get(likelihood).parameters
    manifest = Manifest(
        format_version=member.format_version,
        kvae_version=__version__,
        image_shape=list(vae.image_shape),
        latent_dim=vae.latent_dim,
        likelihood=likelihood,
        likelihood_parameters=list(parameters),
        tensors=contract(vae.image_shape, vae.latent_dim, len(parameters), **member.kinds),
        opset=graphs.OPSET,
        **member._asdict(),
        **known,
    )
    Manifest.from_json(manifest.to_json(), "the new manifest")
    return manifest


def _converted(vae: VAE, made: functions.Functions, tensors: dict[str, Any]) -> dict[str, onnx.ModelProto]:
    """The graphs by role, of which each fits its contract; raises NotExportable with the problems of all networks."""
    models: dict[str, onnx.ModelProto] = {}
    problems: list[Problem] = []
    for role, ends in tensors.items():
        try:
            models[role] = graphs.convert(role, made.of_role(role), ends, functions.network(vae, role))
        except NotExportable as error:
            problems += error.problems
    if problems:
        raise NotExportable(problems)
    for role, model in models.items():
        proof.check_graph(role, model, tensors[role])
    return models
