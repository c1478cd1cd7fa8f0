"""A training that diverged is named as the cause when its model cannot be exported."""

import pytest

from kvae.config import ModelConfig, TrainConfig
from kvae.data import datasets
from kvae.errors import BundleError
from kvae.training import finishing

CONFIG = TrainConfig(dataset="fashion_mnist_mini", learning_rate=100.0, model=ModelConfig(architecture="mlp"))


@pytest.mark.parametrize("loss", [-1e6, -300.0])
def test_the_cause_of_a_failed_export_is_named(tmp_path, monkeypatch, loss):
    def refused(*_, **__):
        raise BundleError("'loc' differs between onnxruntime and Keras")

    monkeypatch.setattr(finishing, "load_model", lambda run: None)
    monkeypatch.setattr(finishing.bundles, "export", refused)
    history = {"val_elbo": [loss], "elbo": [loss], "val_loss": [-loss], "loss": [-loss]}
    with pytest.raises(Exception, match="'loc' differs") as caught:
        finishing.finish(tmp_path, CONFIG, datasets.load("fashion_mnist_mini"), history)
    assert ("With learning rate 100 training diverged" in str(caught.value)) == (loss < -1000)
    assert "\n" not in str(caught.value)
