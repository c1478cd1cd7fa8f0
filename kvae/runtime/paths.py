"""Paths through the latent space: from one image to another, and along each latent dimension."""

from pathlib import Path

import numpy as np

from kvae.bundle.manifest import Manifest
from kvae.data import images
from kvae.errors import KvaeError
from kvae.files import output, pictures
from kvae.files.atomic import atomic_file
from kvae.files.reading import PLAIN, Reading
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle, Floats

MAX_STEPS = 1000
"""Images on one path: more would not fit a picture."""


def interpolate(one: Floats, other: Floats, steps: int) -> Floats:
    """Codes on the straight line between two codes `(latent_dim,)`, both ends included: `(steps, latent_dim)`.

    Raises:
        KvaeError: steps outside of 2 to `MAX_STEPS`.
    """
    _check_steps(steps)
    share = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]
    return (1 - share) * one + share * other


def dimensions(manifest: Manifest) -> list[int]:
    """The latent dimensions in use, those that do most first; all in their order if that is unknown, or none is."""
    return manifest.used_dimensions() or list(range(manifest.latent_dim))


def traverse(bundle: Bundle, z: Floats, order: list[int], steps: int, reach: float) -> Floats:
    """Images with one latent dimension varied, and the others as they are in `z`.

    Args:
        bundle: the model.
        z: the code, `(latent_dim,)`.
        order: the dimensions to vary.
        steps: values of each.
        reach: they lie evenly between -reach and reach; the prior's standard deviation is 1.

    Returns:
        `(len(order), steps, height, width, channels)`.

    Raises:
        KvaeError: steps outside of 2 to `MAX_STEPS`, more images than a grid holds, or a reach that is not positive.
    """
    _check_steps(steps)
    if len(order) * steps > output.MAX_GRID:
        raise KvaeError(f"{steps} steps of {len(order)} dimensions are more than {output.MAX_GRID} images; take fewer.")
    if not 0 < reach <= 1000:
        raise KvaeError(f"reach must be above 0, and at most 1000; got {reach:g}.")
    codes = np.tile(z, (len(order), steps, 1))
    for row, dimension in zip(codes, order, strict=True):
        row[:, dimension] = np.linspace(-reach, reach, steps, dtype=np.float32)
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
    """Draw `traverse` as a picture, a row per dimension, with its number and its rate beside it.

    Args:
        bundle: the model.
        image: a picture whose code is varied; None for the prior's mean.
        steps: values of each dimension.
        reach: how far they go, in scales of the prior.
        out: the .png to write.
        resize: whether the picture is brought to the model's size; see `kvae.data.images.open_images`.
        reading: what is done about transparency and more than 8 bits.

    Returns:
        The dimensions, a row each.

    Raises:
        KvaeError: settings out of range, an image that does not fit, or a file that cannot be written.
    """
    if out.suffix.lower() != ".png":
        raise KvaeError(f"{out}: the name must end in .png.")
    manifest = bundle.manifest
    z = np.zeros(manifest.latent_dim, np.float32)
    if image is not None:
        z = _code(bundle, images.open_image(image, manifest.image_shape, resize, reading))
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
    """The codes, posterior means, of two pictures: `(latent_dim,)` each.

    Raises:
        DataError: a file that cannot be read, or does not fit the model.
    """
    shape = bundle.manifest.image_shape
    first, last = (_code(bundle, images.open_image(path, shape, resize, reading)) for path in (one, other))
    return first, last


def _code(bundle: Bundle, image: Floats) -> Floats:
    code: Floats = bundle.encode(scoring.as_encoded(bundle.manifest, image)).loc[0]
    return code


def _check_steps(steps: int) -> None:
    if not 2 <= steps <= MAX_STEPS:
        raise KvaeError(f"steps must be between 2 and {MAX_STEPS}; got {steps}.")
