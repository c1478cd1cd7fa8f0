"""What is kept of a stream of verdicts, which is passed on unchanged."""

import numpy as np
import pytest

from kvae.detection.calibration import Calibration
from kvae.detection.metrics import measure
from kvae.detection.summary import Summary
from kvae.detection.verdicts import Verdict
from kvae.errors import KvaeError
from kvae.runtime.scores import Row

VALUES = [3.0, 9.0, 1.0, 9.0, 7.0, 2.0]


def batches(**known):
    def verdict(index):
        more = {name: values[index] for name, values in known.items()}
        return Verdict(Row(str(index), None, -1.0, 0.5, 0.5), "nll", VALUES[index], **more)

    return [[verdict(index) for index in part] for part in ([0, 1], [2, 3, 4], [5])]


def test_verdicts_are_passed_on_and_the_oddest_are_kept_in_order():
    """Of equals, the first."""
    given = batches()
    summary = Summary(iter(given), keep=3)
    assert list(summary) == given
    assert [one.row.image for one in summary.oddest] == ["1", "3", "4"]
    assert (summary.count, summary.alarms) == (6, 0)
    assert not Summary(batches()).oddest


def test_p_values_come_before_values():
    """Typicality of surprises 2.5 and -2.6 by the reference -3, 1, 2, by hand: values and p-values disagree."""
    calibration = Calibration("typicality", np.array([-3.0, 1.0, 2.0]))
    surprise = np.array([-2.6, 2.5])
    values, p_values = calibration.values(surprise), calibration.p_values(surprise)
    np.testing.assert_allclose(values, [2.6, 2.5])
    np.testing.assert_allclose(p_values, [0.75, 0.5])
    rows = [Verdict(Row(name, None, -1.0, 0.5, 0.5), "typicality", *known)
            for name, *known in zip("ab", values.tolist(), p_values.tolist(), strict=True)]  # fmt: skip
    summary = Summary([rows], keep=2)
    list(summary)
    assert [one.row.image for one in summary.oddest] == ["b", "a"]


def test_values_order_images_of_the_same_p_value():
    summary = Summary(batches(p_value=[0.2, 0.5, 0.2, 0.5, 0.1, 0.5]), keep=4)
    list(summary)
    assert [one.row.image for one in summary.oddest] == ["4", "0", "2", "1"]


def test_alarms_are_counted():
    summary = Summary(batches(p_value=[0.1] * 6, alarm=[True, False, True, False, False, True]))
    assert sum(map(len, summary)) == 6 and summary.alarms == 3


def test_metrics_are_those_of_the_values_and_labels():
    odd = [False, True, False, True, False, True]
    summary = Summary(batches(odd=odd))
    list(summary)
    assert summary.metrics() == measure(np.array(VALUES), np.array(odd))
    unlabelled = Summary(batches())
    list(unlabelled)
    with pytest.raises(KvaeError, match="0 images"):
        unlabelled.metrics()
