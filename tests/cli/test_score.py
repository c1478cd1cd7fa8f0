"""`kvae score` as a detector: p-values, alarms, labels, pictures and maps, and a line for everything that is wrong."""

import csv
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kvae import detection
from kvae.bundle import locate
from kvae.cli import score
from kvae.cli.main import main
from kvae.data.datasets import load
from kvae.runtime.bundle import Bundle

IMAGES = load("fashion_mnist_mini").test.images[:60]
NOISE = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), np.uint8)
NEW = np.concatenate([IMAGES[40:48], NOISE])
IS_ODD = [False] * 8 + [True] * 4
BASE = ["score", "--model", "fashion_mnist_small"]


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    """Runs the command in a folder with normal images, new ones of which four are noise, and their labels."""
    monkeypatch.chdir(tmp_path)
    np.save("normal.npy", IMAGES[:19])
    np.save("new.npy", NEW)
    (tmp_path / "odd.csv").write_text("\n".join(str(int(odd)) for odd in IS_ODD))
    return lambda *arguments: CliRunner().invoke(main, [*BASE, *arguments], catch_exceptions=False)


def rows_of(result):
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def line_of(result, status=1):
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_the_statistics_are_those_of_the_library():
    assert score.STATISTICS == detection.STATISTICS


def test_p_values_and_alarms_are_the_library_s(kvae):
    result = kvae("new.npy", "--reference", "normal.npy", "--alarm", "0.05", "--json")
    rows = rows_of(result)
    bundle = Bundle.open(locate.shipped()["fashion_mnist_small"], threads=1)
    as_floats = [images / np.float32(255) for images in (IMAGES[:19], NEW)]
    calibration = detection.calibrate(bundle, as_floats[0])
    expected = calibration.p_values(detection.surprise(bundle, as_floats[1]))
    np.testing.assert_allclose([row["p_value"] for row in rows], expected)
    assert [row["alarm"] for row in rows] == (expected <= 0.05).tolist()
    assert all(row["alarm"] for row in rows[8:]) and expected[8:].tolist() == [0.05] * 4
    assert "images raise an alarm at a false-alarm rate of 0.05" in result.stderr


def test_a_table_marks_alarms_and_ends_with_how_well_odd_is_told(kvae):
    result = kvae("new.npy", "--reference", "normal.npy", "--alarm", "0.05", "--labels", "odd.csv",
                  "--statistic", "typicality")  # fmt: skip
    assert result.exit_code == 0, result.output
    heading, *rows = result.stdout.split("\n\n")[0].splitlines()
    assert heading.split() == ["p-value", "alarm", "typicality", "percentile", "elbo", "rate", "distortion", "image"]
    assert len(rows) == 12 and all("ALARM" in row for row in rows[8:])
    assert "4 odd and 8 normal images\nAUROC  1.0000" in result.stdout.split("\n\n")[1]


def test_a_csv_has_the_columns_and_can_be_the_labels_of_the_next_call(kvae):
    options = ("--reference", "normal.npy", "--labels")
    assert kvae("new.npy", *options, "odd.csv", "--out", "a.csv").exit_code == 0
    report = json.loads(kvae("new.npy", *options, "a.csv", "--out", "b.csv", "--json").stdout)
    with open("b.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "percentile", "elbo", "rate", "distortion", "p_value", "odd"]
    assert [row["odd"] == "True" for row in rows] == IS_ODD
    assert report["detection"]["auroc"]["value"] == 1.0 and report["detection"]["num_odd"] == 4


def test_the_picture_and_the_maps(kvae):
    result = kvae("new.npy", "--picture", "odd.png", "--maps", "maps.npz", "--json")
    rows = rows_of(result)
    with Image.open("odd.png") as picture:
        assert picture.height > 3 * 56 and picture.width > 12 * 56
    assert "odd.png shows, from the oddest: new.npy[" in result.stderr
    with np.load("maps.npz") as found:
        assert found["names"].tolist() == [row["image"] for row in rows]
        np.testing.assert_allclose(found["maps"].sum(axis=(1, 2)), [row["distortion"] for row in rows], rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--alarm 0.05", "--alarm needs --reference"),
        ("--reference normal.npy --alarm 0", "0"),
        ("--reference normal.npy --alarm 1", "1"),
        ("--reference normal.npy --alarm x", "x"),
        ("--statistic typicality", "typicality needs --reference"),
        ("--statistic likelihood", "likelihood"),
        ("--engine ray --out parts --reference normal.npy", "--engine ray computes the ELBO alone"),
        ("--engine ray --out parts --maps maps.npz", "--engine ray computes the ELBO alone"),
    ],
)
def test_wrong_usage(kvae, options, problem):
    assert problem in line_of(kvae("new.npy", *options.split()), status=2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--reference normal.npy --alarm 0.01", "never fire with 19 reference images.* at least 99"),
        ("--reference normal.npy --alarm nan", "between 0 and 1; got nan"),
        ("--reference missing.npy", "missing.npy cannot be read"),
        ("--reference empty", "empty holds no pictures"),
        ("--reference none.npy", "none.npy holds no numbers"),
        ("--reference small.npy", r"small.npy holds images of \(8, 8, 1\).*28 x 28 x 1"),
        ("--reference colour.npy", "colour.npy holds images of .*3.*28 x 28 x 1"),
        ("--labels short.csv", "short.csv holds 2 labels for 12 images"),
        ("--labels same.csv", "same.csv labels all 12 images normal"),
        ("--labels missing.csv", "missing.csv cannot be read"),
        ("--statistic complexity", "surrogate, not a code length"),
        ("--picture odd.jpg", "must end in .png"),
        ("--maps maps.npy", "must end in .npz"),
        ("--picture pictures", "must end in .png"),
        ("--picture new.npy", "is an input.*--picture"),
        ("--maps normal.npy --reference normal.npy", "is an input.*--maps"),
        ("--out a.csv --picture a.csv", "must end in .png"),
        ("--out a.png --picture a.png", "must end in .csv"),
    ],
)  # fmt: skip
def test_one_line_for_what_is_wrong(kvae, options, problem, tmp_path):
    (tmp_path / "empty").mkdir()
    np.save("none.npy", NEW[:0])
    np.save("small.npy", NEW[:, :8, :8])
    np.save("colour.npy", NEW.repeat(3, axis=-1))
    (tmp_path / "short.csv").write_text("0\n1\n")
    (tmp_path / "same.csv").write_text("0\n" * 12)
    before = sorted(tmp_path.rglob("*"))
    result = kvae("new.npy", *options.split())
    assert re.search(problem, line_of(result)), result.stderr
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("--labels short.csv", "short.csv holds 2 labels for 12 images"),
        ("--labels missing.csv", "missing.csv cannot be read"),
        ("--out a.txt", "a.txt: the name must end in .csv"),
        ("--out odd.csv/a.csv", "cannot write .*odd.csv/a.csv"),
        ("--picture odd.jpg", "must end in .png"),
        ("--picture odd.csv/odd.png", "cannot write .*odd.csv/odd.png"),
        ("--picture folder.png", "folder.png is a folder"),
        ("--maps odd.csv/maps.npz", "cannot write .*odd.csv/maps.npz"),
        ("--picture new/odd.png --out a.txt", "must end in .csv"),
    ],
)
def test_what_cannot_be_read_or_written_is_said_before_any_image_is_scored(
    kvae, options, problem, tmp_path, monkeypatch
):
    monkeypatch.setattr("kvae.runtime.scores.scored", None)
    monkeypatch.setattr("kvae.runtime.scores.score", None)
    (tmp_path / "short.csv").write_text("0\n1\n")
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert re.search(problem, line_of(kvae("new.npy", "--reference", "normal.npy", *options.split())))
    assert sorted(tmp_path.rglob("*")) == before


def test_outputs_may_be_in_a_folder_that_is_not_there_yet(kvae, tmp_path):
    assert kvae("new.npy", "--out", "a/a.csv", "--picture", "b/odd.png", "--maps", "a/maps.npz").exit_code == 0
    assert {path.name for folder in "ab" for path in (tmp_path / folder).iterdir()} == {"a.csv", "odd.png", "maps.npz"}


def test_images_that_are_their_own_reference_are_said(kvae):
    result = kvae("new.npy", "--reference", "new.npy")
    assert result.exit_code == 0 and "note: 1 files are both" in result.stderr


def test_80_columns(kvae, monkeypatch):
    monkeypatch.setattr("kvae.cli.score.width", lambda *_: 80)
    for statistic in ("elbo", "typicality"):
        result = kvae("new.npy", "--reference", "normal.npy", "--alarm", "0.05", "--statistic", statistic)
        assert result.exit_code == 0 and max(map(len, result.stdout.splitlines())) <= 80
