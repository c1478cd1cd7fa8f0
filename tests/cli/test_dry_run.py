"""`kvae train --dry-run`: what would be trained, the same errors as the real one, and nothing written."""

import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from kvae.cli.main import main


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    """Runs the command in an empty folder, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    return lambda *words: CliRunner().invoke(main, ["train", "--dry-run", *words])


def test_it_says_what_would_be_trained_and_writes_nothing(kvae, tmp_path):
    result = kvae("--dataset", "fashion_mnist_mini", "--latent-dim", "3", "--epochs", "4", "--out", "runs/x")
    assert result.exit_code == 0, result.output
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert rows["images"] == "28 x 28 x 1: 4,000 train, 500 validation, 500 test"
    assert rows["settings"] == "latent_dim 3, epochs 4"
    assert rows["steps"].startswith(f"{4 * (4000 // 128)}: 4 epochs of 31")
    assert rows["run"].startswith("runs/x")
    assert not list(tmp_path.iterdir())


def test_the_recipe_and_its_settings_are_shown(kvae):
    found = json.loads(kvae("--recipe", "fashion_mnist_quick", "--dataset", "fashion_mnist_mini", "--json").stdout)
    assert found["recipe"] == "fashion_mnist_quick"
    assert found["settings"]["prior"] == "mixture" and found["settings"]["epochs"] == 120
    assert found["run"].startswith("runs/fashion_mnist_mini-gated_mlp-")


def test_a_data_set_that_is_not_there_is_not_downloaded(kvae, monkeypatch, tmp_path):
    def fetch(*arguments):
        raise AssertionError("downloaded")

    monkeypatch.setattr("kvae.data.download.fetch", fetch)
    result = kvae("--dataset", "mnist")
    assert "would be downloaded" in result.stdout and "50,000 train, 10,000 validation, 10,000 test" in result.stdout
    assert not list(tmp_path.iterdir())


def test_your_own_images_are_read_and_their_likelihood_is_chosen(kvae, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (100, 9, 8, 1), np.uint8)
    np.save(tmp_path / "own.npy", images)
    found = json.loads(kvae("--data", "own.npy", "--batch-size", "20", "--epochs", "3", "--json").stdout)
    assert sum(found["splits"].values()) == 100 and found["image_shape"] == [9, 8, 1]
    assert found["settings"]["likelihood"] == "discretized_logistic"
    assert found["steps"] == 3 * (found["splits"]["train"] // 20)
    assert [path.name for path in tmp_path.iterdir()] == ["own.npy"]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--out", "taken"], 1, "is not an empty folder"),
        (["--out", "run"], 1, "already holds a run"),
        (["--dataset", "fashion"], 1, "Did you mean fashion_mnist"),
        (["--data", "nothing"], 1, "nothing"),
        (["--data", "few.npy"], 1, "too few images"),
        (["--data", "own.npy", "--conditional"], 1, "have no labels"),
        (["--data", "own.npy", "--out", "own.npy"], 1, "own.npy"),
        (["--data", "own.npy", "--batch-size", "1000"], 1, "batch_size must be at most"),
        (["--data", "own.npy", "--batch-size", "8", "--shift", "8"], 1, "shift must be less"),
        (["--init-from", "nothing"], 1, "init_from must be a run"),
        (["--kl-warmup-epochs", "30"], 1, "kl_warmup_epochs must be less"),
        (["--resume", "run"], 2, "--dry-run is for a new run"),
    ],
)
def test_what_training_would_refuse_is_refused(kvae, tmp_path, words, status, message):
    images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), np.uint8)
    np.save(tmp_path / "own.npy", images)
    np.save(tmp_path / "few.npy", images[:3])
    for folder, name in (("taken", "thesis.txt"), ("run", "config.json")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    result = kvae(*words)
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    assert result.stderr.splitlines()[-1].startswith("Error: ") and message in result.stderr.splitlines()[-1]
    assert sorted(tmp_path.rglob("*")) == before


def test_no_tensorflow_is_needed(kvae, monkeypatch):
    loaded = "tensorflow" in sys.modules
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert kvae("--dataset", "fashion_mnist_mini").exit_code == 0
    assert loaded or sys.modules["tensorflow"] is None
