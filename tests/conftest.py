"""Tiny seeded models, and files made from them, shared by the tests."""

import logging
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import keras
import pytest
from family import MEMBERS, export_member
from tiny import DATASET, OwnDecoder, OwnEncoder, make_vae

from kvae import comparison
from kvae.config import ModelConfig, TrainConfig
from kvae.export import bundles
from kvae.model.vae import VAE
from kvae.training import Run, train


def pytest_make_parametrize_id(config, val, argname):
    """No bytes in a test's name: compressed ones hold the time, and the processes of a parallel run must agree."""
    return f"{argname}, {len(val)} bytes" if isinstance(val, bytes) else None


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Commands that run in this process send the log to stderr; the next test must not inherit that."""
    loggers = [logging.getLogger(name) for name in ("kvae", "tensorflow")]
    before = [(logger.level, list(logger.handlers)) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers = handlers


@pytest.fixture
def vae() -> VAE:
    return make_vae()


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of an untrained model. Tests must not write to it."""
    return bundles.export(make_vae(), tmp_path_factory.mktemp("bundle") / "tiny", dataset=DATASET).path


@pytest.fixture(scope="session")
def member_path(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The bundle of a model of `family.MEMBERS`, by its name there. Tests must not write to it."""
    folder = tmp_path_factory.mktemp("members")

    @cache
    def path(name: str) -> Path:
        return export_member(folder / name, **MEMBERS[name]).path

    return path


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A real run of eight epochs on the mini data set. Tests must not write to it."""
    config = TrainConfig(
        dataset="fashion_mnist_mini",
        epochs=8,
        batch_size=64,
        model=ModelConfig(architecture="mlp", latent_dim=4, hidden_units=64),
    )
    return train(config, tmp_path_factory.mktemp("runs") / "mini")


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[comparison.Result]]:
    """A comparison of three settings of a small model on the mini data set, and its folder."""
    base = {"dataset": "fashion_mnist_mini", "architecture": "mlp", "latent_dim": 2, "hidden_units": 16, "epochs": 2}
    out = tmp_path_factory.mktemp("sweep")
    settings = [
        *comparison.grid(base, [("entropy_weight", [0.5, 1.0])]),
        *comparison.grid(base, [("binarize", ["none"])]),
    ]
    return out, comparison.compare(settings, out, importance_samples=20)


@pytest.fixture
def own_networks() -> tuple[keras.Model, keras.Model]:
    keras.utils.set_random_seed(0)
    return OwnEncoder(3), OwnDecoder()
