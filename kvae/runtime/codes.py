"""Codes in files: posteriors written to an .npz as the images stream, and codes read back for decoding."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kvae.bundle import binarization
from kvae.data.images import Batch, Images
from kvae.errors import DataError, KvaeError
from kvae.files import arrays
from kvae.runtime import class_labels
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Label
from kvae.runtime.labelling import OfStream
from kvae.runtime.latents import Floats

NAMES = ("z", "loc")
"""Names of the array in an .npz that is decoded: the user's own codes, or else the means that `write` wrote."""
LABEL = "label"
"""Name of the array in such an .npz with the label of each code, which a model with labels needs to decode it."""
ROWS = 1024
"""Codes decoded at a time."""


def write(bundle: Bundle, images: Images, batches: Iterator[Batch], path: Path, label: Label | None = None) -> None:
    """Write the posterior of each image to an .npz: `loc` and `scale` `(n, latent_dim)` float32, and `names`.

    The posterior of a model with groups is that of noise 0. A model with labels adds `label`, int64 `(n,)`.

    Args:
        bundle: the model.
        images: the images. Those that are skipped have no row; `names` says which image a row is.
        batches: the batches of `images`; a separate argument, so that a caller can show progress.
        path: the file, which is replaced if it exists.
        label: the images' class, if the model has labels: a label by name or number, one for each image (those
            that will be skipped included), or "best", for the label with the highest ELBO.

    Raises:
        KvaeError: the file name does not end in .npz, an image does not fit, a label is missing or unknown, or the file
            cannot be written.
    """
    if path.suffix.lower() != ".npz":
        raise KvaeError(f"{path}: the name must end in .npz.")
    of_codes = ((bundle.manifest.latent_dim,), "<f4")
    rows: dict[str, tuple[tuple[int, ...], str]] = {
        "loc": of_codes,
        "scale": of_codes,
        "names": ((), f"<U{images.longest_name}"),
    }
    labels = OfStream(bundle, images, label)
    if bundle.labels is not None:
        rows[LABEL] = ((), "<i8")

    def encoded() -> Iterator[dict[str, ArrayLike]]:
        for names, pixels in batches:
            encoder_input = binarization.as_encoded(bundle.manifest, pixels)
            known = labels.of_batch(names, encoder_input)
            posterior = bundle.encode(encoder_input, known)
            row: dict[str, ArrayLike] = {"loc": posterior.loc, "scale": posterior.scale, "names": names}
            yield row if known is None else row | {LABEL: known}

    arrays.write_npz(encoded(), images.count, rows, path)


def open_codes(path: Path, latent_dim: int) -> arrays.ArrayFile:
    """Codes in a .npy, or in an .npz under one of `NAMES`.

    Raises:
        DataError: there is no such file, or it does not hold `(n, latent_dim)` floating-point numbers.
    """
    if path.suffix.lower() not in arrays.SUFFIXES:
        raise DataError(f"{path}: codes are read from .npy or .npz.")
    codes = arrays.open_array(path, NAMES)
    if codes.shape[1:] != (latent_dim,) or codes.dtype.kind != "f":
        raise DataError(
            f"{path} holds {codes.dtype} of shape {codes.shape}; expected floating-point codes (n, {latent_dim})."
        )
    return codes


def decode(bundle: Bundle, codes: arrays.ArrayFile, label: Label | None = None) -> Iterator[Floats]:
    """The expected images of codes, in batches.

    Args:
        bundle: the model.
        codes: the codes.
        label: their class, if the model has labels: a label by name or number, or one for each code. By default
            the labels that `write` wrote beside the codes.

    Raises:
        KvaeError: a label is missing or not one of the model's.
    """
    if label is None and bundle.labels is not None:
        label = _labels_beside(codes)
    known = class_labels.resolve(bundle.manifest, label, codes.shape[0])
    firsts = range(0, codes.shape[0], ROWS)
    parts = (None if known is None else known[first : first + ROWS] for first in firsts)
    return (bundle.decode(z, part) for z, part in zip(codes.rows(ROWS), parts, strict=True))


def has_labels(codes: arrays.ArrayFile) -> bool:
    """Whether the labels of codes lie in the same file."""
    return codes.member is not None and LABEL in arrays.names_in(codes.path)


def _labels_beside(codes: arrays.ArrayFile) -> NDArray[Any] | None:
    """The labels in the same file as codes, `(n,)`; None if there are none."""
    if not has_labels(codes):
        return None
    found = arrays.open_array(codes.path, (LABEL,))
    if found.shape != codes.shape[:1]:
        raise DataError(f"{codes.path} holds {found.shape} labels for {codes.shape[0]:,} codes; expected one for each.")
    return np.concatenate(list(found.rows(found.shape[0])))


def reconstruct(
    bundle: Bundle, batches: Iterator[Batch], labels: OfStream | None = None
) -> Iterator[tuple[Floats, Floats, list[str]]]:
    """For each batch, the images as the encoder gets them, their reconstructions, and their names.

    Args:
        bundle: the model.
        batches: the batches of a stream of images.
        labels: the labels of the stream, if the model has labels.
    """
    for batch in batches:
        originals = binarization.as_encoded(bundle.manifest, batch.images)
        known = labels.of_batch(batch.names, originals) if labels is not None else None
        yield originals, bundle.reconstruct(originals, known), batch.names
