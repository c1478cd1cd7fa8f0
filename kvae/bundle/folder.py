"""The files of a bundle besides its graphs: the manifest with all hashes, and the pictures."""

import json
from dataclasses import replace
from pathlib import Path

from kvae.bundle.manifest import FILE_NAME, Manifest, sha256
from kvae.errors import BundleError
from kvae.files import ours

PREVIEW, RECONSTRUCTIONS, REFERENCE = "preview.png", "reconstructions.png", "reference.npz"


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with the hash of every other file in the folder, and return it as written."""
    files = {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.name != FILE_NAME}
    manifest = replace(manifest, files=files)
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def is_bundle(path: Path) -> bool:
    """Whether a folder is a bundle as kvae wrote it and holds nothing else, so that nothing is lost with it."""
    try:
        manifest = Manifest.read(path)
        written = json.loads((path / FILE_NAME).read_text(encoding="utf-8"))
    except (BundleError, OSError, ValueError):
        return False
    if not ours.holds_only(path, manifest.files, FILE_NAME) or (path / FILE_NAME).is_symlink():
        return False
    # The manifest's own hash is nowhere, but each graph holds a copy of it, without the hashes of the files.
    copied = written | {"files": {}}
    forms = [json.dumps(copied, separators=(",", ":")).encode(), json.dumps(copied, indent=2).encode()]  # 2: until 0.1
    graphs = [path / manifest.graph_file(name) for name in manifest.tensors]
    contents = [graph.read_bytes() for graph in graphs if graph.exists()]
    return all(any(form in content for form in forms) for content in contents)
