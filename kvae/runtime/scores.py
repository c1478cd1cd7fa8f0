"""The scores of a stream of images, one row each, as `kvae score` prints and writes them."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from kvae.bundle import binarization
from kvae.data.images import Images
from kvae.errors import KvaeError
from kvae.files.atomic import atomic_file
from kvae.files.text import printable, shortened
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import BEST, Label, is_best
from kvae.runtime.labelling import OfStream
from kvae.runtime.latents import Floats

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
    label: str | None = None
    """The name of the class that it was scored as; None for a model without labels."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name; without `label` for a model without labels."""
        return {name: value for name, value in self._asdict().items() if name != "label" or value is not None}

    def as_text(self, columns: int | None = None) -> str:
        """The row under `heading`.

        Args:
            columns: the most characters: a name that is too long is cut in the middle. None for no limit.
        """
        percentile = "-" if self.percentile is None else f"{self.percentile:.1f}"
        name = self.image if self.image.isprintable() else ascii(self.image)[1:-1]  # a line break would split the row
        name += f" ({printable(self.label)})" if self.label is not None else ""
        terms = "" if _is_narrow(columns) else f"{self.rate:>10.2f}{self.distortion:>12.2f}"
        numbers = f"{percentile:>10}{self.elbo:>12.2f}{terms}"
        if columns is not None:
            name = shortened(name, max(MIN_NAME, columns - len(numbers) - 2))
        return f"{numbers}  {name}"


class Scored(NamedTuple):
    """Some images of a stream, and their scores."""

    names: list[str]
    images: Floats
    """As the encoder takes them, `(batch, height, width, channels)`."""
    scores: scoring.Scores


def score(
    bundle: Bundle, images: Images, threads: int | None = None, label: Label | None = None
) -> Iterator[list[Row]]:
    """The rows of the images, batch by batch, in order; memory does not grow with their number.

    Args:
        bundle: the model; open it with `threads=1` to be fast.
        images: the images; for a model of bits, grey ones are binarised.
        threads: as for `kvae.runtime.scoring.score`.
        label: the images' class, if the model has labels: a label by name or number, one for each image (those
            that will be skipped included), or "best", for the label with the highest ELBO.

    Raises:
        KvaeError: a label is missing or not one of the model's; or as `kvae.runtime.scoring.score`.
    """
    return (rows(bundle, batch) for batch in scored(bundle, images, threads, label))


def scored(bundle: Bundle, images: Images, threads: int | None = None, label: Label | None = None) -> Iterator[Scored]:
    """The images of `score`, batch by batch, and their scores; arguments and errors are the same."""
    labels = OfStream(bundle, images, label)  # which checks them now, not with the first batch

    def batches() -> Iterator[Scored]:
        manifest, best = bundle.manifest, is_best(bundle.manifest, label)
        draws, seed = scoring.recorded_settings(manifest)
        for names, pixels in images.batches():
            encoded = binarization.as_encoded(manifest, pixels)
            known: Label | None = BEST if best else labels.of_batch(names, encoded)
            yield Scored(names, encoded, scoring.score(bundle, encoded, draws, seed, threads, known))

    return batches()


def rows(bundle: Bundle, batch: Scored) -> list[Row]:
    """A row for each image of a batch."""
    manifest, (names, _, found) = bundle.manifest, batch
    percentiles = scoring.percentile(manifest, found.elbo).tolist() if manifest.scoring else [None] * len(names)
    columns: list[Any] = [names, percentiles, found.elbo.tolist(), found.rate.tolist(), found.distortion.tolist()]
    if found.label is not None and manifest.labels is not None:
        columns.append([manifest.labels[index] for index in found.label])
    return [Row(*row) for row in zip(*columns, strict=True)]


class AsDict(Protocol):
    """What has columns by name: a `Row`, or a row of `kvae.detection`."""

    def as_dict(self) -> dict[str, Any]: ...


def write_csv(batches: Iterable[Sequence[AsDict]], path: Path, labelled: bool = False) -> None:
    """Write rows, below a row of column names, to a .csv, which is replaced if it exists.

    Args:
        batches: the rows.
        path: the file.
        labelled: whether the model has labels, for the names of the columns if there are no rows.

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
        names: list[str] = []
        for batch in batches:
            if not names:
                names = list(batch[0].as_dict())
                writer.writerow(names)
            writer.writerows(row.as_dict().values() for row in batch)
        if not names:  # every image was skipped
            writer.writerow(Row._fields if labelled else Row._fields[:-1])
