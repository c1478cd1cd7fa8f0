"""Rows of scores: kvae.runtime.scoring's numbers with the images' names, in any number of batches, as text and CSV."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from tiny import random_images

from kvae.data import images
from kvae.errors import KvaeError
from kvae.runtime import scores, scoring
from kvae.runtime.bundle import Bundle


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.data.image_files.BATCH", 6)
    np.save(tmp_path / "a.npy", random_images(20))
    return images.open_images([tmp_path / "a.npy"], (8, 8, 1))


def test_rows_are_scores_with_names(bundle_path, source):
    bundle = Bundle.open(bundle_path, threads=1)
    batches = list(scores.score(bundle, source))
    rows = [row for batch in batches for row in batch]
    assert len(batches) > 2
    assert [row.image.rpartition("/")[2] for row in rows] == [f"a.npy[{index}]" for index in range(20)]
    expected = scoring.score(bundle, random_images(20))
    for name in ("elbo", "rate", "distortion"):
        np.testing.assert_allclose([getattr(row, name) for row in rows], getattr(expected, name), rtol=1e-6)
    assert {row.percentile for row in rows} == {None}  # the bundle has no statistics of training images


def test_the_bundle_s_own_draws_and_seed_are_used(bundle_path, source):
    bundle = Bundle.open(bundle_path, threads=1)
    bundle.encode(random_images(1))  # starts the session, which checks the manifest
    settings = {"num_images": 2, "draws": 3, "seed": 5, "percents": [0, 100], "elbo": [-1e6, 1e6]}
    bundle.manifest = replace(bundle.manifest, scoring=settings)
    rows = [row for batch in scores.score(bundle, source) for row in batch]
    expected = scoring.score(bundle, random_images(20), draws=3, seed=5)
    np.testing.assert_allclose([row.elbo for row in rows], expected.elbo, rtol=1e-6)
    np.testing.assert_allclose([row.percentile for row in rows], 50, atol=0.1)


def test_odd_file_names_break_neither_table_nor_csv(tmp_path):
    """A line break, and a byte that is not UTF-8."""
    names = ["two\nlines.png", b"\xff.png".decode("utf-8", "surrogateescape")]
    rows = [scores.Row(name, 1.0, -2.0, 3.0, 4.0) for name in names]
    assert [row.as_text().split()[-1] for row in rows] == ["two\\nlines.png", "\\udcff.png"]
    scores.write_csv([rows], tmp_path / "a.csv")
    assert b"\xff.png,1.0,-2.0" in (tmp_path / "a.csv").read_bytes()


def test_a_row_as_text_aligns_with_the_heading():
    row = scores.Row("shirt.png", 12.34, -235.678, 14.5, 221.178)
    assert scores.heading().split() == ["percentile", "elbo", "rate", "distortion", "image"]
    assert row.as_text().split() == ["12.3", "-235.68", "14.50", "221.18", "shirt.png"]
    assert row._replace(percentile=None).as_text().split()[0] == "-"
    assert len(row.as_text()) - len("shirt.png") == scores.heading().index("image")


def test_a_csv_holds_the_rows(tmp_path):
    rows = [scores.Row('odd, "name".png', 12.5, -1.0, 2.0, 3.0), scores.Row("b.png", None, -4.0, 5.0, 6.0)]
    scores.write_csv([rows[:1], rows[1:]], tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first == {
        "image": 'odd, "name".png', "percentile": "12.5", "elbo": "-1.0", "rate": "2.0", "distortion": "3.0",
    }  # fmt: skip
    assert second["percentile"] == ""
    with pytest.raises(KvaeError, match="must end in .csv"):
        scores.write_csv([], tmp_path / "a.txt")
