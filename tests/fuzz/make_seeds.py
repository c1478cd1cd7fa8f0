"""Writes the seeds: tiny real files, one or more per reader. Run it where a format changes, and look at what differs.

python tests/fuzz/make_seeds.py
"""

import gzip
import io
import json
import sys
import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)

import numpy as np
import onnx
from fuzz import readers
from fuzz.readers import SEEDS
from PIL import Image
from tiny import DATASET, make_vae

from kvae.bundle.manifest import Manifest
from kvae.conversion import graph_files
from kvae.export.bundles import export
from kvae.files import idx

SHAPE = (8, 8, 1)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 9, 8, 3), np.uint8)


def put(reader: str, name: str, content: bytes) -> None:
    """Write a seed."""
    path = SEEDS / reader / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def graphs(scratch: Path) -> None:
    """Graphs, manifests and a bundle of models as small as they get."""
    for architecture in ("mlp", "conv"):
        vae = make_vae(SHAPE, architecture=architecture, latent_dim=2, hidden_units=2)
        train = np.random.default_rng(0).integers(0, 256, (20, *SHAPE), np.uint8)
        path = export(vae, scratch / architecture, dataset=DATASET, train_images=train).path
        decoder = onnx.load(path / "decoder.onnx")
        graph_files.write_ort(decoder, scratch / "decoder.ort")
        if architecture == "mlp":
            put("ort", "decoder.ort", (scratch / "decoder.ort").read_bytes())
            put("manifest", "manifest.json", (path / "manifest.json").read_bytes())
            put("onnx", "encoder.onnx", (path / "encoder.onnx").read_bytes())
            put("bundle", "decoder.onnx", (path / "decoder.onnx").read_bytes())  # its encoder is that of `onnx`
            manifest = Manifest.read(path)
            graphs_alone = {name: digest for name, digest in manifest.files.items() if name.endswith(".onnx")}
            put("bundle", "manifest.json", replace(manifest, files=graphs_alone).to_json().encode())
        if decoder.ByteSize() < 40_000:
            put("onnx", f"{architecture}.onnx", decoder.SerializeToString())


def zips() -> None:
    """The zip of the seed of `bundle`, at its top and in a folder."""
    paths = [*sorted((SEEDS / "bundle").iterdir()), SEEDS / "onnx" / "encoder.onnx"]
    files = {path.name: path.read_bytes() for path in paths}
    put("zip", "top.zip", archive(files))
    put("zip", "folder.zip", archive({f"vae/{name}": content for name, content in files.items()}))


def arrays() -> None:
    """Arrays of bytes and floats, in each kind of file."""
    grey = idx.to_bytes(PIXELS[..., 0])
    put("idx", "grey-ubyte", grey)
    put("idx", "colour-ubyte", idx.to_bytes(PIXELS))
    put("idx", "grey.gz", gzip.compress(grey, mtime=0))
    for name, array in (("bytes", PIXELS), ("floats", PIXELS[..., 0].astype(np.float32) / 255), ("bits", PIXELS > 99)):
        file = io.BytesIO()
        np.save(file, array)
        put("npz", f"{name}.npy", file.getvalue())
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        file = io.BytesIO()
        save(file, images=PIXELS, labels=np.arange(3))
        put("npz", f"{name}.npz", file.getvalue())
    file = io.BytesIO()
    np.savez(
        file, x_train=PIXELS, y_train=np.eye(3), test_images=PIXELS[:2] / 255, test_labels=np.array([["a"], ["b"]])
    )
    put("splits", "splits.npz", file.getvalue())


def pictures() -> None:
    """A picture of each format and mode that is read."""
    colour = Image.fromarray(PIXELS[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    palette = colour.quantize(8)
    for name, picture, settings in (
        ("colour.png", colour, {"exif": exif}),
        ("grey.png", colour.convert("L"), {}),
        ("bits.png", colour.convert("1"), {}),
        ("palette.png", palette, {"transparency": 2}),
        ("alpha.png", colour.convert("RGBA"), {}),
        ("colour.jpg", colour, {"exif": exif}),
        ("progressive.jpg", colour, {"progressive": True}),
        ("cmyk.jpg", colour.convert("CMYK"), {}),
        ("lossy.webp", colour, {}),
        ("lossless.webp", colour.convert("RGBA"), {"lossless": True, "exif": exif}),
        ("colour.bmp", colour, {}),
        ("palette.gif", palette, {"transparency": 1}),
        ("plain.tif", colour, {}),
        ("lzw.tif", colour, {"compression": "tiff_lzw"}),
        ("deflate.tif", palette, {"compression": "tiff_adobe_deflate"}),
        ("jpeg.tif", colour, {"compression": "jpeg"}),
        ("colour.ppm", colour, {}),
    ):
        file = io.BytesIO()
        picture.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(name[-3:], name.rpartition(".")[2].upper()), **settings)
        put("images", name, file.getvalue())
    put("images", "plain.ppm", b"P3\n# three by two\n3 2\n255\n" + b" 7 200 31" * 6 + b"\n")


def records(scratch: Path) -> None:
    """TFRecords of two pictures with labels."""
    import tensorflow as tf

    path = scratch / "x.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for label, pixels in enumerate(PIXELS[:2]):
            example = tf.train.Example()
            example.features.feature["image/encoded"].bytes_list.value.append(tf.io.encode_png(pixels).numpy())
            example.features.feature["label"].int64_list.value.append(label)
            writer.write(example.SerializeToString(deterministic=True))
    put("records", "pictures.tfrecord", path.read_bytes())
    put("records", "pictures.tfrecord.gz", gzip.compress(path.read_bytes(), mtime=0))


def archive(files: dict[str, bytes]) -> bytes:
    """A zip archive that is the same every time."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in sorted(files.items()):
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            written.writestr(info, content)
    return target.getvalue()


def run_folder() -> None:
    """A finished run of four epochs, without its pictures and weights."""
    old = Path(__file__).parent.parent / "old" / "whole"
    names = ("config.json", "history.csv", "bundle/manifest.json")
    number = {"value": -300.5, "standard_error": 1.5}
    put("run", "run.zip", archive(
        {name: (old / name).read_bytes() for name in names}
        | {
            "metrics.json": json.dumps(dict.fromkeys(("elbo", "distortion", "rate", "active_units"), number)).encode(),
            "dataset.json": json.dumps({"name": "fashion_mnist_mini", "sha256": "0" * 64, "train": 4000}).encode(),
            "environment.json": json.dumps({"kvae": "0.1.0", "python": "3.11"}).encode(),
            "skipped.jsonl": b'{"step": 3, "seed": 5, "loss": null}\n',
        }
    ))  # fmt: skip


def image_cache() -> None:
    """The decoded images of a data set of sixty."""
    put("cache", "cache.zip", archive(readers._own_images()[2]))


def compressed(scratch: Path) -> None:
    """Images compressed by the seed of `bundle`; portable, so that the seeds are accepted on any processor."""
    from kvae.compression import compress

    model = scratch / "model"
    model.mkdir()
    for seed in (*(SEEDS / "bundle").iterdir(), SEEDS / "onnx" / "encoder.onnx"):
        (model / seed.name).write_bytes(seed.read_bytes())
    images = (np.random.default_rng(0).integers(0, 2, (5, *SHAPE)) * 255).astype(np.uint8)
    for coding in ("bits-back", "cross-entropy"):
        compress(model, images, scratch / "a.kvz", coding, portable=True, batch=2)
        put("kvz", f"{coding}.kvz", (scratch / "a.kvz").read_bytes())


def checkpoint(scratch: Path) -> None:
    """The last checkpoint of two epochs."""
    from kvae.training import checkpoints

    vae = readers._compiled()
    vae.optimizer.build(vae.trainable_variables)
    callback = checkpoints.Checkpoints(scratch)
    callback.set_model(vae)
    callback.on_train_begin()
    for epoch in range(2):
        callback.on_epoch_end(epoch, {"loss": 3.0 - epoch, "val_loss": 2.0 - epoch})
    put("checkpoint", "last.keras", (scratch / checkpoints.LAST).read_bytes())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        graphs(Path(scratch))
        records(Path(scratch))
        checkpoint(Path(scratch))
        compressed(Path(scratch))
    zips()
    image_cache()
    run_folder()
    put("lock", "lock", b"12345\n")
    arrays()
    pictures()
