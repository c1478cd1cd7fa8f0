"""The files of a bundle beside its graphs: the manifest with their hashes, and the pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kvae.bundle.manifest import FILE_NAME, Manifest, sha256
from kvae.errors import BundleError
from kvae.files import pictures
from kvae.runtime.bundle import Bundle

NUM_SAMPLES = 64
NUM_RECONSTRUCTED = 32
PREVIEW, RECONSTRUCTIONS, REFERENCE = "preview.png", "reconstructions.png", "reference.npz"


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the hash of every other file in the folder; the manifest as it was written."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    manifest = replace(manifest, files=files)
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def draw_pictures(bundle: Bundle, images: NDArray[np.uint8] | None, folder: Path) -> list[str]:
    """Draw the pictures of the model card: samples, and images with their reconstructions.

    Nothing is drawn of a model whose images are neither grey nor colour.

    Args:
        bundle: the model.
        images: uint8 `(n, height, width, channels)` as the model meets them, of which some are reconstructed; or None.
        folder: where to write.

    Returns:
        The names of the files drawn.
    """
    if bundle.manifest.image_shape[-1] not in (1, 3):
        return []
    pictures.save(pictures.grid(bundle.sample(NUM_SAMPLES)), folder / PREVIEW)
    if images is None:
        return [PREVIEW]
    originals = pictures.to_float32(images[:NUM_RECONSTRUCTED])
    picture = pictures.reconstructions(originals, bundle.reconstruct(originals), columns=16)
    pictures.save(picture, folder / RECONSTRUCTIONS)
    return [PREVIEW, RECONSTRUCTIONS]


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle and holds nothing else, so that replacing it loses nothing."""
    try:
        files = Manifest.read(path).files
    except BundleError:
        return False
    return {entry.name for entry in path.iterdir()} <= {FILE_NAME, *files}
