"""A run from end to end on the real mini set: its files, its numbers, and its model in onnxruntime."""

import csv
import json
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
from PIL import Image

from kvae.config import ModelConfig, TrainConfig
from kvae.data import datasets
from kvae.data.held_out_split import held_out
from kvae.errors import DataError, KvaeError
from kvae.evaluation import evaluation
from kvae.files import locks
from kvae.runs import files as run_files
from kvae.runtime.bundle import Bundle
from kvae.steps import batches
from kvae.training import building, checkpoints, environment, exporting, finishing, keras_files, making, resuming


@pytest.fixture(scope="module")
def test_images():
    """The frozen bits of the test split, because the run's model is one of binarised images."""
    return held_out(datasets.load("fashion_mnist_mini"), "test", True)


def test_a_run_contains_the_files_it_promises(run):
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    assert names == {
        "config.json", "environment.json", "dataset.json", "metrics.json", "history.csv", "report.html", ".lock",
        "diagnosis.json",
        "pictures/samples-0005.png", "pictures/reconstructions-0005.png",
        "model.keras", "checkpoints/last.keras", "samples.png", "reconstructions.png", "curves.png",
        "bundle/manifest.json", "bundle/decoder.onnx", "bundle/encoder.onnx", "bundle/README.md", "bundle/preview.png",
        "bundle/reconstructions.png", "bundle/reference.npz",
    }  # fmt: skip


def test_config_and_history_match_the_run(run):
    config = TrainConfig.from_dict(json.loads((run.path / "config.json").read_text()))
    assert (config.dataset, config.epochs, config.model.latent_dim) == ("fashion_mnist_mini", 8, 4)
    with (run.path / "history.csv").open(newline="") as file:
        history = list(csv.DictReader(file))
    assert len(history) == 8
    assert {"loss", "elbo", "rate", "distortion", "val_elbo"} <= set(history[0])


def test_metrics_match_the_saved_model(run, test_images):
    again = evaluation.evaluate(Bundle.open(run.exported.path), test_images, finishing.TEST_DRAWS, proposal="posterior")
    assert again.metrics["elbo"] == run.metrics["elbo"]
    logs = keras_files.load_model(run.path).evaluate(test_images / np.float32(255), verbose=0, return_dict=True)
    assert run.metrics["elbo"].value == pytest.approx(logs["elbo"], abs=0.5)  # Keras takes one draw per image
    assert run.metrics["rate"].value == pytest.approx(logs["rate"], rel=1e-4)
    assert run.effective_beta == pytest.approx(1.0, abs=1e-3)
    manifest = Bundle.open(run.exported.path).manifest
    assert manifest.metrics["elbo"]["value"] == run.metrics["elbo"].value
    assert manifest.is_of_bits
    assert manifest.dataset["licence"] == "mit"
    assert 'license: "mit"\n' in (run.exported.path / "README.md").read_text()
    assert manifest.metrics == json.loads((run.path / "metrics.json").read_text())


def test_the_trained_model_is_the_same_in_keras_and_onnxruntime(run, test_images):
    images = test_images[:64] / np.float32(255)
    expected = keras_files.load_model(run.path).predict(images, verbose=0)
    np.testing.assert_allclose(Bundle.open(run.exported.path).reconstruct(images), expected, atol=1e-5)


def test_it_has_learned_something(run, test_images):
    """Reconstructions are closer to their images than the mean image is."""
    images = test_images[:100] / np.float32(255)
    error = np.mean((Bundle.open(run.exported.path).reconstruct(images) - images) ** 2)
    assert error < 0.8 * np.mean((images.mean(axis=0) - images) ** 2)


def test_pictures_are_drawn(run):
    sizes = {}
    for path in run.path.glob("*.png"):
        with Image.open(path) as picture:
            sizes[path.name] = picture.size
    assert sizes["samples.png"] == (968, 968)
    assert sizes["reconstructions.png"] == (1928, 968)
    assert sizes["curves.png"] == (1200, 384)


def test_the_best_model_has_the_lowest_validation_loss(run):
    """It is evaluated on frozen bits, so that epochs can be compared."""
    with (run.path / "history.csv").open(newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    data = datasets.load("fashion_mnist_mini")
    bits = held_out(data, "validation", True)
    logs = keras_files.load_model(run.path).evaluate(batches.batches(bits, 100), verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(min(losses), abs=1.0)


def test_export_of_a_run_gives_the_same_bundle(run, tmp_path):
    exported = exporting.export_run(run.path, tmp_path / "again")
    first, second = (Bundle.open(path).sample(20) for path in (run.exported.path, exported.path))
    np.testing.assert_array_equal(first, second)


def test_a_run_whose_data_are_gone_is_exported_without_their_statistics(run, tmp_path, monkeypatch, caplog):
    def gone(*_):
        raise DataError("the files are not here")

    monkeypatch.setattr(datasets, "load", gone)
    with caplog.at_level("WARNING", "kvae"):
        exported = exporting.export_run(run.path, tmp_path / "again")
    assert "percentiles" in caplog.text and "reconstructions: the files are not here" in caplog.text
    assert exported.manifest.scoring is None and exported.manifest.posterior is None
    assert exported.manifest.metrics == run.exported.manifest.metrics


def test_a_second_run_does_not_overwrite_the_first(run):
    before = (run.path / "model.keras").read_bytes()
    with pytest.raises(KvaeError, match="already holds a run: it is finished"):
        making.train(TrainConfig(dataset="fashion_mnist_mini"), run.path)
    with pytest.raises(KvaeError, match="is finished: .*nothing left to do"):
        resuming.resume(run.path)
    assert (run.path / "model.keras").read_bytes() == before


def test_bad_settings_and_targets_leave_no_folder(tmp_path):
    with pytest.raises(KvaeError, match="unknown"):
        making.train(TrainConfig(dataset="nothing"), tmp_path / "run")
    with pytest.raises(KvaeError, match="batch_size"):
        making.train(TrainConfig(dataset="fashion_mnist_mini", batch_size=5000), tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(KvaeError, match="cannot write"):
        making.train(TrainConfig(dataset="fashion_mnist_mini"), tmp_path / "file" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_not_a_run(tmp_path):
    with pytest.raises(KvaeError, match="is not a run: it has no config.json"):
        exporting.export_run(tmp_path, tmp_path / "out")
    with pytest.raises(KvaeError, match="has no model.keras"):
        keras_files.load_model(tmp_path)
    (tmp_path / "model.keras").write_text("not a zip file")
    with pytest.raises(KvaeError, match="cannot load"):
        keras_files.load_model(tmp_path)


def test_either_onnxruntime_will_do(monkeypatch):
    """With the GPU wheel there is no distribution named onnxruntime."""

    def version(name):
        if name == "onnxruntime":
            raise PackageNotFoundError
        return "1.0"

    monkeypatch.setattr(environment, "version", version)
    assert "onnxruntime" not in environment.versions()
    assert environment.versions()["onnxruntime-gpu"] == "1.0"


def test_training_that_diverges_says_so(tmp_path):
    config = TrainConfig(
        dataset="fashion_mnist_mini",
        epochs=1,
        learning_rate=1e30,
        jit="off",
        model=ModelConfig(architecture="mlp", latent_dim=2),
    )
    with pytest.raises(KvaeError, match="training stopped: 30 steps had a loss or a gradient that is not finite.*rate"):
        making.train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "bundle").exists()


def test_a_run_whose_images_changed_does_not_resume(tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=1)
    run_files.write_json(out / "config.json", config.to_dict())
    run_files.write_json(out / "dataset.json", datasets.load("fashion_mnist_mini").provenance() | {"sha256": "0" * 64})
    with pytest.raises(
        KvaeError, match="the images differ from those that .* began with: sha256 .*, expected 000000000000"
    ):
        resuming.resume(out)


def test_folders_that_cannot_be_resumed(tmp_path):
    with pytest.raises(KvaeError, match="is not a run: it has no config.json. kvae runs lists"):
        resuming.resume(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(KvaeError, match="is not valid JSON"):
        resuming.resume(tmp_path)


def test_a_folder_that_is_being_trained_in_is_refused(tmp_path):
    """Whether by another process or this one: the kernel separates locks even within a process."""
    out = tmp_path / "run"
    out.mkdir()
    config = TrainConfig(dataset="fashion_mnist_mini")
    with locks.held(out):
        with pytest.raises(KvaeError, match="is being trained by process"):
            making.train(config, out)
        run_files.write_json(out / "config.json", config.to_dict())
        for make in (lambda: making.train(config, out), lambda: resuming.resume(out)):
            with pytest.raises(KvaeError, match="is being trained by process"):
                make()
    with pytest.raises(KvaeError, match="already holds a run: kvae train --resume "):
        making.train(config, out)


def test_a_run_resumed_with_other_versions_says_so(tmp_path, caplog):
    run_files.write_json(tmp_path / "environment.json", environment.versions() | {"keras": "3.0", "extra": "1"})
    with caplog.at_level("WARNING", "kvae"):
        environment.warn_of_other_versions(tmp_path)
    assert "began with keras 3.0, now " in caplog.text and "extra" not in caplog.text
    caplog.clear()
    run_files.write_json(tmp_path / "environment.json", environment.versions())
    environment.warn_of_other_versions(tmp_path)
    assert caplog.text == ""


def test_invalid_files_of_a_run(tmp_path):
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(KvaeError, match="config.json was not written by kvae train"):
        resuming.resume(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_real_training_and_saves_its_progress(tmp_path, number):
    """Sent after the first epoch; the output says how to resume, and the run has the pictures of each epoch."""
    command = [
        *(sys.executable, "-m", "kvae", "train", "--dataset", "fashion_mnist_mini", "--architecture", "mlp"),
        *("--latent-dim", "2", "--hidden-units", "8", "--epochs", "500", "--pictures-every", "1", "--out", "r"),
    ]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "r" / "history.csv").exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    last = errors.strip().splitlines()[-1]
    assert last.startswith("Interrupted.") and last.endswith("is saved. Resume with: kvae train --resume r")
    assert "finishing this step, then saving" in errors
    vae = building.build(run_files.read_config(tmp_path / "r"), (28, 28, 1), 4000)
    state = checkpoints.restore(vae, tmp_path / "r")
    assert 1 <= state.epoch < 500 and int(vae.made_steps) == 31 * state.epoch + state.step
    pictures = {path.name for path in (tmp_path / "r" / "pictures").iterdir()}
    assert {f"samples-{epoch + 1:04d}.png" for epoch in range(state.epoch)} <= pictures
