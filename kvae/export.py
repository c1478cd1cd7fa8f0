"""A VAE becomes a bundle: two ONNX graphs, a manifest, a card and a picture, proved before they appear."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from kvae import __version__, card, graphs, likelihoods, pictures, priors, proof
from kvae.atomic import atomic_folder
from kvae.errors import KvaeError
from kvae.manifest import FILE_NAME, METADATA_KEY, Manifest, sha256
from kvae.runtime import Bundle
from kvae.vae import VAE


@dataclass(frozen=True)
class Exported:
    """A bundle that was written."""

    path: Path
    manifest: Manifest
    parity: dict[str, float]
    """Per output the largest difference between Keras and onnxruntime seen; see `kvae.proof.PARITY_TOLERANCE`."""


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
    functions = graphs.functions(vae)
    models = {
        "decoder": graphs.convert("decoder", functions.decode, (vae.latent_dim,)),
        "encoder": graphs.convert("encoder", functions.encode, vae.image_shape),
    }
    manifest = Manifest(
        kvae_version=__version__,
        dataset=dataset,
        image_shape=list(vae.image_shape),
        latent_dim=vae.latent_dim,
        likelihood=functions.likelihood,
        likelihood_parameters=list(likelihoods.get(functions.likelihood).parameters),
        tensors={name: graphs.interface(model) for name, model in models.items()},
        opset=graphs.OPSET,
        metrics=metrics or {},
        training=training or {},
    )
    for name, model in models.items():
        proof.check_graph(name, model)
        model.metadata_props.add(key=METADATA_KEY, value=manifest.for_graph())
    with atomic_folder(out, is_bundle, "a bundle") as folder:
        for name, model in models.items():
            onnx.save(model, folder / f"{name}.onnx")
        _write_manifest(folder, manifest)
        bundle = Bundle.open(folder, device="cpu")
        parity = proof.check_parity(bundle, functions)
        if manifest.image_shape[-1] in (1, 3):
            pictures.save(pictures.grid(bundle.sample(64)), folder / "preview.png")
        (folder / "README.md").write_text(card.render(manifest, parity, proof.PARITY_TOLERANCE), encoding="utf-8")
        manifest = _write_manifest(folder, manifest)
    return Exported(out, manifest, parity)


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle, as far as its names tell."""
    return (path / FILE_NAME).is_file() and (path / "decoder.onnx").is_file()


def _write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    manifest = replace(manifest, files=files)
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest
