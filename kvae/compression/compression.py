"""Files of images, compressed by a model without loss, and back."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae import __version__
from kvae.compression import codes, kvz, pixels, priors
from kvae.compression.arrays import of_array
from kvae.compression.coder import CODINGS, Coder, Terms
from kvae.compression.codes import Grid
from kvae.compression.kvz import Block, Header, Reader
from kvae.compression.stack import INITIAL_KEY, Empty, Stack, load_constriction
from kvae.data.images import Images
from kvae.errors import KvaeError
from kvae.files import output, pictures
from kvae.files.atomic import atomic_file
from kvae.files.text import printable
from kvae.machine import processor
from kvae.runtime import sources
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Label
from kvae.runtime.labelling import OfStream

Bytes = NDArray[np.uint8]
BATCH = 32
BATCH_NUMBERS = 2**20
"""The most numbers in a batch, unless it is one image: their distributions take some hundred bytes for each."""
Progress = Callable[[int, int], None]


class NotHere(KvaeError):
    """A file is whole, but this machine computes other probabilities than the one that wrote it."""


@dataclass(frozen=True)
class Compressed:
    """What became of some images. All rates are in bits per dimension, that is per pixel and channel."""

    images: int
    dimensions: int
    """The dimensions of all images together."""
    bytes: int
    """The whole file."""
    initial_bytes: int
    """Of them those that the stacks began with, so that there was something to choose from."""
    coding: str
    portable: bool
    bits_per_dim: float
    """Of the whole file."""
    elbo_bits_per_dim: float
    """-ELBO of the model on these images, at the codes that were drawn: distortion + rate. For a model with labels it
    bounds -log p(x|y), and `label_bits_per_dim` are added to it for -log p(x, y)."""
    distortion_bits_per_dim: float
    rate_bits_per_dim: float
    """KL(q(z|x) || p(z))."""
    cross_entropy_bits_per_dim: float
    """H(q, p): -log2 p(z) of the codes on their grid, which they cost without bits back."""
    entropy_bits_per_dim: float
    """H(q): -log2 q(z|x) of them, which bits back give back."""
    label_bits_per_dim: float
    """-log2 p(y); 0 without labels."""
    note_bits_per_dim: float
    """What a portable file says about rounding."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)


def compress(
    model: sources.Source | Bundle,
    images: Images | Bytes,
    out: Path,
    coding: str = "bits-back",
    portable: bool = False,
    label: Label | None = None,
    batch: int | None = None,
    progress: Progress | None = None,
) -> Compressed:
    """Compress images to a file from which exactly these pixels come back.

    The file is decoded again before it appears under its name. Memory does not grow with the number of images.

    Args:
        model: the bundle of a model of 8-bit images (discretized_logistic) or of bits (bernoulli); see `Bundle.open`.
            One that is open already must be on the CPU, with `threads=1`, as it is here.
        images: the images: a stream, as `kvae.data.images.open_images` gives it, or bytes `(n, height, width,
            channels)`. Those for a model of bits are 0 and 255.
        out: the file.
        coding: "bits-back", at the rate of the -ELBO, or "cross-entropy", the same without bits back, to compare.
        portable: say where rounding was close, so that the file can be decoded on another processor, too.
        label: the images' class, if the model has labels: one by name or number, one for each image, or "best". It is
            in the file.
        batch: images in a call of a graph; by default `BATCH`, or fewer if they are large.
        progress: is told how many images are done, of how many: each counts twice, when it is coded and when decoded.

    Raises:
        KvaeError: the model has no code, constriction is not installed, an image does not fit the model, this machine
            does not repeat its own numbers, or the file cannot be written.
    """
    load_constriction()
    if coding not in CODINGS:
        raise KvaeError(f"coding must be one of {', '.join(CODINGS)}; got '{coding}'.")
    if batch is not None and not 1 <= batch <= kvz.MAX_BATCH:
        raise KvaeError(f"batch must be from 1 to {kvz.MAX_BATCH}; got {batch}.")
    if out.suffix.lower() != ".kvz":
        raise KvaeError(f"{out}: the name must end in .kvz.")
    bundle = model if isinstance(model, Bundle) else Bundle.open(model, "cpu", threads=1)
    if portable and bundle.manifest.has_own_prior:
        raise KvaeError(f"a portable file needs a model with the prior N(0, I); this one has {bundle.manifest.prior}.")
    stream = images if isinstance(images, Images) else of_array(bundle.manifest, images)
    if not stream.count:
        raise KvaeError("there are no images to compress.")
    check(bundle, stream)
    blocks = _blocks(bundle, stream, OfStream(bundle, stream, label))
    first = next(blocks)
    header = _header(bundle, stream.count, *first, coding, portable, batch)
    coder = _coder(bundle, header)
    terms, initial, done, total = Terms(), 0, 0, 2 * stream.count
    with atomic_file(out) as temporary:
        with temporary.open("wb") as file:
            kvz.write_header(file, header)
            for block, labels in chain([first], blocks):
                stack = Stack(key=INITIAL_KEY)
                for of_batch in coder.encode(stack, block, labels):
                    terms += of_batch
                    if progress is not None:
                        progress(done := min(done + header.batch, stream.count), total)
                initial += stack.initial
                kvz.write_block(file, Block(len(block), stack.words(), stack.initial, kvz.digest(block)))
        with Reader(temporary) as reader:
            size = reader.size
            try:
                for decoded, _ in _decoded(reader, coder):
                    if progress is not None:
                        progress(done := done + len(decoded), total)
            except NotHere:
                raise KvaeError(
                    f"{out} was not written: this machine does not repeat its own numbers, and what it coded decodes "
                    f"to other pixels. Try again; if it happens again, try another version of onnxruntime."
                ) from None
    return _result(header, size, 4 * initial, terms)


def check(bundle: Bundle, images: Images) -> None:
    """Raise KvaeError if a model cannot code images at all, or not the first ones of these.

    That is said before what else may be missing, such as labels.
    """
    pixels.of(bundle.manifest.likelihood)
    for names, floats in images.batches():
        pixels.exact(bundle.manifest.likelihood, floats, names)
        return


def decompress(path: Path, model: sources.Source, out: Path, progress: Progress | None = None) -> int:
    """Write the images of a file that `compress` made, and return their number.

    Args:
        path: the file.
        model: the bundle that it was made with.
        out: a .npy, for bytes `(n, height, width, channels)`, or a folder, for one PNG per image.
        progress: is told how many images are done, of how many.

    Raises:
        DataError: there is no such file, it is not one of kvae's, or it is damaged.
        KvaeError: it was made with another bundle, this machine computes other probabilities than the one that made it,
            constriction is not installed, or the result cannot be written.
    """
    with Reader(path) as reader:
        header, coder = reader.header, _coder_of(reader, model)

        def images() -> Iterator[Bytes]:
            done = 0
            for block, _ in _decoded(reader, coder):
                yield block
                if progress is not None:
                    progress(done := done + len(block), header.count)

        output.write_exactly(images(), header.count, header.image_shape, out)
    return header.count


def decompressed(path: Path, model: sources.Source) -> Iterator[tuple[Bytes, NDArray[np.int64] | None]]:
    """The images of a file block by block, `(n, height, width, channels)`, and their labels, `(n,)`, if it has any.

    Arguments and errors as for `decompress`; no block is given whose checksum is wrong.
    """
    with Reader(path) as reader:
        yield from _decoded(reader, _coder_of(reader, model))


def _blocks(bundle: Bundle, stream: Images, labels: OfStream) -> Iterator[tuple[Bytes, NDArray[np.int64] | None]]:
    """The images of a stream in blocks, as bytes, with their labels if the model has labels."""
    size, likelihood = kvz.block_size(bundle.manifest.image_shape), bundle.manifest.likelihood
    images = np.empty((0, *bundle.manifest.image_shape), np.uint8)
    known = None if bundle.labels is None else np.empty(0, np.int64)
    for names, floats in stream.batches():
        images = np.concatenate([images, pixels.exact(likelihood, floats, names)])
        if known is not None:
            known = np.concatenate([known, labels.of_batch(names, floats)])
        while len(images) >= size:
            yield images[:size], None if known is None else known[:size]
            images, known = images[size:], None if known is None else known[size:]
    if len(images):
        yield images, known


def _header(
    bundle: Bundle,
    count: int,
    images: Bytes,
    labels: NDArray[np.int64] | None,
    coding: str,
    portable: bool,
    batch: int | None,
) -> Header:
    shape = bundle.manifest.image_shape
    some = slice(0, BATCH)  # they show how narrow posteriors are
    posterior = bundle.encode(pictures.to_float32(images[some]), None if labels is None else labels[some])
    found = priors.components(bundle)
    grid = codes.grid_for(float(min(posterior.scale.mean(axis=0).min(), found.scale.min())), found.farthest)
    return Header(
        kvae_version=__version__,
        coding=coding,
        portable=portable,
        graphs={name: sources.digest(graph) for name, graph in bundle.graphs.items()},
        image_shape=list(shape),
        count=count,
        block=kvz.block_size(shape),
        batch=batch or int(np.clip(BATCH_NUMBERS // math.prod(shape), 1, BATCH)),
        precision=grid.precision,
        reach=grid.reach,
        machine=machine(),
    )


def _coder(bundle: Bundle, header: Header) -> Coder:
    return Coder(bundle, Grid(header.precision, header.reach), header.coding, header.portable, header.batch)


def _coder_of(reader: Reader, model: sources.Source) -> Coder:
    """The coder of a file, if a bundle is the one that the file was made with."""
    load_constriction()
    header, bundle = reader.header, Bundle.open(model, "cpu", threads=1)
    found = {name: sources.digest(graph) for name, graph in bundle.graphs.items()}
    if found != header.graphs or bundle.manifest.image_shape != header.image_shape:
        wanted = header.graphs.get("decoder", "none")[:12]
        raise KvaeError(
            f"{reader.path} was compressed with another bundle: its decoder has sha256 {printable(wanted)}..., this "
            f"one {found.get('decoder', 'none')[:12]}.... Name that bundle with --model."
        )
    return _coder(bundle, header)


def _decoded(reader: Reader, coder: Coder) -> Iterator[tuple[Bytes, NDArray[np.int64] | None]]:
    """The images of a file block by block, and their labels, each block compared with its checksum."""
    for block in reader.blocks():
        images = np.empty((block.images, *reader.header.image_shape), np.uint8)
        labels = np.empty(block.images, np.int64)
        has_labels = False
        try:
            for part, found, known in coder.decode(block.words, block.initial, block.images):
                images[part] = found
                if known is not None:
                    labels[part], has_labels = known, True
        except Empty:
            raise _not_here(reader) from None
        if kvz.digest(images) != block.digest:
            raise _not_here(reader)
        yield images, labels if has_labels else None


def _not_here(reader: Reader) -> NotHere:
    """The error for a file whose bytes are right, while what they decode to is not."""
    there, here = reader.header.machine, machine()
    names = [name for name in here if there.get(name) != here[name]]
    differences = "; ".join(f"{name} {printable(there.get(name, 'unknown'))}, here {here[name]}" for name in names)
    return NotHere(
        f"{reader.path} cannot be decoded here, because this machine computes other probabilities than the one that "
        f"wrote it ({differences or 'the processor and all versions are the same'}). Decompress it there, or write it "
        f"there with --portable."
    )


def machine() -> dict[str, str]:
    """What the probabilities depend on here."""
    found = {"processor": processor.name()}
    for name in ("onnxruntime", "constriction", "numpy"):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _result(header: Header, size: int, initial: int, terms: Terms) -> Compressed:
    dimensions = header.count * math.prod(header.image_shape)
    nat = 1 / math.log(2)
    return Compressed(
        images=header.count,
        dimensions=dimensions,
        bytes=size,
        initial_bytes=initial,
        coding=header.coding,
        portable=header.portable,
        bits_per_dim=8 * size / dimensions,
        elbo_bits_per_dim=nat * (terms.distortion + terms.rate) / dimensions,
        distortion_bits_per_dim=nat * terms.distortion / dimensions,
        rate_bits_per_dim=nat * terms.rate / dimensions,
        cross_entropy_bits_per_dim=terms.prior_bits / dimensions,
        entropy_bits_per_dim=terms.posterior_bits / dimensions,
        label_bits_per_dim=terms.label_bits / dimensions,
        note_bits_per_dim=terms.note_bits / dimensions,
    )
