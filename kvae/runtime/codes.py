"""Codes in files: posteriors written to an .npz as the images stream, and codes read back for decoding."""

from collections.abc import Iterator
from pathlib import Path

from numpy.typing import ArrayLike

from kvae.bundle import binarization
from kvae.data.images import Batch, Images
from kvae.errors import DataError, KvaeError
from kvae.files import arrays
from kvae.runtime.bundle import Bundle
from kvae.runtime.latents import Floats

NAMES = ("z", "loc")
"""Names of the array in an .npz that is decoded: the user's own codes, or else the means that `write` wrote."""
ROWS = 1024
"""Codes decoded at a time."""


def write(bundle: Bundle, images: Images, batches: Iterator[Batch], path: Path) -> None:
    """Write the posterior of each image to an .npz: `loc` and `scale` `(n, latent_dim)` float32, and `names`.

    Args:
        bundle: the model.
        images: the images. Those that are skipped have no row; `names` says which image a row is.
        batches: the batches of `images`; a separate argument, so that a caller can show progress.
        path: the file, which is replaced if it exists.

    Raises:
        KvaeError: the file name does not end in .npz, an image does not fit, or the file cannot be written.
    """
    if path.suffix.lower() != ".npz":
        raise KvaeError(f"{path}: the name must end in .npz.")
    of_codes = ((bundle.manifest.latent_dim,), "<f4")
    rows: dict[str, tuple[tuple[int, ...], str]] = {
        "loc": of_codes,
        "scale": of_codes,
        "names": ((), f"<U{images.longest_name}"),
    }

    def encoded() -> Iterator[dict[str, ArrayLike]]:
        for names, pixels in batches:
            posterior = bundle.encode(binarization.as_encoded(bundle.manifest, pixels))
            yield {"loc": posterior.loc, "scale": posterior.scale, "names": names}

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


def decode(bundle: Bundle, codes: arrays.ArrayFile) -> Iterator[Floats]:
    """The expected images of codes, in batches."""
    return (bundle.decode(z) for z in codes.rows(ROWS))


def reconstruct(bundle: Bundle, batches: Iterator[Batch]) -> Iterator[tuple[Floats, Floats, list[str]]]:
    """For each batch, the images as the encoder gets them, their reconstructions, and their names."""
    for batch in batches:
        originals = binarization.as_encoded(bundle.manifest, batch.images)
        yield originals, bundle.reconstruct(originals), batch.names
