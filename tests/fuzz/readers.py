"""What is fuzzed: each reader of files that strangers may have made, from the bytes of a file to a use of what it holds.

A reader may return, or raise KvaeError. `SEEDS / reader` holds files it accepts, `CORPUS / reader` files that once broke
it or that it refuses, each for another reason.
"""

import contextlib
import hashlib
import json
from pathlib import Path

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
CORPUS = HERE / "corpus"


def read_manifest(content: bytes, folder: Path) -> None:
    """manifest.json, and what is written of it."""
    from kvae import card, summary
    from kvae.manifest import Manifest

    (folder / "manifest.json").write_bytes(content)
    manifest = Manifest.read(folder)
    manifest.used_dimensions()
    Manifest.from_json(manifest.for_graph(), "its own JSON")
    summary.as_text(manifest, folder)
    card.render(manifest)


def read_graph(content: bytes, folder: Path, name: str = "lone.onnx") -> None:
    """A lone graph, and one call of it."""
    from kvae.runtime import Bundle

    path = folder / name
    path.write_bytes(content)
    _use(Bundle.open(path, device="cpu", threads=1))


def read_ort(content: bytes, folder: Path) -> None:
    """A lone graph in onnxruntime's format."""
    read_graph(content, folder, "lone.ort")


def read_bundle(content: bytes, folder: Path) -> None:
    """A bundle folder with a manifest, or with a decoder, of which all hashes agree with the files."""
    from kvae.runtime import Bundle

    for seed in (SEEDS / "bundle").iterdir():
        (folder / seed.name).write_bytes(seed.read_bytes())
    changed = "manifest.json" if content[:1] == b"{" else "decoder.onnx"
    (folder / changed).write_bytes(content)
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads((folder / "manifest.json").read_bytes())
        if isinstance(values, dict) and isinstance(values.get("files"), dict):
            names = ("decoder.onnx", "encoder.onnx")
            values["files"] |= {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
            (folder / "manifest.json").write_bytes(json.dumps(values).encode())
    _use(Bundle.open(folder, device="cpu", threads=1))


def _use(bundle) -> None:
    import numpy as np

    if "decoder" in bundle.graphs:
        bundle.sample(2)
    if "encoder" in bundle.graphs:
        bundle.encode(np.zeros((2, *bundle.manifest.image_shape), np.float32))


def read_images(content: bytes, folder: Path, name: str = "picture") -> None:
    """A picture, or the pictures of an array, brought to a model's size."""
    from kvae import images

    path = folder / name
    path.write_bytes(content)
    for _ in images.open_images([path], (8, 8, 3), resize=True).batches():
        pass


def read_idx(content: bytes, folder: Path) -> None:
    """An idx file, compressed or not."""
    read_images(content, folder, "a.gz" if content[:2] == b"\x1f\x8b" else "a-ubyte")


def read_arrays(content: bytes, folder: Path) -> None:
    """A .npz or a .npy."""
    read_images(content, folder, "a.npz" if content[:2] == b"PK" else "a.npy")


READERS = {
    "manifest": read_manifest,
    "onnx": read_graph,
    "ort": read_ort,
    "bundle": read_bundle,
    "idx": read_idx,
    "npz": read_arrays,
    "images": read_images,
}


def seeds(reader: str) -> list[bytes]:
    """The files that the reader accepts, in the order of their names."""
    return [path.read_bytes() for path in sorted((SEEDS / reader).iterdir())]


def corpus(reader: str) -> dict[str, bytes]:
    """The files kept for the reader, by name."""
    folder = CORPUS / reader
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}
