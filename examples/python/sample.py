"""One image of a kvae bundle as a PNG, with numpy and onnxruntime alone: python sample.py BUNDLE SEED OUT.png

Each function is a section of docs/bundle-format.md, which specifies all of it.
"""

import hashlib
import json
import os
import re
import struct
import sys
import zlib
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else onnxruntime 1.29 and later report to their maker
import onnxruntime  # noqa: E402  # reads that when it is imported


def noise(seed, image, dim):
    """The noise of image number `image`, `(1, dim)` float32."""
    blocks = -(-dim // 4)
    words = np.random.Philox(key=seed, counter=image * blocks).random_raw(4 * blocks) >> np.uint64(11)
    u, v = (words[0::2] + np.uint64(1)) / 2**53, words[1::2] / 2**53
    normals = np.sqrt(-2 * np.log(u)) * [np.cos(2 * np.pi * v), np.sin(2 * np.pi * v)]
    return normals.T.reshape(1, -1)[:, :dim].astype(np.float32)


def png(image):
    """The bytes of a PNG of `(height, width, channels)`, clipped to [0, 1]; grey has 1 channel, RGB has 3."""
    height, width, channels = image.shape
    pixels = np.rint(255 * image.clip(0, 1)).astype(np.uint8).reshape(height, -1)
    rows = np.insert(pixels, 0, 0, axis=1).tobytes()  # before each row the number of its filter, none
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(rows), b"IEND"]
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def read_manifest(path):
    """The manifest, which has the fields that this program needs."""
    try:
        manifest = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        sys.exit(f"{path} is not JSON.")
    match manifest:
        case {"format_version": int(version)} if version > 1:
            sys.exit(f"{path} has format_version {version}; this program knows 1.")
        case {"format_version": 1, "image_shape": [int(), int(), int()] as shape, "latent_dim": int(dim), "files": {}}:
            if min(dim, *shape) > 0:
                return manifest
    sys.exit(f"{path} is no bundle's manifest: check its format_version, image_shape, latent_dim and files.")


def open_decoder(bundle):
    """The manifest of a bundle, and its decoder in onnxruntime."""
    manifest = read_manifest(bundle / "manifest.json")
    name = f"decoder.{manifest.get('graph_format', 'onnx')}"
    graph = (bundle / name).read_bytes()
    if hashlib.sha256(graph).hexdigest() != manifest["files"].get(name):
        sys.exit(f"{bundle / name} is not the file that the manifest names: it was changed or cut short.")
    return manifest, onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def main(bundle, seed, out):
    if not re.fullmatch("[0-9]{1,20}", seed) or int(seed) >= 2**64:
        sys.exit(f"seed is {seed}; expected an integer from 0 to 2^64 - 1.")
    manifest, decoder = open_decoder(Path(bundle))
    if manifest["image_shape"][2] not in (1, 3):
        sys.exit(f"{bundle} has images of {manifest['image_shape'][2]} channels, which are no pictures.")
    (mean,) = decoder.run(["mean"], {"z": noise(int(seed), 0, manifest["latent_dim"])})
    Path(out).write_bytes(png(mean[0]))


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python sample.py BUNDLE SEED OUT.png")
    try:
        main(*sys.argv[1:])
    except OSError as error:
        sys.exit(str(error))
