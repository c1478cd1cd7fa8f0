"""One image of a kvae bundle as a PNG, with numpy and onnxruntime alone: python sample.py BUNDLE SEED OUT.png

With `--label NAME` a model with labels draws an image of that label, whose index may stand for its name. Each function
is a section of docs/bundle-format.md, which specifies all of it.
"""

import difflib
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


def choice(seed, image, cumulative, stream):
    """What was chosen for image number `image`, `(1,)` int64: its component in stream 1, its label in stream 2."""
    word = np.random.Philox(key=np.array([seed, stream], np.uint64), counter=image).random_raw(1) >> np.uint64(11)
    return np.searchsorted(np.array(cumulative, np.uint64), word, side="right").astype(np.int64)


def label_index(text, labels):
    """The index of a label that is given by its name or its index."""
    if labels is None:
        sys.exit(f"label is {text!r}, but this model has no labels.")
    if text in labels:
        return labels.index(text)
    alike = [index for index, name in enumerate(labels) if name.casefold() == text.casefold()]
    if len(alike) == 1:
        return alike[0]
    are_numbers = any(re.fullmatch("[0-9]+", name) for name in labels)  # an index would be mistaken for one of them
    if re.fullmatch("[0-9]{1,9}", text) and int(text) < len(labels) and not are_numbers:
        return int(text)
    near = ", ".join(map(repr, difflib.get_close_matches(text, labels, cutoff=0)))
    expected = "a name" if are_numbers else f"a name or an index from 0 to {len(labels) - 1}"
    sys.exit(f"label is {text!r}; expected {expected}. The nearest names are {near}.")


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
    absent = {"components": None, "labels": None, "label_weights": None}
    match manifest:
        case {"format_version": int(version)} if version > 2:
            sys.exit(f"{path} has format_version {version}; this program knows versions up to 2.")
        case {"format_version": 1}:  # which has none of this, whatever stands there
            manifest |= absent | {"prior": "standard_normal"}
        case {"format_version": 2}:
            manifest = absent | manifest
    match manifest:
        case {
            "format_version": 1 | 2,
            "image_shape": [int(), int(), int()] as shape,
            "latent_dim": int(dim),
            "files": {},
            "prior": str(),
            "components": None | [*_],
            "labels": None | [*_] as labels,
            "label_weights": None | [*_] as weights,
        }:
            if min(dim, *shape) > 0 and (labels is None) == (weights is None):
                return manifest
    needed = "format_version, image_shape, latent_dim, files, prior, components, labels and label_weights"
    sys.exit(f"{path} is no bundle's manifest: check its {needed}.")


def open_graph(bundle, manifest, role):
    """A graph in onnxruntime, such as the "decoder"."""
    name = f"{role}.{manifest.get('graph_format', 'onnx')}"
    graph = (bundle / name).read_bytes()
    if hashlib.sha256(graph).hexdigest() != manifest["files"].get(name):
        sys.exit(f"{bundle / name} is not the file that the manifest names: it was changed or cut short.")
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


def sample(bundle, manifest, seed, image=0, label=None):
    """The image of this number, `(height, width, channels)`; its label is drawn, unless its index is given."""
    given = {}
    if manifest["labels"] is not None:
        drawn = choice(seed, image, manifest["label_weights"], 2)
        given["label"] = drawn if label is None else np.array([label])
    z = noise(seed, image, manifest["latent_dim"])
    if manifest["prior"] != "standard_normal":
        inputs = {"noise": z} | given
        if manifest["components"] is not None:
            inputs["component"] = choice(seed, image, manifest["components"], 1)
        (z,) = open_graph(bundle, manifest, "prior").run(["z"], inputs)
    (mean,) = open_graph(bundle, manifest, "decoder").run(["mean"], {"z": z} | given)
    return mean[0]


def main(bundle, seed, out, label=None):
    if not re.fullmatch("[0-9]{1,20}", seed) or int(seed) >= 2**64:
        sys.exit(f"seed is {seed}; expected an integer from 0 to 2^64 - 1.")
    bundle = Path(bundle)
    manifest = read_manifest(bundle / "manifest.json")
    if manifest["image_shape"][2] not in (1, 3):
        sys.exit(f"{bundle} has images of {manifest['image_shape'][2]} channels, which are no pictures.")
    chosen = None if label is None else label_index(label, manifest["labels"])
    Path(out).write_bytes(png(sample(bundle, manifest, int(seed), label=chosen)))


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if len(arguments) not in (3, 5) or arguments[3:4] not in ([], ["--label"]):
        sys.exit("usage: python sample.py BUNDLE SEED OUT.png [--label NAME]")
    try:
        main(*arguments[:3], *arguments[4:])
    except OSError as error:
        sys.exit(str(error))
