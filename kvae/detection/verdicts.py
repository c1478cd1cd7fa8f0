"""The verdicts on a stream of images, one row each: their score, a statistic, a p-value, an alarm."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.data.images import Images, Positions
from kvae.detection import conformal, statistics
from kvae.detection.calibration import Calibration
from kvae.errors import KvaeError
from kvae.runtime import scores
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Label

MARK = "ALARM"
GAP = "  "
"""Between the columns of a verdict and those of its row."""


@dataclass(frozen=True)
class Verdict:
    """What is known of an image."""

    row: scores.Row
    statistic: str
    """One of `kvae.detection.STATISTICS`."""
    value: float
    """The statistic; high is odd."""
    p_value: float | None = None
    """None without a reference."""
    alarm: bool | None = None
    """Whether the p-value is at most the false-alarm rate; None if none was given."""
    odd: bool | None = None
    """Whether the image's label says that it is odd; None without labels."""

    def as_dict(self) -> dict[str, Any]:
        """The columns by name: those of the row, then those of the verdict that are known."""
        own = {} if self.statistic == "elbo" else {self.statistic: self.value}
        more = {"p_value": self.p_value, "alarm": self.alarm, "odd": self.odd}
        return self.row.as_dict() | own | {name: value for name, value in more.items() if value is not None}

    def as_text(self, columns: int | None = None) -> str:
        """The verdict under `heading`; arguments as for `kvae.runtime.scores.Row.as_text`."""
        cells = f"{self.p_value:>10.4g}" if self.p_value is not None else ""
        cells += f"{MARK if self.alarm else '':>7}" if self.alarm is not None else ""
        cells += f"{self.value:>12.2f}" if self.statistic != "elbo" else ""
        cells += GAP if cells else ""
        return cells + self.row.as_text(None if columns is None else columns - len(cells))


def heading(statistic: str, calibrated: bool, alarm: bool, columns: int | None = None) -> str:
    """The names of the columns of `Verdict.as_text`; `columns` as there."""
    cells = f"{'p-value':>10}" if calibrated else ""
    cells += f"{'alarm':>7}" if alarm else ""
    cells += f"{statistic:>12}" if statistic != "elbo" else ""
    cells += GAP if cells else ""
    return cells + scores.heading(None if columns is None else columns - len(cells))


def shared(images: Images, reference: Images) -> int:
    """How many files are read both as images to judge and as reference."""
    first, second = ({part.path.resolve() for part in stream.parts} for stream in (images, reference))
    return len(first & second)


class Judge:
    """Judges streams of images by one model and one statistic.

    Args:
        bundle: the model; open it with `threads=1` to be fast.
        statistic: one of `kvae.detection.STATISTICS`; default: complexity for a model of 8-bit images, else elbo.
        threads: as for `kvae.runtime.scoring.score`.

    Raises:
        KvaeError: the statistic is unknown or means nothing for the model.
    """

    def __init__(self, bundle: Bundle, statistic: str | None = None, threads: int | None = None) -> None:
        statistic = statistic or statistics.default_for(bundle)
        statistics.check(bundle, statistic)
        self.bundle = bundle
        self.statistic = statistic
        self._threads = threads
        self.calibration: Calibration | None = None
        """From `calibrate`."""
        self.alarm: float | None = None
        """The false-alarm rate."""

    def calibrate(self, reference: Images, label: Label | None = None, alarm: float | None = None) -> Iterator[int]:
        """Score a stream of normal images, and yield how many are done, batch by batch; then images can be judged.

        Args:
            reference: the normal images.
            label: their class, if the model has labels, as for `kvae.runtime.scores.score`.
            alarm: the false-alarm rate, between 0 and 1; None for p-values alone.

        Raises:
            KvaeError: a score is not finite, or there are too few images for an alarm of this rate.
        """
        if alarm is not None:
            conformal.check_alarm(alarm, reference.count)
        parts: list[NDArray[np.float64]] = []
        for batch in scores.scored(self.bundle, reference, self._threads, label):
            parts.append(self._surprise(batch))
            yield len(batch.names)
        surprise = np.concatenate(parts)
        if alarm is not None:
            conformal.check_alarm(alarm, len(surprise))  # without those that were skipped
        self.calibration, self.alarm = Calibration(self.statistic, surprise), alarm

    def verdicts(
        self, images: Images, label: Label | None = None, is_odd: NDArray[np.bool_] | None = None
    ) -> Iterator[list[Verdict]]:
        """The verdicts on a stream of images, batch by batch, in order.

        Args:
            images: the images.
            label: their class, if the model has labels, as for `kvae.runtime.scores.score`.
            is_odd: whether each image is odd, `(n,)`, those that will be skipped included.

        Raises:
            KvaeError: a score is not finite, if it is to be ranked.
        """
        positions = Positions(images)
        for batch in scores.scored(self.bundle, images, self._threads, label):
            surprise = self._surprise(batch)
            rows = scores.rows(self.bundle, batch)
            values, p_values, alarms = surprise, [None] * len(rows), [None] * len(rows)
            if self.calibration is not None:
                values, found = self.calibration.values(surprise), self.calibration.p_values(surprise)
                p_values = found.tolist()
                alarms = alarms if self.alarm is None else (found <= self.alarm).tolist()
            odd = [None] * len(rows) if is_odd is None else is_odd[positions.of_batch(batch.names)].tolist()
            yield [
                Verdict(row, self.statistic, *rest)
                for row, *rest in zip(rows, values.tolist(), p_values, alarms, odd, strict=True)
            ]

    def heading(self, columns: int | None = None) -> str:
        """The names of the columns of the verdicts' texts; see `heading`."""
        return heading(self.statistic, self.calibration is not None, self.alarm is not None, columns)

    def _surprise(self, batch: scores.Scored) -> NDArray[np.float64]:
        found = statistics.surprise(self.bundle, self.statistic, batch.images, batch.scores, self._threads)
        wrong = np.flatnonzero(~np.isfinite(found))
        if wrong.size:
            raise KvaeError(
                f"{batch.names[wrong[0]]}: its {self.statistic} is {found[wrong[0]]:g}, which cannot be ranked. Check "
                f"the model with kvae verify."
            )
        return found
