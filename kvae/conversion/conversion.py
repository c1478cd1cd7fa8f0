"""A float32 bundle becomes one of another precision or format, compared with it on real images before it appears."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from kvae import __version__
from kvae.bundle import binarization, card, operators, parity
from kvae.bundle import folder as bundle_files
from kvae.bundle.folder import PREVIEW, RECONSTRUCTIONS, is_bundle
from kvae.bundle.manifest import Manifest, sha256
from kvae.conversion import fidelity, graph_files, precision, quantization
from kvae.data.held_out_split import held_out
from kvae.errors import BundleError, KvaeError
from kvae.evaluation.data import data_of, own_images
from kvae.files import pictures
from kvae.files.atomic import atomic_folder, check_replaceable
from kvae.runtime import previews, scoring
from kvae.runtime.bundle import Bundle

PRECISIONS = ("float32", *parity.LIMITS)
FORMATS = ("onnx", "ort")
NUM_COMPARED = 1000
"""Test images compared, or as many as there are."""
NUM_CALIBRATION = 1000
"""Training images that int8 takes its ranges from; half as many give the same within the noise."""
REWRITES = 5
"""Times that graphs are written, at most, until they know their own size; three are enough."""


class Images(NamedTuple):
    """What to calibrate on and to compare with, both uint8 `(n, height, width, channels)`, at least 2."""

    train: NDArray[np.uint8]
    test: NDArray[np.uint8]


@dataclass(frozen=True)
class Converted:
    """A bundle that was written. What its precision costs is in `manifest.conversion`."""

    path: Path
    manifest: Manifest
    differences: dict[str, float]
    """Per output the largest difference from the float32 ONNX graphs; see `kvae.conversion.fidelity.differences`."""


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
    """Write a bundle in another precision or format, or nothing.

    Args:
        source: a bundle folder of float32 ONNX graphs.
        out: folder to make; a bundle that stands there, and nothing beside it, is replaced.
        to_precision: of the weights: "float32", the default, "float16" or "int8"; see `kvae.conversion.precision`.
        graph_format: "onnx", the default, or "ort" for onnxruntime's own.
        data_dir: where the files of the bundle's data set are; see `kvae.data.datasets.load`. float32 needs no data.
        own: where the images of a user's own are that it was trained on; by default, where its run says.
        images: images in place of the data set's, for a model of one's own; they are binarised, if they are not yet,
            for a model of bits.
        progress: called with the number of images evaluated since the last call, and that of all to be evaluated.

    Raises:
        BundleError: the source is no such bundle, or what came out is beyond one of `kvae.bundle.parity.LIMITS`.
        DataError: the images are not to be had.
        KvaeError: an unknown precision or format, or `out` cannot be written.
    """
    for name, value, known in (("precision", to_precision, PRECISIONS), ("format", graph_format, FORMATS)):
        if value not in known:
            raise KvaeError(f"{name} must be one of {', '.join(known)}; got '{value}'.")
    original = _open_source(source, to_precision, graph_format)
    if out.resolve() == source.resolve():
        raise KvaeError(f"{out} is the bundle itself, which would be lost. Name another folder.")
    check_replaceable(out, is_bundle, "a bundle")
    manifest = replace(
        original.manifest, kvae_version=__version__, precision=to_precision, graph_format=graph_format, files={}
    )
    met = None
    if to_precision != "float32":
        found = images or _images_of_the_data_set(manifest, data_dir, own or own_images(source))
        met = _as_met(manifest, found)
    kept = _kept_files(source, original.manifest, redrawn=met is not None)
    models = _converted_graphs(original, to_precision, met)
    with atomic_folder(out, is_bundle, "a bundle") as folder:
        bundle = graph_files.write(folder, models, manifest)
        differences = fidelity.differences(original, bundle)
        drawn = [path.name for path in kept if path.name in (PREVIEW, RECONSTRUCTIONS)]
        if met is not None:
            manifest = replace(manifest, conversion=fidelity.compare(original, bundle, met.test, progress))
            if manifest.scoring is not None:  # of these graphs, whose scores are a little different
                manifest = replace(manifest, **scoring.training_statistics(bundle, found.train))
            bundle = _write_with_size(folder, models, manifest)
            manifest = bundle.manifest
            drawn = previews.draw_pictures(bundle, met.test, folder)
        for path in kept:
            shutil.copyfile(path, folder / path.name)
        (folder / "README.md").write_text(card.render(manifest, drawn), encoding="utf-8")
        manifest = bundle_files.write_manifest(folder, manifest)
    return Converted(out, manifest, differences)


def _open_source(source: Path, to_precision: str, graph_format: str) -> Bundle:
    if source.is_file():
        raise BundleError(f"{source} is a lone graph; name the bundle's folder, of which both graphs are converted.")
    bundle = Bundle.open(source, device="cpu", threads=1)  # as kvae.evaluation.evaluation is fastest
    manifest = bundle.manifest
    if (manifest.precision, manifest.graph_format) != ("float32", "onnx"):
        raise BundleError(
            f"{source} holds {manifest.precision} graphs in the format {manifest.graph_format}; convert the float32 "
            f"ONNX bundle that it was made of."
        )
    if (to_precision, graph_format) == ("float32", "onnx"):
        raise BundleError(f"{source} is a float32 ONNX bundle already: name another --precision or --format.")
    return bundle


def _kept_files(source: Path, manifest: Manifest, redrawn: bool) -> list[Path]:
    """The files that the new bundle takes over, unchanged since the manifest was written."""
    made_anew = {manifest.graph_file(name) for name in manifest.tensors} | {"README.md"}
    made_anew |= {PREVIEW, RECONSTRUCTIONS} if redrawn else set()
    kept = [source / name for name in manifest.files if name not in made_anew]
    for path in kept:
        if not path.is_file() or sha256(path) != manifest.files[path.name]:
            raise BundleError(f"{path} is missing, or was changed since the bundle was written. Export it again.")
    return kept


def _images_of_the_data_set(manifest: Manifest, data_dir: Path | None, own: Path | None) -> Images:
    data = data_of(manifest, data_dir, own)
    return Images(data.train.images, held_out(data, "test", manifest.is_of_bits))


def _as_met(manifest: Manifest, images: Images) -> Images:
    """As many images as are needed, as the model meets them: as bits, which bits stay, where it is one of bits."""

    def of_part(name: str, array: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
        if array.dtype != np.uint8 or array.shape[1:] != tuple(manifest.image_shape) or len(array) < 2:
            shape = ", ".join(["n", *map(str, manifest.image_shape)])
            raise KvaeError(f"{name} images must be uint8 ({shape}), n at least 2; got {array.dtype} {array.shape}.")
        if manifest.is_of_bits:
            return (255 * binarization.binarize_alike(pictures.to_float32(array[:count]))).astype(np.uint8)
        return array[:count]

    return Images(of_part("train", images.train, NUM_CALIBRATION), of_part("test", images.test, NUM_COMPARED))


def _converted_graphs(bundle: Bundle, to_precision: str, images: Images | None) -> dict[str, onnx.ModelProto]:
    models = {name: onnx.load(path) for name, path in bundle.graphs.items()}
    if to_precision == "float16":
        models = {name: precision.to_float16(model) for name, model in models.items()}
    if to_precision == "int8" and images is not None:
        z, pixels = fidelity.codes(bundle, images.train), pictures.to_float32(images.train)
        models = {
            "decoder": quantization.to_int8(models["decoder"], z, round_convolutions=True),
            # Decoding is what has to be fast. In the encoder the same rounding costs most of the nats that int8 costs.
            "encoder": quantization.to_int8(models["encoder"], pixels, round_convolutions=False),
        }
    for name, model in models.items():
        operators.check_model(name, model, bundle.manifest.opset)
    return models


def _write_with_size(folder: Path, models: dict[str, onnx.ModelProto], manifest: Manifest) -> Bundle:
    """Write the graphs, whose size is part of the manifest that they hold, until it is right."""
    conversion = dict(manifest.conversion or {}, size=1)
    for _ in range(REWRITES):
        bundle = graph_files.write(folder, models, replace(manifest, conversion=conversion))
        if fidelity.size(bundle) == conversion["size"]:
            return bundle
        conversion = conversion | {"size": fidelity.size(bundle)}
    raise BundleError("the graphs find no size: each time they are written it is another. No bundle was written.")
