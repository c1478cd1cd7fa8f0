"""Keras computes with TensorFlow, in float32 and channels last, whatever the environment and keras.json say."""

import json
import os
import subprocess
import sys

import keras
import pytest

from kvae.errors import KvaeError
from kvae.steps import backend

MODULES = ("kvae.model", "kvae.steps", "kvae.training", "kvae.export", "kvae.comparison")


def test_each_folder_of_the_training_world_chooses_it_first():
    """The module comes before anything of kvae's that imports Keras."""
    root = os.path.dirname(os.path.dirname(backend.__file__))
    for name in MODULES:
        with open(os.path.join(root, name.partition(".")[2], "__init__.py"), encoding="utf-8") as file:
            first = next(line for line in file if line.startswith(("import ", "from ")))
        assert first.startswith(("import kvae.steps.backend", "import kvae.model", "import kvae.training"))


@pytest.mark.parametrize("chosen", ["jax", "torch", "numpy", "nonsense"])
def test_another_backend_in_the_environment_is_ignored_and_said(monkeypatch, caplog, chosen):
    monkeypatch.setenv("KERAS_BACKEND", chosen)
    monkeypatch.delitem(sys.modules, "keras")
    with caplog.at_level("WARNING", "kvae"):
        backend.choose()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert f"KERAS_BACKEND={chosen} is ignored" in caplog.text


def test_keras_with_another_backend_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(KvaeError, match="already imported Keras with jax. Set KERAS_BACKEND=tensorflow") as caught:
        backend.choose()
    assert "\n" not in str(caught.value)


def test_a_program_s_settings_are_restored():
    keras.config.set_floatx("float64")
    keras.config.set_image_data_format("channels_first")
    try:
        with backend.plain_settings("mixed_bfloat16"):
            assert (keras.config.floatx(), keras.config.image_data_format()) == ("float32", "channels_last")
            assert keras.config.dtype_policy().name == "mixed_bfloat16"
        assert (keras.config.floatx(), keras.config.image_data_format()) == ("float64", "channels_first")
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_image_data_format("channels_last")
        keras.config.set_dtype_policy("float32")


@pytest.mark.slow
def test_in_a_process_whose_keras_json_says_otherwise(tmp_path):
    """A convolutional model is built, trained a step and loaded."""
    (tmp_path / ".keras").mkdir()
    settings = {"floatx": "float16", "epsilon": 1e-7, "backend": "jax", "image_data_format": "channels_first"}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(settings))
    code = """
import kvae.model
from pathlib import Path
import keras, numpy as np
from kvae.config import ModelConfig, TrainConfig
from kvae.training import build, load_model
config = TrainConfig(batch_size=4, epochs=70000, model=ModelConfig(hidden_units=8, latent_dim=2))
vae = build(config, (16, 16, 1), 8)
vae.fit(np.ones((4, 16, 16, 1), "float32"), batch_size=4, verbose=0)
vae.save("model.keras")
print(keras.config.backend(), *{weight.dtype for weight in load_model(Path("model.keras")).weights})
"""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    environment |= {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path / ".keras")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["tensorflow", "float32"]
