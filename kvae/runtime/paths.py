"""Paths through the latent space: from one image to another, and along each latent dimension."""

from pathlib import Path

import numpy as np

from kvae.bundle import binarization
from kvae.bundle.manifest import Manifest
from kvae.data import images
from kvae.errors import KvaeError
from kvae.files import output, pictures
from kvae.files.atomic import atomic_file
from kvae.files.reading import PLAIN, Reading
from kvae.runtime import latents
from kvae.runtime.bundle import Bundle
from kvae.runtime.latents import Floats

MAX_STEPS = 1000
"""Maximum number of images on one path, because more would not fit in a picture."""


def interpolate(one: Floats, other: Floats, steps: int) -> Floats:
    """Codes on the straight line between two codes `(latent_dim,)`, both ends included: `(steps, latent_dim)`.

    Raises:
        KvaeError: steps is not between 2 and `MAX_STEPS`.
    """
    _check_steps(steps)
    share = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]
    return (1 - share) * one + share * other


def dimensions(manifest: Manifest) -> list[int]:
    """The latent dimensions in use, highest rate first; all of them, in order, if none is in use or it is unknown."""
    return manifest.used_dimensions() or list(range(manifest.latent_dim))


def traverse(bundle: Bundle, z: Floats, order: list[int], steps: int, reach: float) -> Floats:
    """Images in which one latent dimension varies, and the others are those of `z`.

    Args:
        bundle: the model.
        z: the code, `(latent_dim,)`.
        order: the dimensions to vary.
        steps: number of values of each.
        reach: the values are evenly spaced between -reach and reach standard deviations of the prior.

    Returns:
        `(len(order), steps, height, width, channels)`.

    Raises:
        KvaeError: steps is not between 2 and `MAX_STEPS`, there are more images than a grid can hold, or reach is not
            positive.
    """
    _check_steps(steps)
    if len(order) * steps > output.MAX_GRID:
        raise KvaeError(
            f"{steps} steps of {len(order)} dimensions are more than {output.MAX_GRID} images; use fewer steps."
        )
    if not 0 < reach <= 1000:
        raise KvaeError(f"reach must be above 0 and at most 1000; got {reach:g}.")
    codes = np.tile(z, (len(order), steps, 1))
    for row, dimension in zip(codes, order, strict=True):
        row[:, dimension] = latents.PRIOR_SCALE * np.linspace(-reach, reach, steps, dtype=np.float32)
    decoded = bundle.decode(codes.reshape(-1, len(z)))
    return decoded.reshape(len(order), steps, *decoded.shape[1:])


def draw_traversal(
    bundle: Bundle,
    image: Path | None,
    steps: int,
    reach: float,
    out: Path,
    resize: bool = False,
    reading: Reading = PLAIN,
) -> list[int]:
    """Draw `traverse` as a picture with one row per dimension, labelled with its number and rate.

    Args:
        bundle: the model.
        image: the picture whose code is varied; None for the prior's mean.
        steps: number of values of each dimension.
        reach: how far they reach, in standard deviations of the prior.
        out: the .png to write.
        resize: whether to resize the picture to the model's size; see `kvae.data.images.open_for`.
        reading: how to read transparency and more than 8 bits.

    Returns:
        The dimensions, in the order of the rows.

    Raises:
        KvaeError: a setting is out of range, the image does not fit, or the file cannot be written.
    """
    if out.suffix.lower() != ".png":
        raise KvaeError(f"{out}: the name must end in .png.")
    manifest = bundle.manifest
    if pictures.is_table(manifest.image_shape):
        raise KvaeError("this model's images are rows of a table, which are not pictured; kvae decode writes numbers.")
    z = latents.prior_mean(manifest.latent_dim)
    if image is not None:
        z = _code(bundle, images.open_image_for(manifest, image, resize, reading))
    order = dimensions(manifest)
    found = traverse(bundle, z, order, steps, reach)
    rates = manifest.posterior["rate"] if manifest.posterior else None
    rows = [f"z{index}" + (f"  {rates[index]:.2f} nats" if rates else "") for index in order]
    columns = [f"{value:+.1f}" for value in np.linspace(-reach, reach, steps)]
    with atomic_file(out) as temporary:
        pictures.save(pictures.labelled_grid(found, rows, columns), temporary)
    return order


def ends(
    bundle: Bundle, one: Path, other: Path, resize: bool = False, reading: Reading = PLAIN
) -> tuple[Floats, Floats]:
    """The codes of two pictures, which are their posterior means, `(latent_dim,)` each.

    Raises:
        DataError: a file cannot be read, or does not fit the model.
    """
    first, last = (
        _code(bundle, images.open_image_for(bundle.manifest, path, resize, reading)) for path in (one, other)
    )
    return first, last


def _code(bundle: Bundle, image: Floats) -> Floats:
    code: Floats = bundle.encode(binarization.as_encoded(bundle.manifest, image)).loc[0]
    return code


def _check_steps(steps: int) -> None:
    if not 2 <= steps <= MAX_STEPS:
        raise KvaeError(f"steps must be between 2 and {MAX_STEPS}; got {steps}.")
