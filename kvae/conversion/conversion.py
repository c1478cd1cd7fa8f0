"""Converts a float32 bundle to another precision or format, and compares the two on real images before it appears."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from kvae import __version__
from kvae.bundle import card, parity
from kvae.bundle import folder as bundle_files
from kvae.bundle.folder import PREVIEW, RECONSTRUCTIONS, is_bundle
from kvae.bundle.manifest import Manifest, sha256
from kvae.conversion import fidelity, graph_files
from kvae.conversion.graphs import converted
from kvae.conversion.images import Images, as_met, of_data_set
from kvae.errors import BundleError, KvaeError
from kvae.evaluation.data import own_images, own_splits
from kvae.files.atomic import atomic_folder, check_replaceable
from kvae.runtime import previews, scoring, sources
from kvae.runtime.bundle import Bundle

PRECISIONS = ("float32", *parity.LIMITS)
FORMATS = ("onnx", "ort")
REWRITES = 5
"""The most times that the graphs are written until the size they state is right; three are enough."""


@dataclass(frozen=True)
class Converted:
    """A bundle that was written. `manifest.conversion` records what its precision costs."""

    path: Path
    manifest: Manifest
    differences: dict[str, float]
    """Each output's largest difference from the float32 ONNX graphs; see `kvae.conversion.fidelity.differences`."""


def convert(
    source: Path,
    out: Path,
    to_precision: str = "float32",
    graph_format: str = "onnx",
    *,
    data_dir: Path | None = None,
    own: Path | None = None,
    images: Images | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Converted:
    """Write a bundle in another precision or format; if a check fails, write nothing.

    Args:
        source: a bundle folder of float32 ONNX graphs.
        out: folder to make; it is replaced if it already holds a bundle and nothing else.
        to_precision: the weights' precision: "float32", the default, "float16" or "int8"; see
            `kvae.conversion.precision`.
        graph_format: "onnx", the default, or "ort" for onnxruntime's own format.
        data_dir: where the files of the bundle's data set are; see `kvae.data.datasets.load`. float32 needs no data.
        own: where the user's own images that it was trained on are; by default, where its run says.
        images: images to calibrate and to compare on, and their labels if the model has labels; by default those of
            the data set. For a model of binarised images, they are binarised if they are not already.
        progress: called with the number of images evaluated since the last call, and the total number to evaluate.

    Raises:
        BundleError: the source is not such a bundle, or the result exceeds one of `kvae.bundle.parity.LIMITS`.
        DataError: the images cannot be loaded.
        KvaeError: an unknown precision or format, or `out` cannot be written.
    """
    for name, value, known in (("precision", to_precision, PRECISIONS), ("format", graph_format, FORMATS)):
        if value not in known:
            raise KvaeError(f"{name} must be one of {', '.join(known)}; got '{value}'.")
    original = _open_source(source, to_precision, graph_format)
    if out.resolve() == source.resolve():
        raise KvaeError(f"{out} is the source bundle, which would be overwritten. Choose another folder.")
    check_replaceable(out, is_bundle, "a bundle")
    manifest = replace(
        original.manifest, kvae_version=__version__, precision=to_precision, graph_format=graph_format, files={}
    )
    met = None
    if to_precision != "float32":
        found = images or of_data_set(manifest, data_dir, own or own_images(source), own_splits(source))
        met = as_met(manifest, found)
    kept = _kept_files(source, original.manifest, redrawn=met is not None)
    models = converted(original, to_precision, met and met.train, met and met.train_labels)
    with atomic_folder(out, is_bundle, "a bundle") as folder:
        bundle = graph_files.write(folder, models, manifest)
        differences = fidelity.differences(original, bundle)
        drawn = [path.name for path in kept if path.name in (PREVIEW, RECONSTRUCTIONS)]
        if met is not None:
            manifest = replace(
                manifest, conversion=fidelity.compare(original, bundle, met.test, progress, met.test_labels)
            )
            if manifest.scoring is not None:  # the new graphs' scores differ slightly
                statistics = scoring.training_statistics(bundle, found.train, found.train_labels)
                manifest = replace(manifest, **statistics)
            bundle = _write_with_size(folder, models, manifest)
            manifest = bundle.manifest
            drawn = previews.draw_pictures(bundle, met.test, folder, met.test_labels)
        for path in kept:
            shutil.copyfile(path, folder / path.name)
        (folder / "README.md").write_text(card.render(manifest, drawn), encoding="utf-8")
        manifest = bundle_files.write_manifest(folder, manifest)
    return Converted(out, manifest, differences)


def _open_source(source: Path, to_precision: str, graph_format: str) -> Bundle:
    sources.check_unpacked(source)
    if source.is_file():
        raise BundleError(f"{source} is a lone graph; name the bundle's folder: its graphs are converted together.")
    bundle = Bundle.open(source, device="cpu", threads=1)  # kvae.evaluation.evaluation is fastest with one
    manifest = bundle.manifest
    if (manifest.precision, manifest.graph_format) != ("float32", "onnx"):
        raise BundleError(
            f"{source} holds {manifest.precision} graphs in the format {manifest.graph_format}; convert the float32 "
            f"ONNX bundle that it was made from."
        )
    if (to_precision, graph_format) == ("float32", "onnx"):
        raise BundleError(f"{source} is already a float32 ONNX bundle: choose another --precision or --format.")
    return bundle


def _kept_files(source: Path, manifest: Manifest, redrawn: bool) -> list[Path]:
    """The files to copy into the new bundle, unchanged since the manifest was written."""
    made_anew = {manifest.graph_file(name) for name in manifest.tensors} | {"README.md"}
    made_anew |= {PREVIEW, RECONSTRUCTIONS} if redrawn else set()
    kept = [source / name for name in manifest.files if name not in made_anew]
    for path in kept:
        if not path.is_file() or sha256(path) != manifest.files[path.name]:
            raise BundleError(f"{path} is missing, or has changed since the bundle was written. Export it again.")
    return kept


def _write_with_size(folder: Path, models: dict[str, onnx.ModelProto], manifest: Manifest) -> Bundle:
    """Write the graphs until the manifest inside them states their size correctly."""
    conversion = dict(manifest.conversion or {}, size=1)
    for _ in range(REWRITES):
        bundle = graph_files.write(folder, models, replace(manifest, conversion=conversion))
        if fidelity.size(bundle) == conversion["size"]:
            return bundle
        conversion = conversion | {"size": fidelity.size(bundle)}
    raise BundleError("the graphs' size does not settle: it changes each time they are written. No bundle was written.")
