"""Training on several devices gives the same losses and stops as on one, even after a worker was lost."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from ports import free_ports

from kvae import settings
from kvae.config import ModelConfig, TrainConfig
from kvae.errors import ConfigError, KvaeError
from kvae.steps import strategies
from kvae.training import making

TOLERANCE = 1e-5
"""Relative: replicas add up float32 sums in a different order."""
CONFIG = TrainConfig(
    dataset="fashion_mnist_mini",
    epochs=5,
    batch_size=100,
    kl_warmup_epochs=2,
    lr_warmup_steps=30,
    jit="off",
    pictures_every=0,
    model=ModelConfig(architecture="mlp", latent_dim=3, hidden_units=8),
)


def test_one_device_needs_no_strategy(monkeypatch):
    """auto is single if there is at most one GPU and no cluster; a cluster of one does not count."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name in ("auto", "single"):
        strategy = strategies.create(name)
        assert strategy.num_replicas_in_sync == 1 and strategies.is_chief(strategy)
        assert not strategies.is_multi_worker(strategy)
    one = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(one))
    assert strategies.create("auto").num_replicas_in_sync == 1
    with pytest.raises(ConfigError, match="multi_worker .*TF_CONFIG.* names only one"):
        strategies.create("multi_worker")


def test_an_impossible_strategy_is_refused(monkeypatch):
    """It does not silently use one device instead of several."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="multi_worker .*TF_CONFIG.* not set"):
        strategies.create("multi_worker")
    with pytest.raises(ConfigError, match="mirrored .*several GPUs.* TensorFlow sees [01] here"):
        strategies.create("mirrored")
    with pytest.raises(ConfigError, match="one of auto, single, mirrored, multi_worker; got 'tpu'"):
        strategies.create("tpu")
    monkeypatch.setenv("TF_CONFIG", "{")
    for name in ("auto", "multi_worker"):
        with pytest.raises(ConfigError, match="TF_CONFIG does not describe a cluster"):
            strategies.create(name)
    assert strategies.create("single").num_replicas_in_sync == 1  # which ignores TF_CONFIG


def test_a_batch_is_divided_evenly_or_refused():
    """The batch size counts the images of all replicas together."""
    three = SimpleNamespace(num_replicas_in_sync=3)
    strategies.check_batch_size(three, 96)
    with pytest.raises(ConfigError, match="multiple of their number, 3; got 100.* 99"):
        strategies.check_batch_size(three, 100)


def test_the_loss_of_a_worker_is_an_error_in_one_line():
    """TensorFlow's other errors, and all errors with a single process, are left as they are."""
    cluster = object.__new__(tf.distribute.MultiWorkerMirroredStrategy)
    aborted = "Graph execution error:\n\nDetected at node x\n\nCollective ops is aborted by: Socket closed\nmore"
    for error in (tf.errors.InternalError(None, None, aborted), tf.errors.UnavailableError(None, None, "gone")):
        with pytest.raises(KvaeError, match="another worker is gone") as raised, strategies.lost_workers_told(cluster):
            raise error
        assert "\n" not in str(raised.value) and "--resume" in str(raised.value)
    assert "Socket closed" not in str(raised.value) and "(gone)" in str(raised.value)
    exhausted = tf.errors.ResourceExhaustedError(None, None, "out of memory")
    with pytest.raises(tf.errors.ResourceExhaustedError), strategies.lost_workers_told(cluster):
        raise exhausted
    with pytest.raises(tf.errors.UnavailableError), strategies.lost_workers_told(strategies.create("single")):
        raise tf.errors.UnavailableError(None, None, "a disk")


MIRRORED = """
import dataclasses, json, sys
import numpy as np, tensorflow as tf
from kvae.data import datasets
from kvae.steps import strategies
from kvae.training import building, fitting
from kvae.config import ModelConfig, TrainConfig
from kvae.model.networks import Decoder

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
mirrored = strategies.create("mirrored")
mini = datasets.load("fashion_mnist_mini")
data = dataclasses.replace(
    mini,
    train=datasets.Split(mini.train.images[:510], None),  # 25 batches, and ten images that fill none
    validation=datasets.Split(mini.validation.images[:51], None),  # does not divide evenly
)

def trained(strategy, jit, architecture, poisoned=()):
    model = ModelConfig(architecture=architecture, latent_dim=2, hidden_units=8)
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=2, batch_size=20, jit=jit, model=model)
    vae = building.build(config, data.image_shape, len(data.train.images), strategy)
    weighted_loss = vae.weighted_loss
    def spoilt(terms, training=False):  # on one replica only
        context = tf.distribute.get_replica_context()
        bad = tf.reduce_any(vae.made_steps == tf.constant(poisoned or [-1], tf.int64))
        bad &= tf.equal(context.replica_id_in_sync_group, context.num_replicas_in_sync - 1)
        return weighted_loss(terms, training) * tf.where(bad, np.nan, 1.0)
    vae.weighted_loss = spoilt
    history = fitting.fit(vae, config, data)
    weights = np.concatenate([weight.numpy().ravel() for weight in vae.trainable_variables]).tolist()
    steps = [int(vae.made_steps.numpy()), int(vae.optimizer.iterations.numpy())]
    return {"history": history, "weights": weights, "steps": steps, "skipped": vae.skips.since(0)}

results = []
for settings in json.loads(sys.argv[1]):
    results.append([trained(strategy, **settings) for strategy in (None, mirrored)])
print(json.dumps([mirrored.num_replicas_in_sync, results]))
"""


@pytest.mark.slow
def test_two_devices_train_like_one():
    """Losses, weights and skipped steps agree; with XLA, with convolutions, and with a NaN on one of the devices."""
    settings = [
        {"jit": "on", "architecture": "mlp", "poisoned": [3, 30]},
        {"jit": "off", "architecture": "conv"},
    ]
    done = subprocess.run(
        [sys.executable, "-c", MIRRORED, json.dumps(settings)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    num_replicas, results = json.loads(done.stdout.splitlines()[-1])
    assert num_replicas == 2
    for (one, two), setting in zip(results, settings, strict=True):
        for name, values in one["history"].items():
            np.testing.assert_allclose(two["history"][name], values, rtol=TOLERANCE, err_msg=name)
        np.testing.assert_allclose(two["weights"], one["weights"], atol=1e-4)
        skipped = setting.get("poisoned", [])
        assert one["steps"] == two["steps"] == [50, 50 - len(skipped)]
        assert one["skipped"] == two["skipped"] and [step for step, _ in two["skipped"]] == skipped


def kvae_train(ports: list[int], index: int, *arguments: object) -> subprocess.Popen[str]:
    workers = [f"localhost:{port}" for port in ports]
    config = json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
    command = [sys.executable, "-m", "kvae", "train", "--strategy", "multi_worker", *map(str, arguments)]
    environment = os.environ | {"TF_CONFIG": config}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def history(run: Path) -> list[dict[str, float]]:
    with (run / "history.csv").open(encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_train_like_one_even_after_one_was_lost(tmp_path):
    """One is killed, the other ends with one line; both start again, and the losses are those of a single process."""
    options = settings.command(CONFIG)[2:]
    ports, run = free_ports(2), tmp_path / "two"
    chief, worker = (kvae_train(ports, index, *options, "--out", run) for index in range(2))
    try:
        while not (run / "history.csv").exists() and chief.poll() is None and worker.poll() is None:
            time.sleep(0.02)
        worker.kill()
        _, told = chief.communicate(timeout=60)
    finally:
        for process in (chief, worker):
            process.kill()
            process.communicate()
    last = told.splitlines()[-1]
    assert chief.returncode == 1 and last.startswith("Error: another worker is gone"), told
    assert "Traceback" not in told
    assert 1 <= len(history(run)) < CONFIG.epochs
    again = [kvae_train(ports, index, "--resume", run) for index in range(2)]
    outputs = [process.communicate(timeout=120) for process in again]
    assert [process.returncode for process in again] == [0, 0], outputs
    assert "test ELBO" in outputs[0][0] and outputs[1][0] == "" and "worker is done" in outputs[1][1]

    alone = making.train(CONFIG, tmp_path / "one")
    rows, expected = history(run), history(tmp_path / "one")
    assert len(rows) == len(expected) == CONFIG.epochs
    for row, expected_row in zip(rows, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=TOLERANCE)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["elbo"]["value"] == pytest.approx(alone.metrics["elbo"].value, rel=TOLERANCE)
