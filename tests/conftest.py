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

TESTS = Path(__file__).parent
LONGEST = (
    "explorer/test_explore_page.py", "test_docs.py", "test_notebooks.py", "training/test_checkpoints.py",
    "steps/test_strategies.py", "test_packaging.py", "training/test_longer.py", "export/test_networks.py",
    "files/test_kills.py", "test_examples.py", "steps/test_inputs.py", "training/test_training_kills.py",
    "training/test_fitting.py", "comparison/test_sweeps.py", "cli/test_main.py", "steps/test_traced.py",
)  # fmt: skip
"""The files that take longest. They begin first, as a parallel run ends with a core idle if one of them is the last."""


def pytest_make_parametrize_id(config, val, argname):
    """No bytes in a test's name: compressed ones hold the time, and the processes of a parallel run must agree."""
    return f"{argname}, {len(val)} bytes" if isinstance(val, bytes) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is exhaustive is slow as well, so that `-m "not slow"` leaves it out. The longest files come first."""
    for item in items:
        if item.get_closest_marker("exhaustive"):
            item.add_marker("slow")
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


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
        jit="off",
        model=ModelConfig(architecture="mlp", latent_dim=4, hidden_units=64),
    )
    return train(config, tmp_path_factory.mktemp("runs") / "mini")


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[comparison.Result]]:
    """A comparison of three settings of a small model on the mini data set, and its folder."""
    base = {"dataset": "fashion_mnist_mini", "architecture": "mlp", "latent_dim": 2, "hidden_units": 16, "epochs": 2}
    base["jit"] = "off"
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
