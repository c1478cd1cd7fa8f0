"""Configs: ranges, types and JSON both ways."""

import json

import pytest

from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError


def test_json_round_trip():
    config = TrainConfig(epochs=3, beta=0.5, model=ModelConfig(architecture="mlp", latent_dim=2))
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("architecture", "units"), [("conv", 128), ("mlp", 512)])
def test_hidden_units_depend_on_the_architecture(architecture, units):
    assert ModelConfig(architecture=architecture).hidden_units == units
    assert ModelConfig(architecture=architecture, hidden_units=7).hidden_units == 7


@pytest.mark.parametrize(
    ("cls", "name", "value"),
    [
        (ModelConfig, "latent_dim", 0),
        (ModelConfig, "latent_dim", 2.5),
        (ModelConfig, "latent_dim", True),
        (ModelConfig, "hidden_units", -1),
        (ModelConfig, "architecture", "transformer"),
        (ModelConfig, "likelihood", "poisson"),
        (TrainConfig, "epochs", 0),
        (TrainConfig, "batch_size", 0),
        (TrainConfig, "learning_rate", 0.0),
        (TrainConfig, "learning_rate", float("nan")),
        (TrainConfig, "beta", -0.1),
        (TrainConfig, "beta", float("inf")),
        (TrainConfig, "kl_warmup_epochs", -1),
        (TrainConfig, "seed", -1),
        (TrainConfig, "seed", 2**32),
        (TrainConfig, "dataset", 3),
    ],
)
def test_a_value_out_of_range_is_named(cls, name, value):
    with pytest.raises(ConfigError, match=f"{name} must be .*got"):
        cls(**{name: value})


def test_bounds_are_allowed():
    assert TrainConfig(beta=0, seed=2**32 - 1, kl_warmup_epochs=0, learning_rate=1).beta == 0


def test_a_warm_up_must_end():
    with pytest.raises(ConfigError, match="kl_warmup_epochs must be less than epochs"):
        TrainConfig(epochs=3, kl_warmup_epochs=3)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ConfigError, match="momentum"):
        TrainConfig.from_dict({"momentum": 0.9})
