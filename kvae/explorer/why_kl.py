"""The page "Why the KL": the posteriors of a hundred images on the decoded plane, for each weight λ of their entropy.

The page is one file. It contains its pictures and numbers, asks no server for anything, and works from a disk. Its
text, style sheet and JavaScript modules are in `kvae/explorer/why_kl_page`.
"""

import base64
import hashlib
import io
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvae import __version__
from kvae.data import datasets
from kvae.data.dataset import Dataset
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.explorer import alignment, points
from kvae.explorer.points import Point
from kvae.files import pictures
from kvae.files.atomic import atomic_file
from kvae.runtime.latents import Posterior

PAGE = files("kvae.explorer") / "why_kl_page"
MODULES = ("page", "words", "plane", "chart", "cost", "main")
"""The modules of the page, each after those that it imports; they become one script."""
NUM_IMAGES = 100
EXTENT = 3.5
"""Half the width of the plane, in standard deviations of the prior."""
TILES = 20
"""Decoded images along each side of the plane."""
QUALITY = 45
"""Of the WebP pictures, which are looked at from afar, under the ellipses."""


def page(folder: Path, data_dir: Path | None = None) -> bytes:
    """The page of a comparison, as one HTML file.

    Args:
        folder: the `--out` of `kvae compare`, with models that differ in `entropy_weight` alone; see `points.read`.
        data_dir: where the data set's files are; see `kvae.data.datasets.load`.

    Raises:
        KvaeError: the comparison is one of other models, or its images cannot be found.
    """
    found = points.read(folder)
    data = datasets.of(found[0].config, data_dir)
    return html_of(contents(found, data))


def write(html: bytes, out: Path) -> None:
    """Write the page to the file `out`, which is replaced if it exists.

    Raises:
        KvaeError: the file cannot be written.
    """
    with atomic_file(out) as temporary:
        temporary.write_bytes(html)


def contents(found: Sequence[Point], data: Dataset) -> dict[str, Any]:
    """What the page shows, as JSON values.

    Args:
        found: the models, by rising entropy weight; the one of weight 1 stays as it is, the others are turned.
        data: the data set whose test images they encode.
    """
    config = found[0].config
    test = pictures.to_float32(held_out(data, "test", config.is_of_bits))
    labels = held_out_labels(data, "test")
    posteriors = [point.bundle.encode(test) for point in found]
    start = [point.config.entropy_weight for point in found].index(1.0)
    matrices = alignment.turns([posterior.loc.astype(np.float64) for posterior in posteriors], start)
    chosen = _chosen(labels, len(test))
    shown = held_out(data, "test", False)[chosen]
    return {
        "version": __version__,
        "dataset": {
            "name": data.name,
            "licence": data.licence,
            "images": len(test),
            "training": len(data.train.images),
        },
        "pixels": int(np.prod(test.shape[1:3])),
        "bits": config.is_of_bits,
        "about": found[0].about,
        "architecture": config.model.architecture,
        "epochs": config.epochs,
        "continued": config.init_from is not None,
        "seed": config.seed,
        "draws": found[0].importance_samples,
        "classes": list(data.class_names) if labels is not None else [],
        "labels": [] if labels is None else labels[chosen].tolist(),
        "thumbnails": _webp(tiled(shown, 10), 80),
        "extent": EXTENT,
        "points": [_of_point(*each, chosen) for each in zip(found, posteriors, matrices, strict=True)],
    }


def _of_point(
    point: Point, posterior: Posterior, matrix: NDArray[np.float64], chosen: NDArray[np.int64]
) -> dict[str, Any]:
    scale = posterior.scale.astype(np.float64)
    entropy = np.sum(np.log(scale) + 0.5 * np.log(2 * np.pi * np.e), axis=1)
    angle, swapped = _frame(matrix)
    radii = scale[chosen][:, ::-1] if swapped else scale[chosen]
    codes = np.hstack([posterior.loc[chosen] @ matrix, radii])
    return {
        "lambda": point.config.entropy_weight,
        **{name: [estimate["value"], estimate["standard_error"]] for name, estimate in point.figures.items()},
        "believable": point.nll_is_believable,
        "difference": point.difference and [point.difference["value"], point.difference["standard_error"]],
        "entropy": float(entropy.mean()),
        "scale": float(np.exp(np.log(scale).mean())),
        "angle": angle,
        "codes": [[float(f"{value:.4g}") for value in row] for row in codes],
        "plane": _webp(_plane(point, matrix), QUALITY),
    }


def _chosen(labels: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
    """The first images of each class, as many of each; without labels the first of all."""
    if labels is None:
        return np.arange(min(NUM_IMAGES, count))
    classes = np.unique(labels)
    each = max(1, NUM_IMAGES // len(classes))
    return np.concatenate([np.flatnonzero(labels == label)[:each] for label in classes])[:NUM_IMAGES]


def _frame(matrix: NDArray[np.float64]) -> tuple[float, bool]:
    """The angle of turned axes in radians, at most 45 degrees, and whether the axes changed places to make it so."""
    angle = float(np.arctan2(matrix[0, 1], matrix[0, 0]))
    quarters = round(angle / (np.pi / 2))
    return angle - quarters * np.pi / 2, quarters % 2 == 1


def _plane(point: Point, matrix: NDArray[np.float64]) -> Image.Image:
    """The mean images of codes on a grid, in the turned coordinates: to the right the first, upwards the second."""
    centres = ((np.arange(TILES) + 0.5) / TILES * 2 - 1) * EXTENT
    across, up = np.meshgrid(centres, centres[::-1])
    turned = np.stack([across.ravel(), up.ravel()], axis=1)
    return tiled(point.bundle.decode((turned @ matrix.T).astype(np.float32)), TILES)


def tiled(images: NDArray[Any], columns: int) -> Image.Image:
    """Images `(n, height, width, channels)` edge to edge, row by row."""
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    canvas = np.zeros((rows * columns, height, width, channels), images.dtype)
    canvas[:n] = images
    joined = canvas.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    return pictures.picture(joined.reshape(rows * height, columns * width, channels))


def _webp(image: Image.Image, quality: int) -> str:
    """A picture as a data: address."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=6)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def html_of(data: dict[str, Any]) -> bytes:
    """The page as one file: its script may run because its hash is in the page's own security policy."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    script = script_of([(PAGE / f"{name}.mjs").read_text(encoding="utf-8") for name in MODULES])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = (PAGE / "page.html").read_text(encoding="utf-8")
    parts = {"STYLE": style, "SCRIPT-HASH": digest, "SCRIPT": script, "DATA": text}
    return re.sub("|".join(f"{{{name}}}" for name in parts), lambda match: parts[match[0][1:-1]], html).encode()


def script_of(modules: Sequence[str]) -> str:
    """One module of several, in their order: without imports and exports. Their names must differ."""
    joined = "\n".join(modules)
    return re.sub(r"^import .*\n|^export ", "", joined, flags=re.MULTILINE)
