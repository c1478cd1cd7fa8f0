"""The onnxruntime-web that runs graphs in web pages: its version, where browsers fetch it, and how they check it."""

import base64
import hashlib
from pathlib import Path

from kvae.errors import KvaeError

VERSION = "1.30.0"
CDN = f"https://cdn.jsdelivr.net/npm/onnxruntime-web@{VERSION}/dist/"
FILES = {
    "ort.wasm.bundle.min.mjs": "sha384-PLWz+nHEVHpjwBsO0YVdvQj6n5814Iv8E3b8FG0Rp/uIAtjFMCKOpP66iPzedrIG",
    "ort-wasm-simd-threaded.wasm": "sha384-vjBJ1z7qrhkTyYsNqKeF6c7N+nOJSU94czEo+tvZcu8G75JparGq9kB+kTnEUNVM",
}
"""The files that the page of `kvae explore` loads, with the hashes by which a browser checks them."""


def read(folder: Path) -> dict[str, bytes]:
    """The files of `FILES`, from a folder that holds the npm package or its `dist`.

    Raises:
        KvaeError: a file is missing, or comes from another version than `VERSION`.
    """
    dist = folder / "dist" if (folder / "dist").is_dir() else folder
    expected = f"Expected onnxruntime-web {VERSION} or its dist folder (npm pack onnxruntime-web@{VERSION})."
    found = {}
    for name, digest in FILES.items():
        try:
            found[name] = (dist / name).read_bytes()
        except OSError as error:
            raise KvaeError(f"--ort-dir: cannot read {dist / name}: {error.strerror}. {expected}") from None
        if integrity(found[name]) != digest:
            raise KvaeError(f"--ort-dir: {dist / name} comes from another version. {expected}")
    return found


def integrity(content: bytes) -> str:
    """The hash by which a browser checks a file (W3C, Subresource Integrity)."""
    return "sha384-" + base64.b64encode(hashlib.sha384(content).digest()).decode()
