"""`train` with settings in place of a config, and what a finished run does."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from kvae.cli.main import main
from kvae.config import TrainConfig, from_settings
from kvae.errors import ConfigError, KvaeError
from kvae.runs import beginning
from kvae.runtime import Bundle
from kvae.training import making, train

TINY = {"dataset": "fashion_mnist_mini", "architecture": "mlp", "hidden_units": 8, "latent_dim": 2, "epochs": 1}


@pytest.fixture
def configs(monkeypatch, tmp_path) -> list[tuple[TrainConfig, str]]:
    """The configs and folders with which trainings would begin; none does."""
    found = []

    def data_of(config, data_dir, decoding):
        found.append((config, data_dir))
        raise KvaeError("enough")

    monkeypatch.setattr(making.datasets, "of", data_of)
    monkeypatch.chdir(tmp_path)
    return found


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        (TINY, TINY),
        ({"recipe": "fashion_mnist_vae", "epochs": 40}, {"recipe": "fashion_mnist_vae", "epochs": 40}),
        ({}, {"recipe": "fashion_mnist_quick"}),
        ({"seed": 3}, {"recipe": "fashion_mnist_quick", "seed": 3}),
        ({"prior": "mixture"}, {"prior": "mixture"}),
    ],
)
def test_settings_mean_what_they_mean_on_the_command_line(configs, given, settings):
    with pytest.raises(KvaeError, match="enough"):
        train(**given)
    from kvae import recipes

    settings = dict(settings)
    assert configs[0][0] == recipes.resolve(settings.pop("recipe", None), settings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"config": from_settings(TINY), "epochs": 3}, "either a config"),
        ({"config": from_settings(TINY), "recipe": "fashion_mnist_vae"}, "either a config"),
        ({"recipe": "fashion_mnist"}, "recipe"),
        ({"epoch": 3}, "unknown setting: epoch"),
        ({"epochs": 0}, "epochs"),
        ({"config": "fashion_mnist"}, "TrainConfig; got 'fashion_mnist'"),
    ],
)
def test_settings_that_contradict_or_are_none(configs, given, message):
    with pytest.raises(ConfigError, match=message):
        train(**given)
    assert not configs


def test_paths_may_be_text_and_the_default_folder_is_a_new_one_in_runs(configs, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").touch()
    with pytest.raises(KvaeError, match="taken"):
        train(out="taken", **TINY)
    with pytest.raises(KvaeError, match="enough"):
        train(data_dir="data", **TINY)
    assert str(configs[0][1]) == "data" and beginning.default_folder(configs[0][0]).parts[0] == "runs"


def test_a_run_samples_and_evaluates_as_the_commands_do(run):
    np.testing.assert_array_equal(run.sample(3, seed=4), Bundle.open(run.exported.path).sample(3, seed=4))
    done = CliRunner().invoke(main, ["evaluate", str(run.path), "--importance-samples", "2", "--json"])
    told = json.loads(done.stdout)["metrics"]["nll"]
    assert run.evaluate(importance_samples=2).metrics["nll"].value == pytest.approx(told["value"])
    assert run.bundle is run.bundle
