"""What training would do with the images under a path: how many it would use, and which it would skip and why."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kvae.config import TrainConfig
from kvae.data import preparation, splits
from kvae.data.choice import Choice, likelihood_for
from kvae.data.labels import Label
from kvae.data.pixels import Header
from kvae.data.source import Source
from kvae.data.sources import open_all
from kvae.data.tally import Facts, Skipped, Tally, nearly_black
from kvae.files import pictures

EXAMPLES = 64
"""Images in a picture of examples, if there are no labels."""
EXAMPLE_ROWS = 10
EXAMPLE_COLUMNS = 8
"""Maximum number of labels in a picture of examples, and images of each."""


@dataclass(frozen=True)
class Inspection:
    """What was found."""

    path: Path
    kind: str
    """What the path is: a folder of pictures, an .npz file, ..."""
    count: int
    """Images found, whether they can be used or not."""
    num_others: int
    """Files of a folder that are ignored because of their names."""
    num_unlabelled: int
    """Pictures that are not in a sub-folder although others are: then there are no labels."""
    formats: dict[str, int]
    sizes: dict[str, int]
    """How many images have each size, "HEIGHT x WIDTH", the most frequent first."""
    num_grey: int
    num_colour: int
    """Grey images and colour images, among those whose size can be used."""
    image_shape: tuple[int, int, int] | None
    """The image shape of a model for these images; None if no image can be used."""
    labels: dict[Label, int]
    """How many images each label has; empty without labels."""
    splits: dict[str, int]
    given: list[str]
    """The held-out splits that are the user's own; the others are taken from the training images."""
    num_duplicates: int
    """Images that are equal to an earlier image."""
    num_across: int
    """How many of these are in another split than the first."""
    num_conflicts: int
    """How many of these have another label than the first."""
    skipped: list[Skipped]
    max_bad: int
    examples: dict[Label | None, list[NDArray[np.uint8]]]
    """The first images of each label."""
    brightest: int
    """The highest level of all pixels, of 255."""
    facts: Facts

    @property
    def num_usable(self) -> int:
        """Number of images that would be trained on or held out."""
        return sum(self.splits.values())

    @property
    def refusal(self) -> str | None:
        """Why training would refuse these images; None if it would not."""
        if len(self.skipped) > self.max_bad:
            return f"{len(self.skipped):,} are skipped, more than the {self.max_bad:,} of --max-bad"
        if wrong := nearly_black(self.brightest):
            return wrong
        if not splits.are_enough(self.splits):
            found = ", ".join(f"{number:,} {split}" for split, number in self.splits.items())
            return (
                f"too few images for three splits ({found}); they need at least 1, {splits.MIN_HELD_OUT} and "
                f"{splits.MIN_HELD_OUT}"
            )
        return None

    @property
    def likelihood(self) -> Choice | None:
        """The likelihood that training would choose; None if no image can be used."""
        return None if not self.num_usable or self.image_shape is None else likelihood_for(self.facts, self.image_shape)

    @property
    def reasons(self) -> dict[str, list[str]]:
        """The names of the images that are skipped, by reason, the most frequent first."""
        found: dict[str, list[str]] = {}
        for name, reason in self.skipped:
            found.setdefault(reason, []).append(name)
        return dict(sorted(found.items(), key=lambda item: -len(item[1])))

    def picture(self) -> Image.Image | None:
        """A picture of examples, with one row per label if there are labels; None if there is nothing to picture."""
        if not self.num_usable or self.image_shape is None or pictures.is_table(self.image_shape):
            return None
        if not self.labels:
            return pictures.grid(np.stack(self.examples[None]))
        rows = list(self.labels)[:EXAMPLE_ROWS]
        white = np.full(self.image_shape, 255, np.uint8)
        cells = [(self.examples[label] + EXAMPLE_COLUMNS * [white])[:EXAMPLE_COLUMNS] for label in rows]
        return pictures.labelled_grid(np.array(cells), list(map(str, rows)), EXAMPLE_COLUMNS * [""])

    def to_dict(self) -> dict[str, Any]:
        """All fields except the examples, as JSON values."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "count": self.count,
            "num_usable": self.num_usable,
            "num_others": self.num_others,
            "num_unlabelled": self.num_unlabelled,
            "formats": self.formats,
            "sizes": self.sizes,
            "num_grey": self.num_grey,
            "num_colour": self.num_colour,
            "image_shape": self.image_shape,
            "labels": {str(label): number for label, number in self.labels.items()},
            "splits": self.splits,
            "given_splits": self.given,
            "likelihood": None if self.likelihood is None else self.likelihood._asdict(),
            "num_duplicates": self.num_duplicates,
            "num_across": self.num_across,
            "num_conflicts": self.num_conflicts,
            "num_skipped": len(self.skipped),
            "refusal": self.refusal,
            "skipped": [skipped._asdict() for skipped in self.skipped],
        }


def inspect(
    config: TrainConfig, progress: Callable[[int, int], None] | None = None, source: Source | None = None
) -> Inspection:
    """Go through all images as training would at its start.

    Args:
        config: `data` is the path; `image_size`, `grayscale` and `split_seed` say how training would convert the
            images, and `max_bad` how many it may skip.
        progress: called with how many images are done, and how many there are.
        source: what `kvae.data.sources.open_all` returned for the config; by default it is called.

    Raises:
        DataError: the path holds no known kind of images, or a file with many images is damaged.
    """
    source = source or open_all(config)
    plan = preparation.survey(source, config)
    tally = Tally()
    examples: dict[Label | None, list[NDArray[np.uint8]]] = {}
    with preparation.images(source, config, plan) as prepared:
        for done, image in enumerate(prepared, 1):
            tally.add(image)
            if not isinstance(image, Skipped):
                found = examples.setdefault(image.label, [])
                if len(found) < (EXAMPLES if image.label is None else EXAMPLE_COLUMNS):
                    found.append(image.pixels)
            if progress is not None:
                progress(done, plan.count)
    counts = Counter(tally.labels)
    num_grey, num_colour = (
        sum(number for kind, number in plan.kinds.items() if kind.channels == channels and plan.fits(kind))
        for channels in (1, 3)
    )
    if not tally.classes:
        examples = {None: [pixels for found in examples.values() for pixels in found][:EXAMPLES]}
    return Inspection(
        path=source.path,
        kind=source.kind,
        count=plan.count,
        num_others=source.num_others,
        num_unlabelled=source.num_unlabelled,
        formats=_counted(plan.kinds, lambda kind: kind.format),
        sizes=_counted(plan.kinds, lambda kind: f"{kind.height} x {kind.width}"),
        num_grey=num_grey,
        num_colour=num_colour,
        image_shape=plan.shape,
        labels={label: counts[label] for label in tally.classes},
        splits=tally.count(),
        given=[split for split in splits.SPLITS if split in source.given],
        num_duplicates=tally.num_duplicates,
        num_across=tally.num_across,
        num_conflicts=tally.num_conflicts,
        skipped=tally.skipped,
        max_bad=config.max_bad,
        examples=examples,
        brightest=tally.brightest,
        facts=Facts(tally.has_grey, plan.is_rounded),
    )


def _counted(kinds: Counter[Header], key: Callable[[Header], str]) -> dict[str, int]:
    """How many images there are for each `key` of their kind, the most frequent first."""
    found: Counter[str] = Counter()
    for kind, number in kinds.items():
        found[key(kind)] += number
    return dict(found.most_common())
