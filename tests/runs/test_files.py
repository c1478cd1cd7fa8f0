"""A run's small files: complete, half-written and invalid."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from datetime import datetime

import pytest

from kvae.config import TrainConfig
from kvae.errors import KvaeError
from kvae.files import locks
from kvae.runs import files as run_files
from kvae.runs.files import RunFiles


def make(folder, *, losses=(), metrics=None, config=None):
    """A run's folder with the small files of training that got this far."""
    folder.mkdir(parents=True, exist_ok=True)
    config = TrainConfig(dataset="fashion_mnist_mini", epochs=4) if config is None else config
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    rows = [f"{epoch},{loss},{-loss}\n" for epoch, loss in enumerate(losses)]
    (folder / "history.csv").write_text("epoch,val_loss,val_elbo\n" + "".join(rows))
    if metrics is not None:
        (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def test_a_real_run(run):
    files = RunFiles.read(run.path)
    assert files.config.to_dict() == json.loads((run.path / "config.json").read_text())
    assert files.metrics == {name: asdict(metric) for name, metric in run.metrics.items()}
    assert (files.num_epochs, files.state, files.has_checkpoint) == (8, "finished", True)
    assert files.history["val_loss"][files.best_epoch - 1] == min(files.history["val_loss"])
    assert "epoch" not in files.history
    assert files.written.timestamp() == pytest.approx((run.path / "metrics.json").stat().st_mtime)


def test_the_states_of_a_run(tmp_path):
    make(tmp_path, losses=[3.0, 1.0, 2.0])
    files = RunFiles.read(tmp_path)
    assert (files.num_epochs, files.best_epoch, files.state, files.has_checkpoint) == (3, 2, "stopped", False)
    with locks.held(tmp_path):
        code = (
            "import sys; from pathlib import Path; from kvae.runs.files import RunFiles\n"
            "print(RunFiles.read(Path(sys.argv[1])).state)"
        )
        done = subprocess.run([sys.executable, "-P", "-c", code, tmp_path], capture_output=True, text=True, check=True)
        assert done.stdout == "training\n"
    make(tmp_path, metrics={"elbo": {"value": -1.0, "standard_error": 0.1}})
    assert RunFiles.read(tmp_path).state == "finished"


def test_the_time_is_that_of_the_last_progress(tmp_path):
    make(tmp_path, losses=[1.0])
    os.utime(tmp_path / "config.json", (1e9, 1e9))
    os.utime(tmp_path / "history.csv", (1.1e9, 1.1e9))
    written = RunFiles.read(tmp_path).written
    assert written == datetime.fromtimestamp(1.1e9).astimezone()
    (tmp_path / "history.csv").unlink()
    assert RunFiles.read(tmp_path).written.timestamp() == 1e9


def test_a_run_before_its_first_epoch(tmp_path):
    make(tmp_path)
    (tmp_path / "history.csv").unlink()
    files = RunFiles.read(tmp_path)
    assert (files.num_epochs, files.best_epoch, files.history) == (0, None, {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("epoch,a,b\n", {"a": [], "b": []}),
        ("epoch,a,b\n0,1,2\n1,3,4\n", {"a": [1.0, 3.0], "b": [2.0, 4.0]}),
        ("epoch,a,b\n0,1,2\n1,3\n", {"a": [1.0], "b": [2.0]}),
        ("epoch,a,b\n0,1,2\n1,3,", {"a": [1.0], "b": [2.0]}),
        ("epoch,a,b\n0,1,2,3\n", {"a": [], "b": []}),
        ("epoch,a\n0,nan\n1,1e400\n", {"a": [math.nan, math.inf]}),
        ("epoch,a\n0,1\n\0\0\0\0", {"a": [1.0]}),
        ("epoch,a\n0,1\n\n1,2\n\n", {"a": [1.0, 2.0]}),
    ],
)
def test_a_truncated_history_is_read_up_to_the_cut(tmp_path, text, expected):
    (tmp_path / "history.csv").write_text(text)
    assert repr(run_files.read_history(tmp_path / "history.csv")) == repr(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch,a\n0,1\n1," + "9" * 200_000 + "\n2,3\n", "line 3: field larger than field limit"),
        ("epoch," + "a" * 200_000 + "\n0,1\n", "line 1: field larger than field limit"),
        ('epoch,a\n0,1\n1,"' + "9,\n" * 70_000, "field larger than field limit"),
        ("epoch,a\n0,1\n1,two\n2,3\n", "line 3: expected 2 numbers; got 1,two"),
        ("epoch,a\n0,1,2\n2,3\n", "line 2: expected 2 numbers; got 0,1,2"),
    ],
    ids=["long number", "long name", "open quote", "word", "extra number"],
)
def test_a_history_that_kvae_did_not_write_is_one_line(tmp_path, text, message):
    (tmp_path / "history.csv").write_text(text)
    with pytest.raises(KvaeError, match=message) as error:
        run_files.read_history(tmp_path / "history.csv")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_times_that_no_calendar_holds_do_not_matter(tmp_path):
    make(tmp_path, losses=[1.0])
    os.utime(tmp_path / "history.csv", (1e12, 1e12))
    assert RunFiles.read(tmp_path).num_epochs == 1


def test_an_epoch_that_diverged_is_never_the_best(tmp_path):
    assert RunFiles.read(make(tmp_path, losses=[math.nan, 2.0, math.inf])).best_epoch == 2
    assert RunFiles.read(make(tmp_path, losses=[math.nan])).best_epoch is None


def test_json_lines(tmp_path):
    assert run_files.read_json_lines(tmp_path / "none") == []
    (tmp_path / "some").write_text('{"step": 1}\n[2]\n{"step": 3}\n{"step": 4, "lo')
    assert run_files.read_json_lines(tmp_path / "some") == [{"step": 1}, {"step": 3}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"", "config.json is not valid JSON"),
        ("config.json", b"[" * 100_000, "config.json is not valid JSON"),
        ("config.json", b"\xff\xfe", "config.json is not UTF-8 text"),
        ("config.json", b"[]", "config.json: not a kvae training config"),
        ("config.json", b'{"model": 3}', "config.json: not a kvae training config"),
        ("config.json", b'{"of_tomorrow": 3}', "config.json: not a kvae training config"),
        ("config.json", b'{"epochs": 0}', "config.json: epochs must be an integer of at least 1; got 0"),
        ("metrics.json", b'{"elbo"', "metrics.json is not valid JSON"),
        ("metrics.json", b"{}", "metrics.json holds no test metrics"),
        ("metrics.json", b'{"elbo": {"value": NaN, "standard_error": 1}}', "holds no test metrics"),
        ("metrics.json", b'{"elbo": {"value": 1}}', "holds no test metrics"),
        ("metrics.json", b'{"elbo": {"value": "1", "standard_error": true}}', "holds no test metrics"),
        ("config.json", b'{"\\n\\u001b[2J": 3}', r"unexpected keyword argument '\\\\n|not a kvae training config"),
        ("dataset.json", b"{", "dataset.json is not valid JSON"),
        ("history.csv", b"\xff", "history.csv is not UTF-8 text"),
    ],
)
def test_the_error_says_what_is_wrong_with_a_file(tmp_path, name, content, message):
    make(tmp_path, losses=[1.0])
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KvaeError, match=message) as error:
        RunFiles.read(tmp_path)
    assert str(error.value).isprintable()


def test_pipes_and_huge_files_are_not_read(tmp_path, monkeypatch):
    make(tmp_path, losses=[1.0])
    monkeypatch.setattr(run_files, "MAX_BYTES", 10)
    with pytest.raises(KvaeError, match="config.json has more than 10 bytes"):
        RunFiles.read(tmp_path)
    (tmp_path / "config.json").unlink()
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(KvaeError, match="config.json: it is not a regular file"):
        RunFiles.read(tmp_path)
