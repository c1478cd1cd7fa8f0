"""A VAE becomes a bundle: two ONNX graphs, a manifest, a card and a picture, proved before they appear."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae import __version__, likelihoods
from kvae.bundle import card, parity
from kvae.bundle import folder as bundle_files
from kvae.bundle.manifest import FILE_NAME, Manifest, contract
from kvae.conversion import graph_files
from kvae.errors import KvaeError
from kvae.export import graphs, proof, reference
from kvae.export.tensors import check_prior
from kvae.files.atomic import atomic_folder
from kvae.model.vae import VAE
from kvae.runtime import previews, scoring
from kvae.runtime.bundle import Bundle


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    path: Path
    manifest: Manifest
    parity: dict[str, float]
    """Per output the largest difference between Keras and onnxruntime seen; see `kvae.bundle.parity.TOLERANCE`."""


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
    """Write the bundle of a model, or nothing.

    The graphs return the tensors that the model's distributions are made of; all noise is drawn outside of them. They
    must pass the ONNX checker, hold nothing but standard operators, load in onnxruntime, and agree with Keras.

    Args:
        vae: a built VAE with a standard-normal prior, a diagonal Gaussian posterior and a likelihood of
            `kvae.likelihoods`.
        out: folder to make; a bundle that stands there, and nothing beside it, is replaced.
        dataset: `name`, `sha256` and `num_images` of the training images, and their `licence` where it is known.
        metrics: test metrics, each `{value, standard_error}`, or a function that measures them on the proved
            bundle, which it gets opened with one thread, as `kvae.evaluation.evaluation` is fastest.
        training: the training config as JSON values.
        binarize: "dynamic" for a model of binarised images, "none", the default, for one of images as they are.
        train_images: uint8 `(n, height, width, channels)`, grey also where the model is one of bits. The first
            `kvae.runtime.scoring.STATISTICS_IMAGES` tell what each latent dimension does, and the percentiles of `kvae
            score`; without them the bundle does not know.
        test_images: uint8, as the model meets them; the first few are pictured on the card.

    Raises:
        BundleError: the graphs fail one of these proofs.
        KvaeError: the model is of a kind that the format cannot hold, or `out` cannot be written.
    """
    if not vae.built:
        raise KvaeError("this VAE has no weights yet: fit it, or call it on a batch of images, before exporting it.")
    check_prior(vae.prior)
    functions = graphs.functions(vae)
    parameters = likelihoods.get(functions.likelihood).parameters
    tensors = contract(vae.image_shape, vae.latent_dim, len(parameters))
    models = {
        "decoder": graphs.convert(functions.decode, tensors["decoder"]),
        "encoder": graphs.convert(functions.encode, tensors["encoder"]),
    }
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
    Manifest.from_json(manifest.to_json(), "the new manifest")  # its checks are those of every reader
    for name, model in models.items():
        proof.check_graph(name, model, tensors[name])
    with atomic_folder(Path(out), bundle_files.is_bundle, "a bundle", FILE_NAME, durable=True) as folder:
        bundle = graph_files.write(folder, models, manifest)  # the bundle must open to be proved
        errors = proof.check_parity(bundle, vae)
        manifest = replace(manifest, parity={"tolerance": parity.TOLERANCE, "errors": errors})
        if callable(metrics):
            manifest = replace(manifest, metrics=metrics(bundle))
        if train_images is not None:
            manifest = replace(manifest, **scoring.training_statistics(bundle, train_images))
        bundle = graph_files.write(folder, models, manifest)
        reference.write(vae, binarize == "dynamic", folder)
        pictures = previews.draw_pictures(bundle, test_images, folder)
        (folder / "README.md").write_text(card.render(manifest, pictures), encoding="utf-8")
        manifest = bundle_files.write_manifest(folder, manifest)
    return Exported(Path(out), manifest, errors)
