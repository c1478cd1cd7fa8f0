"""The files of a bundle besides its graphs: the manifest with all hashes, and the pictures."""

from dataclasses import replace
from pathlib import Path

from kvae.bundle.manifest import FILE_NAME, Manifest, sha256
from kvae.errors import BundleError

PREVIEW, RECONSTRUCTIONS, REFERENCE = "preview.png", "reconstructions.png", "reference.npz"


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the hash of every other file in the folder, and return it as written."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    manifest = replace(manifest, files=files)
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle and holds nothing else, so that nothing is lost if it is replaced."""
    try:
        files = Manifest.read(path).files
    except BundleError:
        return False
    return {entry.name for entry in path.iterdir()} <= {FILE_NAME, *files}
