"""Training stopped by Ctrl-C, an early stop, a full disk or kill -9 resumes as if it had never stopped."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from tiny import make_vae, random_images

from kvae.config import ModelConfig, TrainConfig
from kvae.data import datasets
from kvae.errors import KvaeError
from kvae.model.architectures import mlp
from kvae.runs import layout
from kvae.runtime.bundle import Bundle
from kvae.training import building, checkpoints, fitting, load_model
from kvae.training.checkpoints import Checkpoints, State
from kvae.training.interrupts import Interrupt, Interrupted

MLP = ModelConfig(architecture="mlp", latent_dim=2, hidden_units=8)
CONFIG = TrainConfig(
    dataset="fashion_mnist_mini", epochs=3, batch_size=20, kl_warmup_epochs=1, lr_warmup_steps=7, seed=5, jit="off",
    model=MLP,
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    """500 images of the mini set to train on (25 steps), and 50 to validate."""
    mini = datasets.load("fashion_mnist_mini")
    parts = {"train": 500, "validation": 50}
    splits = {name: datasets.Split(getattr(mini, name).images[:count], None) for name, count in parts.items()}
    return replace(mini, **splits)


@pytest.fixture(autouse=True)
def short_calls(monkeypatch):
    """Five steps in a call, so that an epoch has five calls."""
    monkeypatch.setattr(mlp, "ARCHITECTURE", replace(mlp.ARCHITECTURE, steps_per_call=5))


def variables_of(path):
    """All the numbers in a .keras file: weights, the optimizer's state, the seed."""
    found = {}
    with zipfile.ZipFile(path) as archive, h5py.File(BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def check_same(one, other):
    ours, theirs = variables_of(one), variables_of(other)
    assert ours.keys() == theirs.keys() and len(ours) > 10
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)


def fit(folder, data, config=CONFIG, interrupt=None):
    """Train in a folder, from its last checkpoint on."""
    vae = building.build(config, data.image_shape, len(data.train.images))
    state = checkpoints.restore(vae, folder)
    callback = Checkpoints(folder, state, config.patience, interrupt)
    fitting.fit(vae, config, data, [callback], state.epoch, state.step)
    return callback.state


class InterruptAt(Interrupt):
    """Asks training to end at the n-th check."""

    def __init__(self, look):
        self._looks_left = look

    @property
    def asked(self):
        self._looks_left -= 1
        return self._looks_left <= 0


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data):
    """A training that was never interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlp, "ARCHITECTURE", replace(mlp.ARCHITECTURE, steps_per_call=5))
        folder = tmp_path_factory.mktemp("whole")
        return folder, fit(folder, data)


@pytest.mark.parametrize("look, seconds", [(1, 0.0), (5, 300.0), (9, 0.0)])
def test_interrupted_training_ends_like_uninterrupted_training(tmp_path, data, whole, monkeypatch, look, seconds):
    """Within an epoch, at its end, and in a later one: weights, optimizer, seed and history agree to the last bit."""
    monkeypatch.setattr(checkpoints, "SECONDS", seconds)
    with pytest.raises(Interrupted):
        fit(tmp_path, data, interrupt=InterruptAt(look))
    between = checkpoints.restore(building.build(CONFIG, data.image_shape, 500), tmp_path)
    assert (between.epoch, between.step) != (0, 0)
    folder, state = whole
    assert fit(tmp_path, data) == state
    for name in (checkpoints.LAST, checkpoints.BEST):
        check_same(tmp_path / name, folder / name)
    assert (tmp_path / checkpoints.HISTORY).read_bytes() == (folder / checkpoints.HISTORY).read_bytes()


@pytest.mark.slow
def test_the_training_of_a_ladder_resumes(tmp_path, data):
    """Its weights are in a checkpoint once, though both networks compute with those of the decoder."""
    config = replace(CONFIG, epochs=2, model=ModelConfig(architecture="ladder", latent_dim=2, hidden_units=8))
    fit(tmp_path / "whole", data, config)
    with pytest.raises(Interrupted):
        fit(tmp_path / "cut", data, config, InterruptAt(5))
    fit(tmp_path / "cut", data, config)
    check_same(tmp_path / "cut" / checkpoints.LAST, tmp_path / "whole" / checkpoints.LAST)


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_training_compiled_by_xla_can_be_interrupted(tmp_path, data, times):
    config = replace(CONFIG, jit="on")
    fit(tmp_path / "whole", data, config)
    for _ in range(times):
        with pytest.raises(Interrupted):
            fit(tmp_path / "cut", data, config, InterruptAt(2))
    fit(tmp_path / "cut", data, config)
    check_same(tmp_path / "cut" / checkpoints.LAST, tmp_path / "whole" / checkpoints.LAST)


def test_an_interrupt_in_the_last_epoch_takes_effect(tmp_path, data):
    """After the epoch, before evaluation and export."""
    config = replace(CONFIG, epochs=1, kl_warmup_epochs=0)
    with pytest.raises(Interrupted):
        fit(tmp_path, data, config, InterruptAt(6))
    assert checkpoints.restore(building.build(config, data.image_shape, 500), tmp_path).epoch == 1


def test_epochs_without_validation_and_epochs_made_elsewhere_are_nan_in_the_history(tmp_path):
    images = random_images(20)
    vae = make_vae()
    vae.compile(optimizer="adam", jit_compile=False)
    callback = Checkpoints(tmp_path)
    settings = {"validation_data": (images,), "validation_freq": 2, "verbose": 0, "callbacks": [callback]}
    vae.fit(images, initial_epoch=1, epochs=4, **settings)
    assert np.isnan(callback.state.history["loss"]).tolist() == [True, False, False, False]
    assert np.isnan(callback.state.history["val_loss"]).tolist() == [True, False, True, False]
    rows = (tmp_path / checkpoints.HISTORY).read_text().splitlines()
    assert len(rows) == 5 and all(len(row.split(",")) == 9 for row in rows)


def test_it_is_for_a_vae(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(KvaeError, match=r"Checkpoints .*kvae\.model\.vae\.VAE; got a Sequential"):
        model.fit(np.zeros((2, 1)), np.zeros((2, 1)), verbose=0, callbacks=[Checkpoints(tmp_path)])


def test_the_best_model_is_kept_and_training_stops_when_it_stalls(tmp_path, data):
    """With a patience of 2, training stops two epochs after the one with the lowest validation loss."""
    config = replace(CONFIG, epochs=40, learning_rate=0.03, lr_warmup_steps=0, patience=2)
    state = fit(tmp_path, data, config)
    losses = state.history["val_loss"]
    best = int(np.argmin(losses))
    assert state.best_epoch == best and len(losses) == best + 3 < 40
    vae = keras.models.load_model(tmp_path / checkpoints.BEST)
    assert int(vae.optimizer.iterations) == 25 * (best + 1)
    assert state.has_stalled(2) and not state.has_stalled(3) and not state.has_stalled(None)


def test_a_loss_that_is_not_finite_is_not_kept(tmp_path, data, monkeypatch):
    """If the second epoch's validation loss is NaN, the checkpoint stays that of the first."""
    plain = fitting.VAE.evaluate

    def evaluate(self, *arguments, **settings):
        logs = plain(self, *arguments, **settings)
        return logs if int(self.made_steps) == 25 else logs | {"loss": float("nan")}

    monkeypatch.setattr(fitting.VAE, "evaluate", evaluate)
    with pytest.raises(KvaeError, match="training diverged: the loss of epoch 2 is nan.*learning rate"):
        fit(tmp_path, data)
    vae = building.build(CONFIG, data.image_shape, 500)
    assert checkpoints.restore(vae, tmp_path).epoch == 1
    assert int(vae.optimizer.iterations) == 25


def test_a_checkpoint_is_a_keras_model_with_its_optimizer(tmp_path, data):
    with pytest.raises(Interrupted):
        fit(tmp_path, data, interrupt=InterruptAt(3))
    vae = keras.models.load_model(tmp_path / checkpoints.LAST)
    assert int(vae.optimizer.iterations) == int(vae.made_steps) == 15
    with zipfile.ZipFile(tmp_path / checkpoints.LAST) as archive:
        assert json.loads(archive.read(checkpoints.STATE))["step"] == 15


def test_in_a_custom_fit(tmp_path):
    """With arrays, another optimizer and no validation, the training loss selects the best model; training resumes."""
    images = random_images(40)

    def compiled():
        vae = make_vae()
        vae.compile(optimizer="adam", jit_compile=False)
        return vae

    callback = Checkpoints(tmp_path)
    compiled().fit(images, epochs=2, batch_size=10, verbose=0, callbacks=[callback])
    vae = compiled()
    state = checkpoints.restore(vae, tmp_path)
    assert state == callback.state and state.epoch == 2
    callback = Checkpoints(tmp_path, state)
    vae.fit(images, epochs=4, initial_epoch=state.epoch, batch_size=10, verbose=0, callbacks=[callback])
    assert int(vae.optimizer.iterations) == 16
    assert len(callback.state.history["loss"]) == 4
    assert (tmp_path / checkpoints.BEST).exists()


def test_without_a_checkpoint_training_starts_from_the_beginning(tmp_path):
    assert checkpoints.restore(make_vae(), tmp_path) == State()


@pytest.fixture(scope="module")
def checkpointed(tmp_path_factory):
    """A model, and a folder with its checkpoint."""
    folder = tmp_path_factory.mktemp("checkpointed")
    vae = make_vae()
    vae.compile(optimizer="adam", jit_compile=False)
    vae.fit(random_images(8), verbose=0, callbacks=[Checkpoints(folder)])
    return vae, folder


@pytest.mark.parametrize("damage", ["no zip", "another model", "no state", "cut off"])
def test_a_checkpoint_that_cannot_be_read_is_an_error_in_one_line(checkpointed, tmp_path, damage):
    vae, folder = checkpointed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / checkpoints.LAST
    if damage == "no zip":
        path.write_text("no")
    elif damage == "another model":
        vae = make_vae((16, 16, 1))
        vae.compile(optimizer="adam", jit_compile=False)
    elif damage == "no state":
        vae.save(path)
    else:
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(KvaeError, match="cannot resume from .*last.keras: ") as error:
        checkpoints.restore(vae, tmp_path)
    assert "\n" not in str(error.value)


def rewritten(path, change):
    """Write an archive again, with other members: `change` takes them by name and changes them."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The last checkpoint of an epoch."""
    folder = tmp_path_factory.mktemp("run")
    vae = make_vae()
    vae.compile(optimizer="adam")
    vae.fit(random_images(8), verbose=0, callbacks=[Checkpoints(folder)])
    return folder / checkpoints.LAST


@pytest.mark.parametrize("part", range(0, 20))
def test_weights_with_a_wrong_byte_are_loaded_or_refused_in_one_line(tmp_path, checkpoint, part):
    """HDF5 says what is wrong with a file in errors of every kind."""
    path = tmp_path / checkpoints.LAST
    path.parent.mkdir()
    path.write_bytes(checkpoint.read_bytes())

    def damaged(members):
        content = bytearray(members["model.weights.h5"])
        first = len(content) * part // 20
        content[first : first + 400] = b"\xff" * 400
        members["model.weights.h5"] = bytes(content)

    rewritten(path, damaged)
    vae = make_vae()
    vae.compile(optimizer="adam")
    for read in (lambda: checkpoints.restore(vae, tmp_path), lambda: load_model(path)):
        try:
            read()
        except KvaeError as error:
            assert "last.keras: " in str(error) and "\n" not in str(error)


@pytest.mark.parametrize(
    ("state", "fact"),
    [
        ([], "list"),
        ({"epoch": "1"}, "epoch"),
        ({"epoch": True}, "epoch"),
        ({"epoch": -1}, "epoch"),
        ({"step": 1.5}, "step"),
        ({"skipped_steps": None}, "skipped_steps"),
        ({"skipped_steps": 2**63}, "skipped_steps"),
        ({"extended_at": [1]}, "extended_at"),
        ({"history": 3}, "history"),
        ({"epoch": 1, "history": {"loss": "a"}}, "history"),
        ({"epoch": 1, "history": {"loss": [None]}}, "history"),
        ({"epoch": 2, "history": {"loss": [1.0]}}, "history"),
        ({"means": {"loss": 3}}, "means"),
        ({"nonsense": 3}, "nonsense"),
    ],
)
def test_a_state_of_other_types_is_refused_by_the_name_of_the_field(tmp_path, checkpoint, state, fact):
    path = tmp_path / checkpoints.LAST
    path.parent.mkdir()
    path.write_bytes(checkpoint.read_bytes())
    rewritten(path, lambda members: members.update({checkpoints.STATE: json.dumps(state).encode()}))
    with pytest.raises(KvaeError, match=f"cannot resume from .*{fact}"):
        checkpoints.read_state(tmp_path)


def test_a_full_disk_does_not_destroy_the_last_checkpoint(tmp_path):
    """The system limits this process's files to 10 kB, which looks to Python like a full disk."""
    vae = make_vae()
    vae.compile(optimizer="adam", jit_compile=False)
    images = random_images(8)
    callback = Checkpoints(tmp_path)
    vae.fit(images, verbose=0, callbacks=[callback])
    before = (tmp_path / checkpoints.LAST).read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limit[1]))
    try:
        with pytest.raises(KvaeError, match="cannot write .*last.keras") as error:
            vae.fit(images, verbose=0, initial_epoch=1, epochs=2, callbacks=[Checkpoints(tmp_path, callback.state)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert "\n" not in str(error.value)
    assert (tmp_path / checkpoints.LAST).read_bytes() == before
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "checkpoints", "history.csv", "last.keras", "model.keras",
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kills", [5, pytest.param(20, marks=pytest.mark.exhaustive)])
def test_a_process_killed_at_random_moments_ends_with_the_same_weights(tmp_path, kills):
    """kill -9 on real processes, from before the first step to the export; deterministic, so equal to the last bit."""
    program = Path(__file__).parents[1] / "survive.py"
    environment = os.environ | {"PYTHONPATH": str(program.parent), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path), str(kills), "1"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    left = re.findall(r"^killed:(.*)$", done.stdout, re.MULTILINE)
    assert len(left) == kills
    assert any("checkpoints/last.keras" in names and "bundle" not in names for names in left)
    for name in (checkpoints.LAST, checkpoints.BEST):
        check_same(tmp_path / "whole" / name, tmp_path / "killed" / name)
    for name in ("history.csv", "metrics.json", "config.json", "samples.png", "pictures/samples-0004.png"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    hidden = [path.name for path in (tmp_path / "killed").rglob(".*")]
    assert hidden == [".lock"]
    ours, theirs = (Bundle.open(tmp_path / name / layout.BUNDLE).sample(8) for name in ("whole", "killed"))
    np.testing.assert_array_equal(ours, theirs)
