"""A run is trained longer: one schedule, nothing lost on the way, and the same bits after a kill."""

import json
import shutil
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest

from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError, KvaeError
from kvae.runs import RunFiles, files, layout
from kvae.runtime import Bundle
from kvae.training import building, checkpoints, load_model, longer, making, resume
from kvae.training.interrupts import Interrupted

pytestmark = pytest.mark.slow

CONFIG = TrainConfig(
    dataset="fashion_mnist_mini", epochs=2, batch_size=400, jit="off", pictures_every=2, patience=10, ema=0.9,
    clip_norm=5.0, free_bits=0.01, shift=1, model=ModelConfig(architecture="mlp", latent_dim=2, hidden_units=8),
)  # fmt: skip
STEPS = 10
"""In an epoch."""
RESULTS = ("metrics.json", "model.keras", "history.csv", "config.json", "samples.png", "bundle/manifest.json")


class Stop(keras.callbacks.Callback):
    """Interrupts training after an epoch, as a process that is killed after its checkpoint would be."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._epoch:
            raise Interrupted


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    making.train(CONFIG, out)
    return out


def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def contents(run):
    return {name: (run / name).read_bytes() for name in RESULTS}


@pytest.fixture(scope="module")
def whole(finished, tmp_path_factory):
    """The finished run, trained to five epochs without a stop."""
    out = copy(finished, tmp_path_factory.mktemp("whole"))
    return out, resume(out, epochs=5)


def test_the_longer_run_takes_the_place_of_the_old_one(finished, whole):
    out, run = whole
    assert run.path == out and run.exported.path == out / layout.BUNDLE
    found = RunFiles.read(out)
    assert found.state == "finished" and found.config == replace(CONFIG, epochs=5) and found.num_epochs == 5
    before = RunFiles.read(finished).history
    assert {name: values[:2] for name, values in found.history.items()} == before
    assert json.loads((out / "metrics.json").read_text())["elbo"]["value"] == run.metrics["elbo"].value
    assert Bundle.open(out / layout.BUNDLE).manifest.training["epochs"] == 5
    names = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"pictures/samples-0002.png", "pictures/samples-0004.png"} <= names
    assert not any("longer" in name for name in names)
    assert "<title>run" in (out / "report.html").read_text() and "5 of 5 epochs" in (out / "report.html").read_text()


def test_the_learning_rate_follows_the_cosine_of_the_new_number_of_epochs(finished, whole, tmp_path, caplog):
    out = copy(finished, tmp_path)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(float(watch.model.optimizer.learning_rate))
    )
    with caplog.at_level("WARNING", "kvae"), pytest.raises(Interrupted):
        resume(out, epochs=5, callbacks=[watch, Stop(4)])
    expected = CONFIG.learning_rate * 0.5 * (1 + np.cos(np.pi * np.array([2, 3, 4]) / 5))
    np.testing.assert_allclose(seen, expected, rtol=1e-4)
    assert "after epoch 2, to epoch 5 instead of 2, under its old schedules stretched to 5 epochs" in caplog.text
    assert f"is now {expected[0]:.3g}" in caplog.text and "not that of 5 epochs at once" in caplog.text
    # The old result is as it was, until the longer training is complete.
    assert contents(out) == contents(finished)
    assert RunFiles.read(out).state == "finished"
    assert (out / layout.LONGER / layout.CONFIG).is_file()

    resume(out)
    ended, _ = whole
    for name in ("metrics.json", "history.csv", "config.json", "samples.png"):
        assert (out / name).read_bytes() == (ended / name).read_bytes(), name
    for path in (layout.MODEL, layout.CHECKPOINT):
        ours, theirs = (load_model(run / path) for run in (out, ended))
        for one, other in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
        for one, other in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())


@pytest.mark.parametrize("cut", ["bundle", "history.csv", "config.json", "metrics.json"])
def test_killed_while_its_files_are_put_in_place(whole, finished, tmp_path, monkeypatch, cut):
    """Each file is old or new; without the last one the run is not finished, and resuming completes it."""
    ended, _ = whole
    out = copy(finished, tmp_path)
    shutil.copytree(ended, out / layout.LONGER, ignore=shutil.ignore_patterns(".lock"))
    plan = longer.plan(out)
    assert (plan.folder, plan.is_new, plan.config.epochs) == (out / layout.LONGER, False, 5)
    real, real_folder = longer._copy, longer.atomic_folder

    def copied(source, target):
        if target.name == cut:
            raise KeyboardInterrupt
        real(source, target)

    def folder(path, *arguments, **settings):
        if path.name == cut:
            raise KeyboardInterrupt
        return real_folder(path, *arguments, **settings)

    monkeypatch.setattr(longer, "_copy", copied)
    monkeypatch.setattr(longer, "atomic_folder", folder)
    with pytest.raises(KeyboardInterrupt):
        longer.put_in_place(plan)
    monkeypatch.undo()
    found = RunFiles.read(out)
    assert found.state == "stopped"
    for name in ("model.keras", "history.csv"):
        assert (out / name).read_bytes() in [(run / name).read_bytes() for run in (finished, ended)]
    Bundle.open(out / layout.BUNDLE)
    assert longer.plan(out).folder == out / layout.LONGER
    longer.put_in_place(longer.plan(out))
    assert contents(out) == contents(ended)
    assert not (out / layout.LONGER).exists()


def test_a_stopped_run_gets_another_number_of_epochs(tmp_path):
    out = tmp_path / "run"
    with pytest.raises(Interrupted):
        making.train(replace(CONFIG, epochs=9), out, callbacks=[Stop(1)])
    with pytest.raises(ConfigError, match="epochs must be an integer of at least 1; got 0"):
        resume(out, epochs=0)
    with pytest.raises(Interrupted):
        resume(out, epochs=3, callbacks=[Stop(2)])
    assert files.read_config(out).epochs == 3 and not (out / layout.LONGER).exists()
    with pytest.raises(ConfigError, match="epochs must be more than .* has made already, 2; got 1"):
        resume(out, epochs=1)
    assert longer.plan(out, 2).is_new  # the two that are made are enough


def test_what_cannot_be_trained_longer_is_refused(finished, tmp_path):
    out = copy(finished, tmp_path)
    for epochs in (1, 2):
        with pytest.raises(ConfigError, match=rf"has made already, 2; got {epochs}"):
            resume(out, epochs=epochs)
    with pytest.raises(KvaeError, match="nothing left to do. --epochs with a number above 2"):
        resume(out)
    (out / layout.LONGER).mkdir()
    (out / layout.LONGER / "thesis.txt").write_text("mine")
    with pytest.raises(KvaeError, match="thesis.txt was not written by kvae"):
        resume(out, epochs=5)
    assert (out / layout.LONGER / "thesis.txt").read_text() == "mine"
    shutil.rmtree(out / layout.LONGER)
    (out / layout.CHECKPOINT).unlink()
    with pytest.raises(KvaeError, match="has no checkpoints/last.keras.*kvae train --init-from .*run starts a new run"):
        resume(out, epochs=5)
    assert contents(out) == contents(finished)


@pytest.mark.parametrize(
    "name", [".notes", "checkpoints/.notes", "checkpoints/best.keras", "model.keras/notes", ".git/config", ".lock.txt"]
)
def test_what_a_killed_process_left_is_removed_and_nothing_of_the_user_s(tmp_path, name):
    """Hidden or not, and in the folders of the same names."""
    folder = tmp_path / layout.LONGER
    temporary = f".model.keras.{'0a' * 16}.tmp.keras"
    for own in (layout.CHECKPOINT, layout.SKIPPED, temporary, ".model.keras.kvae-lock", f"checkpoints/{temporary}"):
        (folder / own).parent.mkdir(parents=True, exist_ok=True)
        (folder / own).write_text("kvae")
    kept = folder / name
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(KvaeError, match="was not written by kvae"):
        longer._remove_begun(folder)
    assert kept.read_text() == "mine" and (folder / layout.CHECKPOINT).exists()
    kept.unlink()
    if kept.parent not in (folder, folder / "checkpoints"):
        kept.parent.rmdir()
    longer._remove_begun(folder)
    assert not folder.exists()


def test_patience_begins_anew(finished):
    """A run that had stalled is trained longer, until it stalls again."""
    history = {"val_loss": [3.0, 1.0, 2.0, 2.0, 2.0]}
    state = checkpoints.State(epoch=5, history=history)
    assert state.has_stalled(3)
    again = replace(state, extended_at=5)
    assert not again.has_stalled(3)
    later = replace(again, epoch=8, history={"val_loss": [*history["val_loss"], 2.0, 2.0, 2.0]})
    assert later.has_stalled(3) and not later.has_stalled(4)


def test_the_checkpoint_has_the_averages_as_weights_and_the_others_in_the_optimizer(finished):
    """And so has the best model, which is a copy of one."""
    vae = building.build(CONFIG, (28, 28, 1), 4000)
    checkpoints.restore(vae, finished)
    weights = [weight.copy() for weight in vae.get_weights()]
    with vae.optimizer.averaged():
        averages = vae.get_weights()
    loaded = load_model(finished / checkpoints.LAST).get_weights()
    for one, other, third in zip(averages, loaded, weights, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.abs(one - third).max() > 0
    with zipfile.ZipFile(finished / checkpoints.LAST) as archive:
        assert json.loads(archive.read(checkpoints.STATE))["epoch"] == 2
