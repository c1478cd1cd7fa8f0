"""The picture of the oddest images: each above its reconstruction and the map of its nats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kvae.bundle import binarization
from kvae.bundle.manifest import Manifest
from kvae.data.images import Images
from kvae.detection import maps
from kvae.detection.verdicts import Verdict
from kvae.errors import KvaeError
from kvae.files import pictures
from kvae.files.atomic import atomic_file
from kvae.runtime.bundle import Bundle

SHOWN = 12
"""Images in a picture."""
BRIGHTEST = 99.8
"""The percentile of all pixels' nats that is white, so that a few pixels do not darken all others."""


def check(manifest: Manifest, path: Path) -> None:
    """Raise KvaeError if there can be no picture of this model's images, or none of this name."""
    if path.suffix.lower() != ".png":
        raise KvaeError(f"{path}: the picture is a .png; the name must end in .png.")
    if pictures.is_table(manifest.image_shape) or manifest.image_shape[-1] not in (1, 3):
        raise KvaeError(
            f"{path}: this model's images, {' x '.join(map(str, manifest.image_shape))}, are not pictured; write their "
            f"nats as numbers with --maps."
        )


def write(bundle: Bundle, images: Images, oddest: Sequence[Verdict], path: Path) -> None:
    """Write the picture: a column for each image, headed by its p-value, or else its statistic.

    The images are read once more, and only those that are shown are decoded.

    Args:
        bundle: the model.
        images: the stream from which the verdicts are.
        oddest: the verdicts on the images to show, in their order.
        path: a .png, which is replaced if it exists.

    Raises:
        KvaeError: the picture cannot be made or written.
    """
    check(bundle.manifest, path)
    found: dict[str, np.ndarray] = {}
    wanted = {one.row.image for one in oddest}
    for names, pixels in images.batches():
        found |= {name: image for name, image in zip(names, pixels, strict=True) if name in wanted}
    shown = binarization.as_encoded(bundle.manifest, np.stack([found[one.row.image] for one in oddest]))
    labels = None if bundle.labels is None else [bundle.labels.index(one.row.label or "") for one in oddest]
    nats = maps.nats(bundle, shown, labels)
    low, high = float(nats.min()), float(np.percentile(nats, BRIGHTEST))
    shades = np.clip((nats - low) / max(high - low, 1e-9), 0, 1).astype(np.float32)[..., None]
    rows = np.stack([shown, bundle.reconstruct(shown, labels), shades.repeat(shown.shape[-1], axis=-1)])
    names = ["image", "reconstruction", f"nats, {low:.1f} to {high:.1f}"]
    heads = [f"{one.value:.0f}" if one.p_value is None else f"p {one.p_value:.2g}" for one in oddest]
    with atomic_file(path) as temporary:
        pictures.save(pictures.labelled_grid(rows, names, heads), temporary)
