"""The scores of a stream of images, one row each, as `kvae score` prints and writes them."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kvae.bundle import binarization
from kvae.data.images import Images
from kvae.errors import KvaeError
from kvae.files.atomic import atomic_file
from kvae.files.text import shortened
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle

NARROW = 70
"""Below this number of columns, a terminal shows neither rate nor distortion."""
MIN_NAME = 12
"""The fewest characters that are left of a name."""


def heading(columns: int | None = None) -> str:
    """The names of the columns of `Row.as_text`; all in nats, except the percentile."""
    terms = "" if _is_narrow(columns) else f"{'rate':>10}{'distortion':>12}"
    return f"{'percentile':>10}{'elbo':>12}{terms}  image"


def _is_narrow(columns: int | None) -> bool:
    return columns is not None and columns < NARROW


class Row(NamedTuple):
    """The score of an image."""

    image: str
    """Its name; see `kvae.data.images.Batch`."""
    percentile: float | None
    """The share of the training images, in percent, with a lower ELBO; None if the bundle has no such statistics."""
    elbo: float
    """In nats, like the rate and the distortion."""
    rate: float
    distortion: float

    def as_text(self, columns: int | None = None) -> str:
        """The row under `heading`.

        Args:
            columns: the most characters: a name that is too long is cut in the middle. None for no limit.
        """
        percentile = "-" if self.percentile is None else f"{self.percentile:.1f}"
        name = self.image if self.image.isprintable() else ascii(self.image)[1:-1]  # a line break would split the row
        terms = "" if _is_narrow(columns) else f"{self.rate:>10.2f}{self.distortion:>12.2f}"
        numbers = f"{percentile:>10}{self.elbo:>12.2f}{terms}"
        if columns is not None:
            name = shortened(name, max(MIN_NAME, columns - len(numbers) - 2))
        return f"{numbers}  {name}"


def score(bundle: Bundle, images: Images, threads: int | None = None) -> Iterator[list[Row]]:
    """The rows of the images, batch by batch, in order; memory does not grow with their number.

    Args:
        bundle: the model; open it with `threads=1` to be fast.
        images: the images; for a model of bits, grey ones are binarised.
        threads: as for `kvae.runtime.scoring.score`.
    """
    manifest = bundle.manifest
    draws, seed = scoring.recorded_settings(manifest)
    for names, pixels in images.batches():
        found = scoring.score(bundle, binarization.as_encoded(manifest, pixels), draws, seed, threads)
        known = manifest.scoring is not None
        percentiles = scoring.percentile(manifest, found.elbo).tolist() if known else [None] * len(names)
        columns = (names, percentiles, found.elbo.tolist(), found.rate.tolist(), found.distortion.tolist())
        yield [Row(*row) for row in zip(*columns, strict=True)]


def write_csv(batches: Iterable[list[Row]], path: Path) -> None:
    """Write rows, below a row of column names, to a .csv, which is replaced if it exists.

    Raises:
        KvaeError: the file name does not end in .csv, or the file cannot be written.
    """
    if path.suffix.lower() != ".csv":
        raise KvaeError(f"{path}: the name must end in .csv.")
    with (
        atomic_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(Row._fields)
        for batch in batches:
            writer.writerows(batch)
