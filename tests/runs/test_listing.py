"""The table of runs: what it says about each, what it skips, and that it fits."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime

import pytest
from click.testing import CliRunner

from kvae.cli.runs import runs
from kvae.config import ModelConfig, TrainConfig
from kvae.errors import KvaeError
from kvae.files import locks
from kvae.runs import listing

NOW = datetime(2026, 11, 26, 15, 0).astimezone()
ELBO = {"elbo": {"value": -237.22, "standard_error": 0.76}}


def make(folder, *, hours_ago=0.0, losses=(), metrics=None, **settings):
    """A run's folder with the small files of training that got this far."""
    folder.mkdir(parents=True)
    config = TrainConfig(**({"dataset": "fashion_mnist_mini", "epochs": 20} | settings))
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    rows = [f"{epoch},{loss},{-loss}\n" for epoch, loss in enumerate(losses)]
    (folder / "history.csv").write_text("epoch,val_loss,val_elbo\n" + "".join(rows))
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    time = NOW.timestamp() - 3600 * hours_ago
    for path in folder.iterdir():
        os.utime(path, (time, time))
    return folder


@pytest.fixture
def folder(tmp_path):
    """Three runs: finished yesterday, stopped now, and created last year without an epoch."""
    make(tmp_path / "done", hours_ago=24, losses=[260.0, 240.5, 241.0], metrics=ELBO, epochs=3)
    make(tmp_path / "cut", losses=[250.0], model=ModelConfig(architecture="gated_mlp"), binarize="none")
    make(tmp_path / "old", hours_ago=24 * 400)
    return tmp_path


def test_the_table_shows_everything(folder):
    found, skipped = listing.find(folder)
    lines = listing.as_text(found, now=NOW).splitlines()
    assert skipped == []
    cells = [re.split(r"\s{2,}", line) for line in lines]
    assert cells[0] == ["run", "data set", "network", "epochs", "state", "test ELBO", "best val.", "when"]
    assert cells[1] == [
        "cut",
        "fashion_mnist_mini",
        "gated_mlp",
        "1/20",
        "stopped",
        "–",
        "a",
        "-250.0",
        "2026-11-26 15:00",
    ]
    assert cells[2] == [
        "done", "fashion_mnist_mini", "conv", "3/3", "finished", "-237.2 ± 0.8", "b", "-240.5", "2026-11-25 15:00",
    ]  # fmt: skip
    assert cells[3][:5] == ["old", "fashion_mnist_mini", "conv", "0/20", "stopped"]
    assert lines[4] == "a: nats per image, grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood"
    assert lines[5] == "b: nats per image, log-probabilities of binarised images"
    alike = listing.as_text(found[1:2], now=NOW).splitlines()
    assert alike[2:] == ["nats per image, log-probabilities of binarised images"]


def test_it_fits_a_terminal(tmp_path):
    """Names are cut in the middle, times are shortened, and numbers stay whole."""
    for hours, name in ((1, "fashion_mnist_mini-gated_mlp-20261126-140000"), (30, "b" * 60), (24 * 400, "c")):
        make(
            tmp_path / name, hours_ago=hours, losses=[240.5], metrics=ELBO, model=ModelConfig(architecture="gated_mlp"),
            dataset="photographs_of_old_looms",
        )  # fmt: skip
    found, _ = listing.find(tmp_path)
    lines = listing.as_text(found, 80, NOW).splitlines()
    assert max(map(len, lines)) <= 80
    assert re.match(r"fashi\S*…\S*140000 pho\S*…\S*ooms gated_mlp   1/20 finished -237.2 ± 0.8", lines[1])
    assert [line.split()[-1] for line in lines[1:2]] == ["14:00"]
    assert lines[2].endswith("25 Nov") and lines[3].endswith("Oct 2025")
    for width, missing in ((70, "network"), (50, "best val.")):  # columns are left out
        heading, *rows = listing.as_text(found, width, NOW).splitlines()[:4]
        assert max(map(len, [heading, *rows])) <= width and missing not in heading
        assert all("-237.2 ± 0.8" in row for row in rows)
    # It gets no narrower, so that names stay distinguishable.
    assert max(map(len, listing.as_text(found, 20, NOW).splitlines()[:4])) < 50


def test_numbers_of_different_images_have_different_letters(tmp_path):
    """Other data sets, other files under one name, and other kinds of numbers; equal ones share a letter."""
    for index, (name, sha256) in enumerate([("mnist", "1"), ("mnist", "1"), ("mnist", "2"), ("fashion_mnist", "3")]):
        make(tmp_path / str(index), hours_ago=index, losses=[240.5], metrics=ELBO, dataset=name)
        (tmp_path / str(index) / "dataset.json").write_text(json.dumps({"sha256": sha256}))
    lines = listing.as_text(listing.find(tmp_path)[0], now=NOW).splitlines()
    assert [re.search(r"± 0\.8  (\w)", line)[1] for line in lines[1:5]] == ["a", "a", "b", "c"]
    assert lines[5].startswith("a: nats per image of mnist, log-prob") and lines[7].startswith(
        "c: nats per image of fa"
    )
    assert lines[8] == "Compare only numbers with the same letter."
    found = listing.as_json(listing.find(tmp_path)[0], [])["runs"]
    assert [run["dataset_sha256"] for run in found] == ["1", "1", "2", "3"]


def test_one_run_a_sweep_and_a_folder_of_other_things(folder, run):
    assert [files.path for files in listing.find(run.path)[0]] == [run.path]
    assert [files.path for files in listing.find(run.path.parent)[0]] == [run.path]
    (folder / "empty").mkdir()
    (folder / "notes.txt").write_text("")
    (folder / "photographs").mkdir()
    (folder / "photographs" / "a.png").write_text("")
    assert [files.path.name for files in listing.find(folder)[0]] == ["cut", "done", "old"]
    assert listing.find(folder)[1] == []


def test_each_bad_folder_is_reported_in_one_line(folder):
    (folder / "bad").mkdir()
    (folder / "bad" / "config.json").write_text("[1]")
    (folder / "half").mkdir()
    (folder / "half" / "history.csv").write_text("")
    (folder / "done" / "metrics.json").write_text("{")
    (folder / "steers\n\x1b[2J").mkdir()
    (folder / "steers\n\x1b[2J" / ".lock").write_text("")
    result = CliRunner().invoke(runs, [str(folder)])
    assert result.exit_code == 0
    told = result.stderr.splitlines()
    assert len(told) == 4 and all(line.startswith("skipped: ") for line in told)
    assert f"{folder}/bad/config.json: not a kvae training config" in told[0]
    assert "metrics.json is not valid JSON" in told[1]
    assert told[2] == f"skipped: {folder}/half is not a run: it has no config.json."
    assert "steers ?[2J is not a run" in told[3]
    assert [line.split()[0] for line in result.stdout.splitlines()[1:3]] == ["cut", "old"]


def test_a_run_in_training_and_json(folder):
    code = (
        "import sys, time; from pathlib import Path; from kvae.files import locks\n"
        "with locks.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-P", "-c", code, folder / "cut"], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        assert locks.is_held(folder / "cut")
        result = CliRunner().invoke(runs, [str(folder), "--json"])
    finally:
        other.kill()
        other.communicate()
    found = json.loads(result.stdout)
    assert found["skipped"] == []
    assert [run["state"] for run in found["runs"]] == ["training", "finished", "stopped"]
    assert found["runs"][1] == {
        "run": str(folder / "done"), "dataset": "fashion_mnist_mini", "dataset_sha256": None,
        "architecture": "conv", "epochs_done": 3,
        "epochs": 3, "state": "finished", "has_checkpoint": False, "elbo": ELBO["elbo"], "kind": "log-probability",
        "best_epoch": 2, "best_val_elbo": -240.5, "written": "2026-11-25T15:00:00+00:00",
    } | {"written": found["runs"][1]["written"]}  # fmt: skip
    assert datetime.fromisoformat(found["runs"][1]["written"]).timestamp() == NOW.timestamp() - 24 * 3600
    assert found["runs"][2]["elbo"] is None and found["runs"][2]["best_val_elbo"] is None


def test_empty_and_missing_folders(tmp_path, monkeypatch):
    result = CliRunner().invoke(runs, [str(tmp_path)])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"no runs in {tmp_path}. Make one with kvae train.\n"
    assert json.loads(CliRunner().invoke(runs, [str(tmp_path), "--json"]).stdout) == {"runs": [], "skipped": []}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KvaeError, match="runs not found. Name the folder that holds your runs"):
        CliRunner().invoke(runs, [], catch_exceptions=False)
    (tmp_path / "runs").write_text("")
    with pytest.raises(KvaeError, match="cannot list .*runs: Not a directory"):
        listing.find(tmp_path / "runs")


def test_names_are_cut_in_the_middle():
    assert listing.shortened("abcdefghij", 10) == "abcdefghij"
    assert listing.shortened("abcdefghij", 7) == "abc…hij"
    assert listing.shortened("abcdefghij", 6) == "ab…hij"
