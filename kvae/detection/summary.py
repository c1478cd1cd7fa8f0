"""What is kept of a stream of verdicts while it is printed or written: the oddest, the alarms, how well odd is told."""

import heapq
from collections.abc import Iterable, Iterator

import numpy as np

from kvae.detection.metrics import Metrics, measure
from kvae.detection.verdicts import Verdict


class Summary:
    """Passes batches of verdicts on, and remembers the oddest of them; memory grows only with labelled images.

    Args:
        batches: the verdicts.
        keep: how many of the oddest to remember.
    """

    def __init__(self, batches: Iterable[list[Verdict]], keep: int = 0) -> None:
        self._batches = batches
        self._keep = keep
        self._values: list[float] = []
        self._odd: list[bool] = []
        self.oddest: list[Verdict] = []
        """The oddest so far: by the lowest p-value, if any are known, then the highest value; of equals, the first."""
        self.count = 0
        """How many verdicts there were."""
        self.alarms = 0
        """How many of them are alarms."""

    def __iter__(self) -> Iterator[list[Verdict]]:
        for batch in self._batches:
            self.count += len(batch)
            self.alarms += sum(bool(one.alarm) for one in batch)
            self.oddest = heapq.nlargest(self._keep, self.oddest + batch, key=_oddness)
            labelled = [one for one in batch if one.odd is not None]
            self._values += [one.value for one in labelled]
            self._odd += [bool(one.odd) for one in labelled]
            yield batch

    def metrics(self) -> Metrics:
        """How well the statistic tells the odd images from the normal ones, by their labels.

        Raises:
            KvaeError: there are only normal or only odd images, or none with a label.
        """
        return measure(np.array(self._values), np.array(self._odd, np.bool_))


def _oddness(verdict: Verdict) -> tuple[float, float]:
    """By typicality, an image with a higher value can have a higher p-value too: its own score moves the mean."""
    return (0.0 if verdict.p_value is None else -verdict.p_value, verdict.value)
