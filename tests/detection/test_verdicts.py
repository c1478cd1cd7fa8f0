"""The verdicts on a stream of images: the library's numbers with names, whichever images are skipped."""

import numpy as np
import pytest
from gaussian_family import LABELS, SHAPE, images, write
from PIL import Image

from kvae.data.images import open_images
from kvae.detection import calibrate, surprise
from kvae.detection.verdicts import Judge, Verdict, heading, shared
from kvae.errors import KvaeError
from kvae.runtime import Bundle
from kvae.runtime.scores import Row


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: Bundle.open(write(folder / kind, kind), device="cpu") for kind in ("affine", "labels")}


def stream(path, kind, count, seed):
    np.save(path, images(kind, count, seed)[0])
    return open_images([path], SHAPE)


def judged(judge, *arguments):
    return [one for batch in judge.verdicts(*arguments) for one in batch]


@pytest.mark.parametrize("kind", ["affine", "labels"])
@pytest.mark.parametrize("statistic", ["nll", "typicality"])
def test_verdicts_are_the_library_s_numbers(bundles, kind, statistic, tmp_path, monkeypatch):
    """In batches; those of a conditional model with the best label."""
    monkeypatch.setattr("kvae.data.image_files.BATCH", 7)
    bundle, label = bundles[kind], "best" if kind == "labels" else None
    judge = Judge(bundle, statistic)
    assert sum(judge.calibrate(stream(tmp_path / "n.npy", kind, 20, 1), label, alarm=0.2)) == 20
    is_odd = np.arange(30) % 3 == 0
    found = judged(judge, stream(tmp_path / "a.npy", kind, 30, 2), label, is_odd)
    normal, pixels = (images(kind, *which)[0] / np.float32(255) for which in ((20, 1), (30, 2)))
    calibration = calibrate(bundle, normal, statistic, label)
    expected = surprise(bundle, pixels, statistic, label)
    np.testing.assert_allclose([one.value for one in found], calibration.values(expected), rtol=1e-5, atol=1e-5)
    p_values = [one.p_value for one in found]
    np.testing.assert_allclose(p_values, calibration.p_values(expected), atol=1.01 / 21)  # a tie may fall either way
    assert [one.alarm for one in found] == [p <= 0.2 for p in p_values] and len(set(p_values)) > 5
    assert [one.odd for one in found] == is_odd.tolist()
    assert {one.row.label for one in found} == (set(LABELS) if label else {None})


def test_labels_stay_with_their_images_when_one_is_skipped(tmp_path):
    from kvae.bundle import locate

    rng = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(tmp_path / f"{index}.png")
    (tmp_path / "1.png").write_bytes(b"damaged")
    bundle = Bundle.open(locate.shipped()["fashion_mnist_small"])
    source = open_images([tmp_path], (28, 28, 1), max_bad=1)
    found = judged(Judge(bundle, "elbo"), source, None, np.array([False, True, True, False]))
    assert [(one.row.image[-5:], one.odd) for one in found] == [("0.png", False), ("2.png", True), ("3.png", False)]
    assert found[0].p_value is None and found[0].alarm is None


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_score_that_is_not_finite_is_named(bundles, value, tmp_path, monkeypatch):
    source = stream(tmp_path / "a.npy", "affine", 3, 0)
    wrong = np.array([0.0, value, 0.0])
    monkeypatch.setattr("kvae.detection.statistics.surprise", lambda *_: wrong)
    judge = Judge(bundles["affine"], "elbo")
    for go in (lambda: list(judge.calibrate(source)), lambda: judged(judge, source)):
        with pytest.raises(KvaeError, match=rf"a.npy\[1\]: its elbo is {value:g}"):
            go()


def test_an_alarm_that_cannot_fire_is_refused_before_any_image_is_read(bundles, tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.runtime.scores.scored", None)
    with pytest.raises(KvaeError, match="never fire with 3"):
        list(Judge(bundles["affine"], "elbo").calibrate(stream(tmp_path / "a.npy", "affine", 3, 0), alarm=0.2))


def test_files_that_are_their_own_reference_are_counted(tmp_path):
    one, other = (stream(tmp_path / name, "affine", 3, 0) for name in ("a.npy", "b.npy"))
    assert (shared(one, other), shared(one, one)) == (0, 1)


@pytest.mark.parametrize("statistic", ["elbo", "complexity"])
@pytest.mark.parametrize("columns", [None, 80])
def test_a_text_aligns_with_its_heading_and_fits(statistic, columns):
    row = Row("a/very/long/name/" + "x" * 80 + ".png", 12.3, -1234.56, 12.3, 1222.26)
    for p, alarm in ((None, None), (0.0123, None), (0.0123, True), (0.5, False)):
        verdict = Verdict(row, statistic, 1234.56, p, alarm)
        names, cells = heading(statistic, p is not None, alarm is not None, columns), verdict.as_text(columns)
        assert names.index("image") == len(cells) - len(cells.split()[-1])
        assert columns is None or len(cells) <= columns
        assert ("ALARM" in cells) == (alarm is True)
        expected = {"p_value": p, "alarm": alarm} | ({"complexity": 1234.56} if statistic == "complexity" else {})
        more = {name: value for name, value in verdict.as_dict().items() if name not in row.as_dict()}
        assert more == {name: value for name, value in expected.items() if value is not None}
