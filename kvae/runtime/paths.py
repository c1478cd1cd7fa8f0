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
from kvae.runtime import class_labels, labelling
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import BEST, Label, is_best
from kvae.runtime.latents import Floats

MAX_STEPS = 1000
"""Maximum number of images on one path, because more would not fit in a picture."""
PATHS = ("sphere", "line")
"""The ways between two codes, the default first: the great circle around 0, and the straight line."""
SAME_DIRECTION = 1e-6
"""The sine of the angle below which two codes have no great circle of their own between them."""
MAX_OF_GROUP = 12
"""Maximum number of rows for a group of latent dimensions in a drawn traversal: a ladder can have thousands."""


def interpolate(one: Floats, other: Floats, steps: int, path: str = PATHS[0]) -> Floats:
    """Codes on the way between two codes `(latent_dim,)`, both ends included: `(steps, latent_dim)`.

    On the straight line the middle codes are nearer to 0 than draws from N(0, I) in many dimensions are. The great
    circle turns from the direction of one code to that of the other at constant angular speed (Shoemake, SIGGRAPH 1985;
    White, arXiv 1609.04468), while the distance from 0 changes evenly; where it is not defined, between opposite codes
    or from 0, the way is the straight line.

    Args:
        one: the first code.
        other: the last one.
        steps: number of codes.
        path: "sphere" or "line".

    Raises:
        KvaeError: steps is not between 2 and `MAX_STEPS`, or there is no such path.
    """
    _check_steps(steps)
    if path not in PATHS:
        raise KvaeError(f"path must be one of {', '.join(PATHS)}; got '{path}'.")
    share = np.linspace(0.0, 1.0, steps)[:, None]
    ends = one.astype(np.float64), other.astype(np.float64)
    lengths = [float(np.linalg.norm(end)) for end in ends]
    found = (1 - share) * ends[0] + share * ends[1]
    if path == "sphere" and min(lengths) > 0:
        first, last = (end / length for end, length in zip(ends, lengths, strict=True))
        angle = np.arccos(np.clip(np.dot(first, last), -1.0, 1.0))
        if np.sin(angle) >= SAME_DIRECTION:
            directions = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * last) / np.sin(angle)
            found = ((1 - share) * lengths[0] + share * lengths[1]) * directions
    codes: Floats = found.astype(np.float32)
    return codes


def between(
    bundle: Bundle,
    one: Path,
    other: Path,
    steps: int,
    resize: bool = False,
    reading: Reading = PLAIN,
    label: Label | None = None,
    path: str = PATHS[0],
) -> Floats:
    """Images on the path from one picture to another: codes between theirs, decoded.

    Args:
        bundle: the model.
        one: the first picture.
        other: the last one.
        steps: number of images, both ends included.
        resize: whether to resize the pictures to the model's size; see `kvae.data.images.open_for`.
        reading: how to read transparency and more than 8 bits.
        label: the pictures' class, if the model has labels: one label, one for each of the two, or "best". If
            they differ, the first half of the path, its middle included, has the first one's.
        path: "sphere" or "line"; see `interpolate`.

    Returns:
        `(steps, height, width, channels)`.

    Raises:
        KvaeError: steps is out of range, a picture cannot be used, or a label is missing or not one of the model's.
    """
    _check_steps(steps)
    pixels, labels = _pair(bundle, one, other, resize, reading, label)
    first, last = bundle.encode(pixels, labels).loc
    codes = interpolate(first, last, steps, path)
    on_path = None if labels is None else np.where(2 * np.arange(steps) < steps, labels[0], labels[1])
    return bundle.decode(codes, on_path)


def dimensions(manifest: Manifest) -> list[int]:
    """The latent dimensions in use, highest rate first; all of them, in order, if none is in use or it is unknown.

    In a model with groups they are ordered by group, and then by rate.
    """
    order = manifest.used_dimensions() or list(range(manifest.latent_dim))
    return sorted(order, key=lambda index: group_of(manifest, index))  # sorting keeps the order within a group


def group_of(manifest: Manifest, dimension: int) -> int:
    """The number of a latent dimension's group; 0 if the model has no groups."""
    return int(np.searchsorted(np.cumsum(manifest.groups or [manifest.latent_dim]), dimension, side="right"))


def traverse(
    bundle: Bundle, z: Floats, order: list[int], steps: int, reach: float, label: Label | None = None
) -> Floats:
    """Images in which one latent dimension varies, and the others are those of `z`.

    It varies around the prior's mean, in standard deviations of the prior, which are 0 and 1 for N(0, I), also in a
    ladder; those of another prior are measured on draws from it (see `kvae.runtime.priors.MEASURED`).

    Args:
        bundle: the model.
        z: the code, `(latent_dim,)`.
        order: the dimensions to vary.
        steps: number of values of each.
        reach: the values are evenly spaced between -reach and reach standard deviations of the prior.
        label: the images' class, if the model has labels: a label by name or number.

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
    labels = class_labels.resolve(bundle.manifest, label, 1)
    of_prior = None if labels is None else int(labels[0])
    mean, scale = bundle.prior.mean(of_prior), bundle.prior.scale(of_prior)
    codes = np.tile(z, (len(order), steps, 1))
    for row, dimension in zip(codes, order, strict=True):
        row[:, dimension] = mean[dimension] + scale[dimension] * np.linspace(-reach, reach, steps, dtype=np.float32)
    decoded = bundle.decode(codes.reshape(-1, len(z)), of_prior)
    return decoded.reshape(len(order), steps, *decoded.shape[1:])


def draw_traversal(
    bundle: Bundle,
    image: Path | None,
    steps: int,
    reach: float,
    out: Path,
    resize: bool = False,
    reading: Reading = PLAIN,
    label: Label | None = None,
) -> list[int]:
    """Draw `traverse` as a picture with one row per dimension, labelled with its number and rate.

    A model with groups gets at most `MAX_OF_GROUP` rows for each group, those with the highest rates.

    Args:
        bundle: the model.
        image: the picture whose code is varied; None for the prior's mean.
        steps: number of values of each dimension.
        reach: how far they reach, in standard deviations of the prior.
        out: the .png to write.
        resize: whether to resize the picture to the model's size; see `kvae.data.images.open_for`.
        reading: how to read transparency and more than 8 bits.
        label: the images' class, if the model has labels: a label by name or number; or "best", for the label
            with which the picture has the highest ELBO.

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
    if image is not None:
        pixels = binarization.as_encoded(manifest, images.open_image_for(manifest, image, resize, reading))
        labels = labelling.of_images(bundle, pixels, label)
        z = bundle.encode(pixels, labels).loc[0]
    elif is_best(manifest, label):
        raise KvaeError(f"the label '{BEST}' needs a picture; name one, or a label.")
    else:
        labels = class_labels.resolve(manifest, label, 1)
        z = bundle.prior.mean(None if labels is None else int(labels[0]))
    order = _rows(manifest)
    found = traverse(bundle, z, order, steps, reach, None if labels is None else int(labels[0]))
    rates = manifest.posterior["rate"] if manifest.posterior else None
    names = [f"z{index}" if manifest.groups is None else f"{group_of(manifest, index)}: z{index}" for index in order]
    rows = [name + (f"  {rates[index]:.2f} nats" if rates else "") for name, index in zip(names, order, strict=True)]
    columns = [f"{value:+.1f}" for value in np.linspace(-reach, reach, steps)]
    with atomic_file(out) as temporary:
        pictures.save(pictures.labelled_grid(found, rows, columns), temporary)
    return order


def ends(
    bundle: Bundle,
    one: Path,
    other: Path,
    resize: bool = False,
    reading: Reading = PLAIN,
    label: Label | None = None,
) -> tuple[Floats, Floats]:
    """The codes of two pictures, which are their posterior means, `(latent_dim,)` each; arguments as for `between`.

    Raises:
        DataError: a file cannot be read, or does not fit the model.
    """
    first, last = bundle.encode(*_pair(bundle, one, other, resize, reading, label)).loc
    return first, last


def _pair(
    bundle: Bundle, one: Path, other: Path, resize: bool, reading: Reading, label: Label | None
) -> tuple[Floats, class_labels.Labels | None]:
    """Two pictures as the encoder takes them, and their labels if the model has labels."""
    found = [images.open_image_for(bundle.manifest, path, resize, reading) for path in (one, other)]
    pixels = binarization.as_encoded(bundle.manifest, np.concatenate(found))
    return pixels, labelling.of_images(bundle, pixels, label)


def _rows(manifest: Manifest) -> list[int]:
    """The dimensions that a drawn traversal shows."""
    order = dimensions(manifest)
    if manifest.groups is None:
        return order
    groups = [[index for index in order if group_of(manifest, index) == group] for group in range(len(manifest.groups))]
    return [index for group in groups for index in group[:MAX_OF_GROUP]]


def _check_steps(steps: int) -> None:
    if not 2 <= steps <= MAX_STEPS:
        raise KvaeError(f"steps must be between 2 and {MAX_STEPS}; got {steps}.")
