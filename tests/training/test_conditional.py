"""A conditional training: its labels reach the model, the run and the bundle, and samples of a class look like it."""

import json
import logging
from dataclasses import replace

import keras
import numpy as np
import pytest

from kvae.config import PriorFitConfig, from_settings
from kvae.data import datasets
from kvae.errors import ConfigError, KvaeError
from kvae.evaluation.data import labelled_test_images
from kvae.runtime import Bundle
from kvae.training import building, fitting, initial, making, prior_fitting, resuming
from kvae.training.exporting import export_run
from kvae.training.keras_files import load_model

SHADES = {"dark": 40, "grey": 125, "light": 210}
NAMES = np.array(list(SHADES))
SETTINGS = {
    "dataset": "shades", "conditional": True, "architecture": "mlp", "latent_dim": 2, "hidden_units": 16,
    "batch_size": 32, "learning_rate": 1e-2, "jit": "off", "likelihood": "continuous_bernoulli",
}  # fmt: skip


def shades(path, seed=0):
    """300 images, as bright as their label says, and the labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, 300)
    levels = np.array(list(SHADES.values()))[labels][:, None, None]
    images = np.clip(rng.normal(levels, 12, (300, 8, 8)), 0, 255).astype(np.uint8)
    np.savez(path, images=images, labels=NAMES[labels])
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The config, the data and the run of a training on images whose class is their brightness."""
    root = tmp_path_factory.mktemp("shades")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVAE_CACHE_DIR", str(root / "cache"))
        config = from_settings(
            SETTINGS | {"data": str(shades(root / "shades.npz")), "epochs": 60, "pictures_every": 30}
        )
        run = making.train(config, root / "run")
        yield config, datasets.of(config), run


def test_samples_of_a_class_look_like_it(made):
    _, data, run = made
    bundle = Bundle.open(run.exported.path, device="cpu")
    assert bundle.labels == ["dark", "grey", "light"]
    for number, name in enumerate(SHADES):
        samples = bundle.sample(200, seed=1, label=name)
        distances = np.abs(samples.mean(axis=(1, 2, 3))[:, None] - np.array(list(SHADES.values())) / 255)
        assert np.mean(distances.argmin(axis=1) == number) > 0.9
        np.testing.assert_array_equal(samples, bundle.sample(200, seed=1, label=number))
    counts = np.bincount(data.train.labels, minlength=3)
    weights = np.diff([0, *bundle.manifest.label_weights]) / 2**53
    np.testing.assert_allclose(weights, counts / counts.sum(), atol=1e-12)


def test_the_run_records_the_labels_and_has_its_pictures(made):
    _, data, run = made
    recorded = json.loads((run.path / "dataset.json").read_text())
    assert list(recorded["label_counts"]) == ["dark", "grey", "light"]
    assert sum(recorded["label_counts"].values()) == len(data.train.images)
    assert json.loads((run.path / "config.json").read_text())["model"]["conditional"] is True
    for name in ("samples.png", "reconstructions.png", "pictures/samples-0030.png"):
        assert (run.path / name).is_file()
    assert np.isfinite(run.effective_beta)


def test_the_steps_get_the_labels_of_their_images(made):
    config, data, _ = made
    vae = building.build(config, data.image_shape, len(data.train.images), num_labels=3)
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(logs["elbo"])

    fitting.fit(vae, replace(config, epochs=1), data, [Watch()])
    other = building.build(config, data.image_shape, len(data.train.images), num_labels=3)
    wrong = replace(data, train=replace(data.train, labels=(data.train.labels + 1) % 3))
    found = fitting.fit(other, replace(config, epochs=1), wrong)
    assert seen and found["elbo"][0] != pytest.approx(seen[-1], abs=1e-6)


def test_test_images_come_with_the_names_of_their_classes(made):
    _, data, run = made
    images, names, _ = labelled_test_images(run.exported.manifest, own=run.path.parent / "shades.npz")
    np.testing.assert_array_equal(images, data.test.images)
    assert names == [data.class_names[label] for label in data.test.labels]


@pytest.mark.slow
def test_a_longer_training_goes_on_with_labels_and_refuses_others(made, tmp_path, monkeypatch):
    config, _, _ = made
    path = shades(tmp_path / "x.npz")
    short = replace(config, data=str(path), epochs=1, pictures_every=0)
    run = making.train(short, tmp_path / "run")
    with np.load(path) as found:
        images, labels = found["images"], found["labels"]
    np.savez(path, images=images, labels=np.roll(labels, 1))
    with pytest.raises(KvaeError, match="labels of shades differ"):
        resuming.resume(run.path, epochs=2)
    np.savez(path, images=images, labels=labels)
    longer = resuming.resume(run.path, epochs=2)
    assert longer.exported.manifest.labels == ["dark", "grey", "light"]


def test_a_prior_is_not_fitted_to_images_with_other_labels(made, tmp_path, monkeypatch):
    """Their codes depend on the labels, and the hash of the images does not."""
    _, data, run = made
    other = replace(data, train=replace(data.train, labels=np.roll(data.train.labels, 1)))
    monkeypatch.setattr(prior_fitting.datasets, "of", lambda *arguments: other)
    with pytest.raises(KvaeError, match="labels of shades differ"):
        prior_fitting.fit_prior(run.path, tmp_path / "out", PriorFitConfig(epochs=1))


def test_a_run_is_exported_again_without_its_images_too(made, tmp_path, caplog):
    config, _, run = made
    again = export_run(run.path, tmp_path / "bundle")
    assert again.manifest.label_weights == run.exported.manifest.label_weights
    assert again.manifest.dataset == run.exported.manifest.dataset
    assert set(again.manifest.dataset) == {"name", "sha256", "num_images"}
    assert again.manifest.scoring == run.exported.manifest.scoring
    with caplog.at_level(logging.WARNING, "kvae"):
        bare = export_run(run.path, tmp_path / "bare", own=shades(tmp_path / "other.npz", seed=1))
    assert bare.manifest.labels == run.exported.manifest.labels and bare.manifest.scoring is None
    assert "images differ" in caplog.text


def test_initial_weights_come_from_a_model_of_as_many_classes(made, caplog):
    config, data, run = made
    config = initial.recorded(replace(config, init_from=str(run.path)))
    vae = building.build(config, data.image_shape, 100, num_labels=3)
    initial.load_into(vae, config)
    for one, other in zip(vae.encoder.get_weights(), load_model(run.path).encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with caplog.at_level(logging.WARNING, "kvae"):
        initial.load_into(vae, config, data.label_names)
        assert not caplog.records
        initial.load_into(vae, config, ["dark", "gray", "light"])
    (warning,) = caplog.messages
    assert "class 1, which was grey, is gray from now on" in warning and "\n" not in warning
    with pytest.raises(ConfigError, match="of 3 classes, not of 4 classes"):
        initial.load_into(building.build(config, data.image_shape, 100, num_labels=4), config)
    plain = replace(config, model=replace(config.model, conditional=False))
    with pytest.raises(ConfigError, match="of 3 classes, not without labels"):
        initial.load_into(building.build(plain, data.image_shape, 100), plain)


@pytest.mark.parametrize(("conditional", "num_labels"), [(True, None), (False, 3)])
def test_a_conditional_config_and_classes_go_together(conditional, num_labels):
    config = from_settings(SETTINGS | {"conditional": conditional})
    with pytest.raises(ConfigError, match="num_labels"):
        building.build(config, (8, 8, 1), 100, num_labels=num_labels)
