"""What a training would be given is what it is given."""

import numpy as np
import pytest

from kvae.config import ModelConfig, TrainConfig
from kvae.data import choice, datasets, planned
from kvae.errors import KvaeError


def both(config):
    """The plan, and the data set that a training gets, with its settings."""
    data = datasets.of(config)
    return planned.plan(config), data, choice.settle(config, data)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Images in sub-folders' place: an .npz with labels."""
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    generator = np.random.default_rng(0)
    path = tmp_path / "own.npz"
    np.savez(path, images=generator.integers(0, 256, (90, 8, 9, 3), np.uint8), labels=np.arange(90) % 3)
    return path


@pytest.mark.parametrize("own", [False, True])
def test_splits_shape_and_settings_are_those_of_the_training(images, own):
    config = TrainConfig(dataset="fashion_mnist_mini", batch_size=16)
    config = TrainConfig(data=str(images), batch_size=16, model=ModelConfig(conditional=True)) if own else config
    plan, data, settled = both(config)
    assert plan.splits == {name: len(getattr(data, name).images) for name in ("train", "validation", "test")}
    assert (plan.image_shape, plan.config) == (data.image_shape, settled)
    assert plan.steps_per_epoch == len(data.train.images) // 16 and plan.num_steps == 20 * plan.steps_per_epoch


def test_the_sizes_of_a_data_set_are_known_without_its_files(tmp_path, monkeypatch):
    config = TrainConfig(dataset="fashion_mnist_mini")
    expected = planned.plan(config)
    monkeypatch.setattr(datasets, "missing", lambda name, data_dir: ["a file"])
    monkeypatch.setattr(datasets, "of", None)
    found = planned.plan(config)
    assert (found.splits, found.image_shape) == (expected.splits, expected.image_shape)
    assert "downloaded" in found.source


def test_a_table_gets_dense_networks(tmp_path):
    np.save(tmp_path / "t.npy", np.random.default_rng(0).integers(0, 256, (90, 12), np.uint8))
    assert planned.plan(TrainConfig(data=str(tmp_path / "t.npy"), batch_size=8)).config.model.architecture == "mlp"


def test_images_that_training_refuses_are_refused(tmp_path):
    np.save(tmp_path / "own.npy", np.zeros((90, 8, 8), np.uint8))
    config = TrainConfig(data=str(tmp_path / "own.npy"))
    with pytest.raises(KvaeError):
        datasets.of(config)
    with pytest.raises(KvaeError, match="own.npy"):
        planned.plan(config)
