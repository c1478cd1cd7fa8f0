"""The onnxruntime-web that pages load has the hashes of the package that the examples install."""

import json

from programs import ROOT, node_modules

from kvae.bundle import onnxruntime_web


def test_integrity_follows_the_standard():
    """The example from the specification (W3C, Subresource Integrity, section 3.2)."""
    expected = "sha384-H8BRh8j48O9oYatfu5AZzq6A9RINhZO5H16dQZngK7T62em8MUt1FLm52t+eX6xO"
    assert onnxruntime_web.integrity(b"alert('Hello, world.');") == expected


def test_the_hashes_of_onnxruntime_web_match_the_pinned_package():
    """`read` recomputes them; the version matches package.json and the file itself."""
    ort_dir = node_modules(ROOT / "examples" / "browser") / "onnxruntime-web"
    assert json.loads((ort_dir / "package.json").read_text())["version"] == onnxruntime_web.VERSION
    found = onnxruntime_web.read(ort_dir)
    assert f"ONNX Runtime Web v{onnxruntime_web.VERSION}".encode() in found["ort.wasm.bundle.min.mjs"]
    assert found == onnxruntime_web.read(ort_dir / "dist")
    assert f"onnxruntime-web@{onnxruntime_web.VERSION}/" in onnxruntime_web.CDN
