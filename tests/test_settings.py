"""The settings and the command of a config, read back by the command line itself."""

import pytest

from kvae import settings
from kvae.cli.config_options import given
from kvae.cli.main import main
from kvae.config import ModelConfig, TrainConfig, from_settings


@pytest.mark.parametrize(
    "config",
    [
        TrainConfig(),
        TrainConfig(deterministic=True, tensorboard=True, patience=3, pictures_every=0, seed=5),
        TrainConfig(model=ModelConfig(architecture="gated_mlp", likelihood="normal", hidden_units=512), beta=0.5),
        TrainConfig(binarize="none", kl_warmup_epochs=3, learning_rate=1e-5),
        TrainConfig(data="my photographs/sea.npz", image_size="32x48", grayscale=True, max_bad=0),
        TrainConfig(data="sea", dataset="holidays"),
    ],
)
def test_the_command_gives_the_same_config(config):
    words = settings.command(config)
    train = main.commands["train"]
    context = train.make_context("train", words[2:])
    assert words[:2] == ["kvae", "train"]
    assert from_settings(given(context, context.params)) == config


def test_only_necessary_settings_are_marked_as_changed():
    assert settings.changed(TrainConfig()) == {}
    config = TrainConfig(model=ModelConfig(architecture="mlp", hidden_units=512), binarize="dynamic", epochs=3)
    assert settings.changed(config) == {"architecture": "mlp", "epochs": 3}  # the others follow from these
