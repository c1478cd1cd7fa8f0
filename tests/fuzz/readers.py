"""What is fuzzed: each reader of files that strangers may have made, from a file's bytes to a use of what it holds.

A reader may return, or raise KvaeError. `SEEDS / reader` holds files it accepts, `CORPUS / reader` files that once
broke it or that it refuses, each for another reason.
"""

import atexit
import contextlib
import functools
import hashlib
import io
import json
import os
import shutil
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path

HERE = Path(__file__).parent
SEEDS = HERE / "seeds"
CORPUS = HERE / "corpus"
CACHE_SHAPE = (60, 8, 8, 1)
"""Images whose decoded copy in the cache is a seed."""
RUN_FILES = (
    "config.json", "history.csv", "metrics.json", "dataset.json", "environment.json", "skipped.jsonl",
    "bundle/manifest.json",
)  # fmt: skip
"""The files of a run that its list and its report read."""


def read_manifest(content: bytes, folder: Path) -> None:
    """manifest.json, and what is written of it."""
    from kvae.bundle import card, summary
    from kvae.bundle.manifest import Manifest

    (folder / "manifest.json").write_bytes(content)
    manifest = Manifest.read(folder)
    manifest.used_dimensions()
    Manifest.from_json(manifest.for_graph(), "its own JSON")
    summary.as_text(manifest, folder)
    card.render(manifest)


def read_graph(content: bytes, folder: Path, name: str = "lone.onnx") -> None:
    """A lone graph, and one call of it."""
    from kvae.runtime.bundle import Bundle

    path = folder / name
    path.write_bytes(content)
    _use(Bundle.open(path, device="cpu", threads=1))


def read_ort(content: bytes, folder: Path) -> None:
    """A lone graph in onnxruntime's format."""
    read_graph(content, folder, "lone.ort")


def read_bundle(content: bytes, folder: Path) -> None:
    """A bundle folder with a manifest, or with a decoder, of which all hashes agree with the files."""
    from kvae.runtime.bundle import Bundle

    _make_bundle(content, folder)
    _use(Bundle.open(folder, device="cpu", threads=1))


def read_zip(content: bytes, folder: Path) -> None:
    """The zip of a bundle, from its bytes and from a path."""
    from kvae.runtime.bundle import Bundle

    (folder / "bundle.zip").write_bytes(content)
    _use(Bundle.open(folder / "bundle.zip", device="cpu", threads=1))
    Bundle.open(content, device="cpu", threads=1)


def verify_bundle(content: bytes, folder: Path) -> None:
    """The checks of `kvae verify` on such a folder; those that fail are its result, and told as a refusal here."""
    from kvae.checks import graph_checks, verification
    from kvae.errors import BundleError

    graph_checks.SPEED_SECONDS = 0.001
    _make_bundle(content, folder)
    report = verification.verify(folder, device="cpu")
    if not report.passed:
        raise BundleError(
            "; ".join(check.detail for check in report.checks if check.status == verification.FAILED)[:500]
        )


def _make_bundle(content: bytes, folder: Path) -> None:
    for seed in (*(SEEDS / "bundle").iterdir(), SEEDS / "onnx" / "encoder.onnx"):
        (folder / seed.name).write_bytes(seed.read_bytes())
    changed = "manifest.json" if content[:1] == b"{" else "decoder.onnx"
    (folder / changed).write_bytes(content)
    with contextlib.suppress(ValueError, RecursionError):
        values = json.loads((folder / "manifest.json").read_bytes())
        if isinstance(values, dict) and isinstance(values.get("files"), dict):
            names = ("decoder.onnx", "encoder.onnx")
            values["files"] |= {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
            (folder / "manifest.json").write_bytes(json.dumps(values).encode())


def _use(bundle) -> None:
    import numpy as np

    if "decoder" in bundle.graphs:
        bundle.sample(2)
    if "encoder" in bundle.graphs:
        bundle.encode(np.zeros((2, *bundle.manifest.image_shape), np.float32))


def read_images(content: bytes, folder: Path, name: str = "picture") -> None:
    """A picture, or the pictures of an array, brought to a model's size."""
    from kvae.data import images

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


def read_training_data(content: bytes, folder: Path) -> None:
    """The images of a data set: an array, or a folder with one picture; each is decoded, or told to be skipped."""
    is_array = content[:2] in (b"PK", b"\x1f\x8b", b"\0\0") or content[:6] == b"\x93NUMPY"
    suffix = {b"PK": ".npz", b"\x1f\x8b": ".gz", b"\0\0": "-ubyte"}.get(content[:2], ".npy" if is_array else ".png")
    (folder / f"a{suffix}").write_bytes(content)
    _decode_all(folder / f"a{suffix}" if is_array else folder)


def read_records(content: bytes, folder: Path) -> None:
    """The images of a data set in TFRecords, compressed or as they are; then with the right checksums again."""
    path = folder / ("a.tfrecord.gz" if content[:2] == b"\x1f\x8b" else "a.tfrecord")
    path.write_bytes(content if path.suffix == ".gz" else _with_checksums(content))
    _decode_all(path)


def _with_checksums(content: bytes) -> bytes:
    """TFRecords: length (8 bytes, little-endian), its checksum (4), content, its checksum."""
    found, start = bytearray(content), 0
    while start + 12 <= len(found):
        length = found[start : start + 8]
        found[start + 8 : start + 12] = _checksum(length)
        start, end = start + 12, start + 12 + int.from_bytes(length, "little")
        if end + 4 <= len(found):
            found[end : end + 4] = _checksum(found[start:end])
        start = end + 4
    return bytes(found)


def _divided(crc: int) -> int:
    """A remainder of CRC-32C, eight bits on."""
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


REMAINDERS = [_divided(byte) for byte in range(256)]


def _checksum(content: bytes) -> bytes:
    """CRC-32C, byte by byte, masked as TFRecords have it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ REMAINDERS[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _decode_all(path: Path) -> None:
    from kvae.data import decoding, opening, sources
    from kvae.errors import DataError

    with opening.quiet():
        for item in sources.open_source(path).items():
            try:
                decoding.decode(item.content, (8, 8, 3), resize=True)
            except opening.Unusable as error:
                raise DataError(f"{item.name}: {error}") from None


def read_run(content: bytes, folder: Path) -> None:
    """A run's folder: the list of runs, and its report. The input is a zip archive of the run's files."""
    from kvae.errors import KvaeError
    from kvae.runs import listing, report

    run = folder / "run"
    _unpack(content, run, RUN_FILES)
    runs, skipped = listing.find(run)
    json.dumps(listing.as_json(runs, skipped))
    if runs:
        listing.as_text(runs, 80)
        if hashlib.sha256(content).digest()[0] < 8 or content in seeds("run"):  # its figures take half a second
            report.render(run)
    if skipped:
        raise KvaeError(skipped[0])


def read_image_cache(content: bytes, folder: Path) -> None:
    """The decoded images of a user's data in kvae's cache. The input is a zip archive of the folder's files."""
    import numpy as np

    from kvae import data

    config, cache, files = _own_images()
    cache.mkdir(exist_ok=True)
    for name, inner in files.items():
        (cache / name).write_bytes(inner)
    _unpack(content, cache, tuple(files))
    found = data.of(config)
    for split in (found.train, found.validation, found.test):
        for array in (split.images, split.labels):
            if array is not None:
                np.asarray(array).sum()
        list(split.names or ())


def _tensorflow():
    """What reads TFRecords: it takes longer to import than an input may take."""
    import tensorflow  # noqa: F401


@functools.cache
def _own_images():
    """The config of a data set of sixty images, the folder of their decoded copy in the cache, and its files."""
    import numpy as np

    from kvae import data
    from kvae.config import TrainConfig
    from kvae.data import image_cache

    scratch = Path(tempfile.mkdtemp(prefix="kvae-fuzz-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    os.environ["KVAE_CACHE_DIR"] = str(scratch / "cache")
    np.save(scratch / "own.npy", np.random.default_rng(0).integers(0, 256, CACHE_SHAPE, np.uint8))
    config = TrainConfig(data=str(scratch / "own.npy"))
    data.of(config)
    (summary,) = (scratch / "cache").rglob(image_cache.SUMMARY)
    return config, summary.parent, {path.name: path.read_bytes() for path in summary.parent.iterdir()}


def read_lock(content: bytes, folder: Path) -> None:
    """The lock of a run: what stands in it is told of its holder, in one line."""
    from kvae.errors import KvaeError
    from kvae.files import locks

    locks.PAUSE = 0
    (folder / locks.FILE).write_bytes(content)
    locks.is_held(folder)
    with locks.held(folder):
        (folder / locks.FILE).write_bytes(content)  # as if its holder had written it
        try:
            locks.check_free(folder)
        except KvaeError as error:
            if not str(error).isprintable():
                raise


def read_checkpoint(content: bytes, folder: Path) -> None:
    """The last checkpoint of a training."""
    vae = _compiled()
    from kvae.training import checkpoints

    path = folder / checkpoints.LAST
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    state = checkpoints.restore(vae, folder)
    state.has_stalled(3), state.best_epoch


@functools.cache
def _compiled():
    """The tiny model whose checkpoint is a seed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TensorFlow Probability, when it is imported
        from tiny import make_vae

    vae = make_vae((8, 8, 1), architecture="mlp", latent_dim=2, hidden_units=2)
    vae.compile(optimizer="adam")
    return vae


def _unpack(content: bytes, folder: Path, names: tuple[str, ...]) -> None:
    """Write the members of an archive that have one of these names; what is no archive is the first of them."""
    folder.mkdir(exist_ok=True)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist() if name in names}
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        members = {names[0]: content}
    for name, inner in members.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(inner)


def read_kvz(content: bytes, folder: Path) -> None:
    """Compressed images, by the bundle of the seeds: as they are, and then with the right checksums again."""
    from kvae.compression import decompressed
    from kvae.errors import KvaeError

    model, path = folder / "model", folder / "a.kvz"
    model.mkdir(exist_ok=True)
    for seed in (*(SEEDS / "bundle").iterdir(), SEEDS / "onnx" / "encoder.onnx"):
        (model / seed.name).write_bytes(seed.read_bytes())
    path.write_bytes(content)
    try:
        for _ in decompressed(path, model):
            pass
    except KvaeError:
        path.write_bytes(_with_crcs(content))
        for _ in decompressed(path, model):
            pass


def _with_crcs(content: bytes) -> bytes:
    """A .kvz: 8 bytes; length and CRC-32 of the header; then blocks, whose CRC-32 is in their bytes 12 to 16."""
    found = bytearray(content)
    start = 16 + int.from_bytes(found[8:12], "little")
    found[12:16] = zlib.crc32(found[16:start]).to_bytes(4, "little")
    while start + 32 <= len(found):
        end = start + 32 + 4 * int.from_bytes(found[start + 4 : start + 8], "little")
        found[start + 12 : start + 16] = bytes(4)
        found[start + 12 : start + 16] = zlib.crc32(found[start:end]).to_bytes(4, "little")
        start = end
    return bytes(found)


def run_python(content: bytes, folder: Path) -> None:
    """No reader: what stands there as Python, which tests of the fuzzer use."""
    exec(content, {})


READERS = {
    "manifest": read_manifest,
    "onnx": read_graph,
    "ort": read_ort,
    "bundle": read_bundle,
    "zip": read_zip,
    "verify": verify_bundle,
    "idx": read_idx,
    "npz": read_arrays,
    "images": read_images,
    "data": read_training_data,
    "records": read_records,
    "run": read_run,
    "cache": read_image_cache,
    "lock": read_lock,
    "kvz": read_kvz,
    "checkpoint": read_checkpoint,
}
PREPARED = {"checkpoint": _compiled, "cache": _own_images, "records": _tensorflow}
"""What a reader makes or imports once."""
SEEDS_OF = {"verify": ("bundle",), "data": ("idx", "npz", "images", "splits")}
"""The seeds of readers that have none of their own."""


def seeds(reader: str) -> list[bytes]:
    """The files that the reader accepts, in the order of their names."""
    folders = SEEDS_OF.get(reader, (reader,))
    return [path.read_bytes() for folder in folders for path in sorted((SEEDS / folder).iterdir())]


def corpus(reader: str) -> dict[str, bytes]:
    """The files kept for the reader, by name."""
    folder = CORPUS / reader
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}
