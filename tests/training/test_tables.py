"""A table trains, exports, samples and scores as numbers, and nothing of it is pictured."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from kvae.cli.main import main
from kvae.config import ModelConfig, TrainConfig
from kvae.errors import KvaeError
from kvae.explorer import pages
from kvae.runtime.bundle import Bundle
from kvae.training import train

ROWS = np.random.default_rng(0).random((120, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A run on a table, and the table."""
    root = tmp_path_factory.mktemp("table")
    np.save(root / "rows.npy", ROWS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVAE_CACHE_DIR", str(root / "cache"))
        model = ModelConfig(latent_dim=2, hidden_units=8)
        train(
            TrainConfig(data=str(root / "rows.npy"), epochs=1, batch_size=32, pictures_every=1, jit="off", model=model),
            root / "run",
        )
        yield root


def kvae(*words):
    return CliRunner().invoke(main, list(map(str, words)), catch_exceptions=False)


def test_its_run_records_dense_networks_and_levels_and_has_no_pictures(table):
    config = json.loads((table / "run" / "config.json").read_text())
    assert (config["model"]["architecture"], config["model"]["hidden_units"]) == ("mlp", 8)
    assert (config["model"]["likelihood"], config["binarize"]) == ("discretized_logistic", "none")
    assert {path.name for path in (table / "run").rglob("*.png")} == {"curves.png"}
    assert Bundle.open(table / "run" / "bundle").manifest.image_shape == [1, 5, 1]


def test_samples_and_reconstructions_are_numbers(table, tmp_path):
    assert kvae("sample", "--model", table / "run", "--n", 7, "--out", tmp_path / "s.npy").exit_code == 0
    found = np.load(tmp_path / "s.npy")
    assert found.shape == (7, 1, 5, 1) and 0 <= found.min() <= found.max() <= 1
    for verb, *words in (
        ("sample", "--n", 3),
        ("sample", "--n", 3, "--out", tmp_path / "folder"),
        ("reconstruct", table / "rows.npy", "--out", tmp_path / "r.png"),
        ("traverse", "--out", tmp_path / "t.png"),
    ):
        refused = kvae(verb, *words, "--model", table / "run")
        assert refused.exit_code == 1 and "table" in refused.stderr and len(refused.stderr.splitlines()) == 1
    assert kvae("reconstruct", table / "rows.npy", "--model", table / "run", "--out", tmp_path / "r.npz").exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"s.npy", "r.npz"}
    with pytest.raises(KvaeError, match="rows of a table"):
        pages.page(Bundle.open(table / "run" / "bundle"), "x")


def test_rows_are_scored_and_evaluated(table, monkeypatch):
    monkeypatch.setenv("KVAE_CACHE_DIR", str(table / "cache"))
    scored = kvae("score", table / "rows.npy", "--model", table / "run", "--json")
    rows = [json.loads(line) for line in scored.stdout.splitlines()]
    assert [row["image"] for row in rows] == [f"{table}/rows.npy[{index}]" for index in range(120)]
    done = kvae("evaluate", table / "run", "--importance-samples", 5, "--json")
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["bits_per_dim"]["value"] == pytest.approx(metrics["nll"]["value"] / (5 * np.log(2)))


def test_a_run_is_not_written_where_its_images_are_read(tmp_path, monkeypatch):
    """Before anything is read or written."""
    monkeypatch.setenv("KVAE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "x").mkdir()
    (tmp_path / "y").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x")
    for settings, out in (
        ({"data": "x"}, "x/run"),
        ({"data": "x"}, "link/run"),
        ({"data": "link"}, "x/run"),
        ({"data": "x", "test_data": "y"}, "y/run"),
        ({"data": "x", "validation_data": "y"}, "y"),
    ):
        config = TrainConfig(**{name: str(tmp_path / path) for name, path in settings.items()})
        with pytest.raises(KvaeError, match="(would become one of the inputs|is an input).* another --out"):
            train(config, tmp_path / out)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link", "x", "y"]


def test_a_run_inside_its_images_is_not_resumed(tmp_path):
    from kvae.training import resume

    (tmp_path / "x" / "run").mkdir(parents=True)
    config = TrainConfig(data=str(tmp_path / "x"))
    (tmp_path / "x" / "run" / "config.json").write_text(json.dumps(config.to_dict()))
    with pytest.raises(KvaeError, match="would become one of the inputs.* another folder"):
        resume(tmp_path / "x" / "run")
    assert [path.name for path in (tmp_path / "x" / "run").iterdir()] == ["config.json"]
