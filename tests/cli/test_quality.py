"""`kvae evaluate --samples`: the table at any width, JSON, two models, and what it refuses in one line."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from kvae.cli import terminal
from kvae.cli.main import main
from kvae.data import Split, load
from kvae.evaluation import data as evaluation_data

MODEL = "exported/fashion_mnist_small"


@pytest.fixture
def kvae(monkeypatch):
    """Runs the command; the shipped model's images are those of the shipped data set, which are of the same kind."""
    mini = load("fashion_mnist_mini")
    mini = replace(mini, train=Split(mini.train.images[:600], mini.train.labels[:600]))  # the nearest is found sooner
    monkeypatch.setattr(evaluation_data, "data_of", lambda *given: mini)
    return lambda *words: CliRunner().invoke(main, ["evaluate", *words])


def test_the_table_has_each_number_with_its_error_and_the_floor(kvae):
    lines = kvae(MODEL, "--samples", "200").stdout.splitlines()
    rows = [line for line in lines if " ± " in line and "classes" not in line and "jackknife" not in line]
    assert [row.split("  ")[0] for row in rows[:4]] == [
        "Fréchet classifier distance", "kernel distance", "density", "coverage",
    ]  # fmt: skip
    assert lines[0].startswith("fashion_mnist_mini, seed 0")
    assert "200 samples from the prior against 500 test images" in lines[1]
    assert "64 features of a small classifier" in lines[2]
    assert "200 training images in place of samples" in lines[3]
    assert lines[-1].startswith("classes of samples, in % (and of test images): T-shirt/top")


@pytest.mark.parametrize("columns", [50, 80])
def test_no_line_is_longer_than_the_terminal(kvae, monkeypatch, columns):
    monkeypatch.setattr(terminal, "width", lambda stream=None: columns)
    found = kvae(MODEL, "--against", MODEL, "--samples", "100").stdout
    assert max(map(len, found.splitlines())) <= columns


def test_json_has_both_models_and_their_paired_difference(kvae):
    report = json.loads(kvae(MODEL, "--against", MODEL, "--samples", "150", "--seed", "5", "--json").stdout)
    assert (report["num_samples"], report["seed"], report["num_images"]) == (150, 5, 500)
    assert report["against"]["metrics"] == report["metrics"]
    assert report["difference"]["frechet_distance"] == {"value": 0.0, "standard_error": 0.0}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--samples", "0"], 1, "between 100 and 100,000; got 0"),
        (["--samples", "64"], 1, "between 100 and 100,000; got 64"),
        (["--samples", "100", "--seed", "-1"], 1, "seed must be an integer between 0"),
        (["--samples", "100", "--features", "missing.onnx"], 1, "missing.onnx"),
        (["--samples", "100", "--features", "README.md"], 1, "is a text"),
        (["--samples", "100", "--label", "0"], 2, "--label is about likelihoods"),
        (["--samples", "100", "--per-image", "a.npz"], 2, "--per-image is about likelihoods"),
        (["--features", "a.onnx"], 2, "--features is only for --samples"),
    ],
)
def test_what_cannot_be_done_is_one_line(kvae, words, code, message):
    result = kvae(MODEL, *words)
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.strip().splitlines()[-1].startswith("Error: ")
