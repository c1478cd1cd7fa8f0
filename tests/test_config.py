"""Configs: ranges, types, and to JSON and back."""

import json

import pytest

from kvae.config import (
    LIKELIHOODS,
    REGULARIZERS,
    ModelConfig,
    TrainConfig,
    from_settings,
)
from kvae.errors import ConfigError


def test_json_round_trip():
    config = TrainConfig(epochs=3, beta=0.5, model=ModelConfig(architecture="mlp", latent_dim=2))
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(("architecture", "units"), [("conv", 128), ("mlp", 512), ("gated_mlp", 300), ("ladder", 256)])
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
        (TrainConfig, "entropy_weight", -0.5),
        (TrainConfig, "entropy_weight", float("nan")),
        (TrainConfig, "entropy_weight", "1"),
        (TrainConfig, "binarize", "static"),
        (TrainConfig, "binarize", True),
        (TrainConfig, "kl_warmup_epochs", -1),
        (TrainConfig, "lr_warmup_steps", -1),
        (TrainConfig, "lr_warmup_steps", 0.5),
        (TrainConfig, "adam_beta2", 1.0),
        (TrainConfig, "adam_beta2", -0.1),
        (TrainConfig, "seed", -1),
        (TrainConfig, "seed", 2**32),
        (TrainConfig, "dataset", 3),
    ],
)
def test_the_error_names_a_value_out_of_range(cls, name, value):
    with pytest.raises(ConfigError, match=f"{name} must be .*got"):
        cls(**{name: value})


def test_bounds_are_allowed():
    assert TrainConfig(beta=0, seed=2**32 - 1, kl_warmup_epochs=0, learning_rate=1).beta == 0


def test_a_warm_up_must_end_before_training_does():
    with pytest.raises(ConfigError, match="kl_warmup_epochs must be less than epochs"):
        TrainConfig(epochs=3, kl_warmup_epochs=3)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ConfigError, match="momentum"):
        TrainConfig.from_dict({"momentum": 0.9})


def test_a_changed_model_has_the_defaults_of_its_new_parts_and_keeps_what_was_given():
    left = ModelConfig(prior="mixture").changed(architecture="mlp", prior="vamp", latent_dim=3)
    assert left == ModelConfig(architecture="mlp", prior="vamp", latent_dim=3)
    assert (left.hidden_units, left.prior_components) == (512, 500)
    assert left.changed(prior="flow").changed(prior="mixture").prior_components == 100
    given = ModelConfig(prior="mixture", hidden_units=128, prior_components=100)
    assert given.changed(architecture="mlp").changed(prior="vamp").hidden_units == 128
    assert given.changed(prior="vamp").prior_components == 100
    named = TrainConfig(model=ModelConfig()).model  # whose likelihood was settled
    assert named.likelihood == "bernoulli" and named.changed(architecture="ladder").hidden_units == 256


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_images_are_binarised_only_for_the_bernoulli(likelihood):
    """By default; grey images under a Bernoulli must be requested."""
    config = TrainConfig(model=ModelConfig(likelihood=likelihood))
    assert config.binarize == ("dynamic" if likelihood == "bernoulli" else "none")
    assert TrainConfig(model=ModelConfig(likelihood=likelihood), binarize="none").binarize == "none"


@pytest.mark.parametrize("likelihood", [name for name in LIKELIHOODS if name != "bernoulli"])
def test_bits_under_another_likelihood_are_refused(likelihood):
    with pytest.raises(ConfigError, match=f"binarize must be none for the likelihood {likelihood}.*got dynamic"):
        TrainConfig(model=ModelConfig(likelihood=likelihood), binarize="dynamic")


def test_json_keeps_how_images_were_binarised():
    """Also if it is not the default."""
    for config in (TrainConfig(), TrainConfig(binarize="none"), TrainConfig(model=ModelConfig(likelihood="normal"))):
        values = json.loads(json.dumps(config.to_dict()))
        assert values["binarize"] == config.binarize
        assert TrainConfig.from_dict(values) == config


def test_the_loss_is_the_negative_elbo_by_default():
    assert (TrainConfig().beta, TrainConfig().entropy_weight, TrainConfig().kl_warmup_epochs) == (1.0, 1.0, 0)


def test_flat_settings_belong_to_the_model_or_to_its_training():
    config = from_settings({"latent_dim": 3, "epochs": 5, "likelihood": "normal", "architecture": "mlp"})
    assert config == TrainConfig(epochs=5, model=ModelConfig(latent_dim=3, likelihood="normal", architecture="mlp"))
    assert from_settings({}) == TrainConfig()


def test_a_config_from_before_binarisation_stays_one_for_grey_images():
    assert TrainConfig.from_dict({"dataset": "fashion_mnist"}).binarize == "none"


def test_flat_settings_are_not_changed_by_reading_them():
    settings = {"regularizer": "none", "latent_dim": 2, "epochs": 2}
    from_settings(settings)
    assert settings == {"regularizer": "none", "latent_dim": 2, "epochs": 2}


@pytest.mark.parametrize(
    ("name", "beta", "entropy_weight"), [("kl", 1.0, 1.0), ("cross-entropy", 1.0, 0.0), ("none", 0.0, 1.0)]
)
def test_a_regulariser_s_name_stands_for_its_weights(name, beta, entropy_weight):
    config = from_settings({"regularizer": name})
    assert (config.beta, config.entropy_weight) == (beta, entropy_weight)
    assert REGULARIZERS.keys() == {"kl", "cross-entropy", "none"}


def test_a_regulariser_leaves_the_other_weight_free():
    assert from_settings({"regularizer": "cross-entropy", "beta": 0.3}).beta == 0.3
    assert from_settings({"regularizer": "kl", "beta": 4.0, "entropy_weight": 1}).beta == 4.0


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [("kl", "entropy_weight", 0.5), ("cross-entropy", "entropy_weight", 1.0), ("none", "beta", 1.0)],
)
def test_a_weight_that_contradicts_the_regulariser_is_refused(name, setting, value):
    with pytest.raises(ConfigError, match=f"regularizer {name} means {setting} .*; got {setting} {value}"):
        from_settings({"regularizer": name, setting: value})


def test_an_unknown_regulariser_is_refused():
    with pytest.raises(ConfigError, match="regularizer must be one of kl, cross-entropy, none; got 'l2'"):
        from_settings({"regularizer": "l2"})


@pytest.mark.parametrize("name", ["momentum", "model"])
def test_an_unknown_flat_setting_is_refused(name):
    """`model` too, which is not a flat setting."""
    with pytest.raises(ConfigError, match=f"unknown setting: {name}"):
        from_settings({name: {"latent_dim": 3}})


def test_flat_settings_have_the_ranges_of_the_config():
    with pytest.raises(ConfigError, match="latent_dim must be an integer of at least 1; got 0"):
        from_settings({"latent_dim": 0})
    with pytest.raises(ConfigError, match="binarize must be none for the likelihood normal"):
        from_settings({"likelihood": "normal", "binarize": "dynamic"})


@pytest.mark.parametrize("value", ["0.5", None])
def test_a_weight_that_is_not_a_number_is_refused_with_a_regulariser(value):
    with pytest.raises(ConfigError, match="entropy_weight"):
        from_settings({"regularizer": "kl", "entropy_weight": value})


@pytest.mark.parametrize(
    "path, name",
    [("b\udcff", "b_"), ("c\x1b[31md", "c__31md"), ("ba\nd", "ba_d"), ("Früh 2.png", "Früh 2"), (".", None)],
)
def test_own_images_get_a_name_that_a_bundle_can_publish(tmp_path, monkeypatch, path, name):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(data=path)
    assert config.dataset == (name or tmp_path.name)
    assert config.to_publish()["data"] == config.dataset


def test_the_path_of_images_is_not_published(tmp_path):
    config = TrainConfig(data=str(tmp_path / "secret" / "cats"), dataset="pets")
    assert str(tmp_path) not in str(config.to_publish())
    assert TrainConfig.from_dict(config.to_publish()).dataset == "pets"


def test_a_name_that_a_bundle_cannot_hold_is_refused():
    with pytest.raises(ConfigError, match="dataset.* up to 100 letters.*got 'a/b'"):
        TrainConfig(data="x", dataset="a/b")
