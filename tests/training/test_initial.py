"""A new run begins with the weights of another one, or of a file; what does not fit is named before it is written."""

import json
import shutil

import keras
import numpy as np
import pytest
from tiny import make_vae

from kvae.config import ModelConfig, TrainConfig, from_settings
from kvae.errors import ConfigError, KvaeError
from kvae.runs import files, initial, layout
from kvae.training import building, load_model, making, resume
from kvae.training import initial as weights
from kvae.training.interrupts import Interrupted

SETTINGS = {"dataset": "fashion_mnist_mini", "epochs": 1, "batch_size": 1000, "jit": "off", "pictures_every": 0}
MODEL = {"architecture": "mlp", "latent_dim": 3, "hidden_units": 8, "likelihood": "continuous_bernoulli"}
SHAPE = (28, 28, 1)


class Stop(keras.callbacks.Callback):
    """Interrupts training before its first step."""

    def on_epoch_begin(self, epoch, logs=None):
        raise Interrupted


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A run as far as it matters here: its settings, and a model with weights of its own."""
    run = tmp_path_factory.mktemp("runs") / "old"
    config = from_settings(SETTINGS | MODEL | {"seed": 7})
    run.mkdir()
    files.write_json(run / layout.CONFIG, config.to_dict())
    building.build(config, SHAPE, 4000).save(run / layout.MODEL)
    return run


@pytest.fixture
def alone(old, tmp_path):
    return shutil.copyfile(old / layout.MODEL, tmp_path / "model.keras")


def begun(settings):
    config = weights.recorded(from_settings(initial.inherited(SETTINGS | settings)))
    vae = building.build(config, SHAPE, 4000)
    weights.load_into(vae, config)
    return vae, config


def same(vae, path):
    pairs = zip(vae.get_weights(), load_model(path).get_weights(), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_a_run_s_weights_and_its_model_s_settings_are_taken_over(old):
    vae, config = begun({"init_from": str(old), "learning_rate": 1e-4})
    assert same(vae, old)
    assert (config.model, config.binarize) == (ModelConfig(**MODEL), "none")
    assert int(vae.optimizer.iterations) == 0 and float(vae.optimizer.learning_rate) == pytest.approx(1e-4)


def test_the_data_set_is_that_of_the_run_unless_one_is_given(old, tmp_path, caplog):
    """Also one of a user's own, with its settings; the log says which it is."""
    found = initial.inherited({"init_from": str(old)})
    assert found["dataset"] == "fashion_mnist_mini" and found["data"] is None
    run = shutil.copytree(old, tmp_path / "run")
    own = {
        "data": str(tmp_path),
        "test_data": str(tmp_path / "t"),
        "dataset": "mine",
        "grayscale": True,
        "split_seed": 3,
    }
    files.write_json(run / layout.CONFIG, from_settings(SETTINGS | MODEL | own).to_dict())
    with caplog.at_level("INFO"):
        found = initial.inherited({"init_from": str(run / layout.MODEL), "seed": 5})
    assert {name: found[name] for name in own} == own and "data set mine, as in" in caplog.text
    for given in ({"dataset": "mnist"}, {"data": "photos"}):
        found = initial.inherited({"init_from": str(run)} | given)
        assert {name: found[name] for name in {*own, *given} & found.keys()} == given
    assert not own.keys() & initial.inherited({"init_from": str(run)}, with_data=False).keys()


def test_a_file_that_is_in_no_run_knows_its_code_and_its_likelihood(old, alone):
    vae, config = begun({"init_from": str(alone), "architecture": "mlp", "hidden_units": 8})
    assert same(vae, old) and config.model == ModelConfig(**MODEL)


@pytest.mark.parametrize(
    "settings",
    [
        {"architecture": "ladder", "latent_dim": 3, "hidden_units": 8, "prior": "flow"},
        MODEL | {"prior": "mixture", "prior_components": 4},
    ],
)
def test_a_file_that_is_in_no_run_knows_its_prior_and_its_ladder(settings, tmp_path):
    config = from_settings(SETTINGS | {"likelihood": "bernoulli"} | settings)
    building.build(config, SHAPE, 4000).save(tmp_path / "other.keras")
    given = {name: MODEL[name] for name in ("architecture", "hidden_units") if settings["architecture"] == "mlp"}
    vae, found = begun({"init_from": str(tmp_path / "other.keras")} | given)
    assert same(vae, tmp_path / "other.keras") and found.model == config.model


def test_another_prior_is_refused_by_its_name(old, alone, tmp_path):
    run = shutil.copytree(old, tmp_path / "old")
    config = from_settings(SETTINGS | MODEL | {"prior": "mixture", "prior_components": 4})
    building.build(config, SHAPE, 4000).save(run / layout.MODEL)
    files.write_json(run / layout.CONFIG, config.to_dict())
    with pytest.raises(ConfigError, match="prior mixture, not flow"):
        begun({"init_from": str(run), "prior": "flow"})
    with pytest.raises(ConfigError, match="prior standard_normal, not flow"):
        begun({"init_from": str(alone), "prior": "flow"} | MODEL)


def test_settings_that_keep_the_shapes_may_change(old):
    vae, config = begun({"init_from": str(old), "likelihood": "bernoulli", "binarize": "dynamic"})
    assert same(vae, old) and config.model.likelihood == "bernoulli"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latent_dim": 5}, "latent_dim 3, not 5"),
        ({"hidden_units": 9}, "hidden_units 8, not 9"),
        ({"architecture": "conv"}, "architecture mlp, not conv"),
        ({"likelihood": "normal"}, "likelihood continuous_bernoulli, not normal"),
    ],
)
def test_other_networks_are_refused_by_the_setting_s_name(old, tmp_path, settings, words):
    config = from_settings(initial.inherited(SETTINGS | settings | {"init_from": str(old)}))
    with pytest.raises(ConfigError, match=f"is a model with other networks: .*{words}") as caught:
        making.train(config, tmp_path / "run")
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_images_of_another_shape_are_refused(tmp_path):
    make_vae().save(tmp_path / "small.keras")
    config = from_settings(initial.inherited(SETTINGS | MODEL | {"init_from": str(tmp_path / "small.keras")}))
    with pytest.raises(ConfigError, match="images of shape 8 x 8 x 1, not 28 x 28 x 1: use --image-size"):
        making.train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_holds_no_weights_is_refused(old, tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    (tmp_path / "text.keras").write_text("no")
    for path, words in (
        (bundle, "is a bundle, whose ONNX graphs cannot be trained"),
        (tmp_path / "nothing", "must be a run with a model.keras, or a .keras file"),
        (tmp_path, "must be a run with a model.keras"),
        (tmp_path / "text.keras", "does not hold a model of kvae train"),
    ):
        with pytest.raises(KvaeError, match=words) as caught:
            initial.inherited({"init_from": str(path)})
        assert "\n" not in str(caught.value)


def test_the_run_records_where_its_weights_came_from_and_does_not_need_it_again(old, tmp_path, monkeypatch):
    """Killed before its first step, its source gone, it resumes with these weights; the bundle names no path."""
    source = shutil.copytree(old, tmp_path / "source")
    config = from_settings(initial.inherited(SETTINGS | {"init_from": str(source)}))
    with pytest.raises(Interrupted):
        making.train(config, tmp_path / "run", callbacks=[Stop()])
    values = json.loads((tmp_path / "run" / layout.CONFIG).read_text())
    assert values["init_from"] == str(source) and len(values["init_sha256"]) == 64
    published = files.read_config(tmp_path / "run").to_publish()
    assert published["init_from"] == "source" and published["init_sha256"] == values["init_sha256"]
    shutil.rmtree(source)
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(same(look.model, old)))
    with pytest.raises(Interrupted):
        resume(tmp_path / "run", callbacks=[look, Stop()])
    assert seen == [True]


def test_a_file_that_changed_meanwhile_is_refused(old):
    config = weights.recorded(TrainConfig(init_from=str(old)))
    assert weights.recorded(config) == config
    with pytest.raises(ConfigError, match="has changed: its sha256 is .*, expected 000000000000"):
        weights.recorded(TrainConfig(init_from=str(old), init_sha256="0" * 64))
