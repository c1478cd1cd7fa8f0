"""Recipes: each is a valid config, and settings given with it change it."""

import copy
from pathlib import Path

import pytest

from kvae.config import DATASETS, TrainConfig, from_settings
from kvae.errors import ConfigError
from kvae.recipes import ASIDE, RECIPES, WITHOUT_SETTINGS, for_settings, resolve


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_is_a_config_for_a_known_data_set(name):
    """And all of its settings are in the config: none is dropped."""
    config = resolve(name, {})
    assert config == from_settings(RECIPES[name])
    assert config.dataset in DATASETS
    values = config.to_dict() | config.to_dict()["model"]
    assert {key: values[key] for key in RECIPES[name]} == RECIPES[name]


def test_the_benchmark_s_recipe_has_the_paper_s_network_and_data():
    """Two gated layers of 300 units, 40 latent dimensions, and bits drawn again in each epoch."""
    config = resolve("fashion_mnist_vae", {})
    assert (config.model.architecture, config.model.hidden_units, config.model.latent_dim) == ("gated_mlp", 300, 40)
    assert (config.dataset, config.model.likelihood, config.binarize) == ("fashion_mnist", "bernoulli", "dynamic")
    assert (config.beta, config.entropy_weight) == (1.0, 1.0)


def test_the_ladder_s_recipe_is_a_ladder_of_the_benchmark_s_images_for_two_hours():
    """At about 600 images/s, validation and checkpoints beside."""
    config = resolve("fashion_mnist_ladder", {})
    assert (config.dataset, config.model.likelihood, config.binarize) == ("fashion_mnist", "bernoulli", "dynamic")
    assert (config.model.architecture, config.model.latent_dim, config.model.prior) == (
        "ladder", 32, "standard_normal",
    )  # fmt: skip
    assert (config.beta, config.entropy_weight, config.free_bits) == (1.0, 1.0, 0.0)
    assert 1.5 < config.epochs * 50_000 / 600 / 3600 < 2.0


@pytest.mark.parametrize("name", RECIPES)
def test_each_recipe_is_described(name):
    root = Path(__file__).parent.parent
    assert f"| `{name}` |" in (root / "docs" / "training.md").read_text()
    assert f"`{name}`" in (root / "docs" / "commands.md").read_text()


def test_settings_given_with_a_recipe_change_it():
    config = resolve("fashion_mnist_vae", {"epochs": 1234, "latent_dim": 2, "seed": 3})
    assert (config.epochs, config.model.latent_dim, config.seed) == (1234, 2, 3)
    assert config.model.architecture == "gated_mlp"


def test_a_command_without_settings_follows_the_recipe_of_its_data_set():
    assert for_settings({}) == for_settings({"dataset": "fashion_mnist"}) == "fashion_mnist_quick"
    assert for_settings({"seed": 1, "pictures_every": 0, "jit": "off"}) == "fashion_mnist_quick"
    assert for_settings({"dataset": "fashion_mnist_mini"}) is None
    for other in ({"epochs": 20}, {"latent_dim": 16}, {"data": "photos"}, {"init_from": "run"}, {"regularizer": "kl"}):
        assert for_settings(other) is None
    fields = TrainConfig.__dataclass_fields__
    assert set(ASIDE) <= set(fields)
    for name, recipe in WITHOUT_SETTINGS.items():
        assert RECIPES[recipe]["dataset"] == name


def test_a_recipe_is_not_changed_by_its_use():
    before = copy.deepcopy(RECIPES)
    resolve("fashion_mnist_vae", {"epochs": 1234, "regularizer": "none"})
    assert before == RECIPES


def test_without_a_recipe_the_settings_and_defaults_are_used():
    assert resolve(None, {}) == TrainConfig()
    assert resolve(None, {"epochs": 2}) == TrainConfig(epochs=2)


def test_a_setting_that_contradicts_the_recipe_is_refused():
    """A recipe for bits cannot have a likelihood for grey images unless `binarize` is given too."""
    with pytest.raises(ConfigError, match="binarize must be none for the likelihood normal"):
        resolve("fashion_mnist_vae", {"likelihood": "normal"})
    assert resolve("fashion_mnist_vae", {"likelihood": "normal", "binarize": "none"}).model.likelihood == "normal"


def test_an_unknown_recipe_or_setting_is_refused():
    with pytest.raises(ConfigError, match="recipe 'soup' is unknown. Known: fashion_mnist_vae, fashion_mnist_quick, "):
        resolve("soup", {})
    with pytest.raises(ConfigError, match="unknown setting: salt"):
        resolve("fashion_mnist_vae", {"salt": 1})
