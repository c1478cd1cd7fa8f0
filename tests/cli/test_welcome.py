"""`kvae` alone: what can be done now."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from kvae.cli import welcome
from kvae.cli.main import main


@pytest.fixture
def run(tmp_path):
    """A run in `runs`, as `kvae sample` would take it."""
    (tmp_path / "runs" / "first" / "bundle").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "bundle" / "manifest.json").write_text("{}")
    (tmp_path / "runs" / "first" / "config.json").write_text("{}")
    return tmp_path


def without(monkeypatch, *missing):
    monkeypatch.setattr(welcome, "find_spec", lambda name: None if name in missing else object())


def test_kvae_alone_says_what_can_be_done_and_succeeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [])
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(result.stdout.splitlines()) <= 10
    for command in ("kvae sample --n 64", "kvae explore", "kvae train --dataset fashion_mnist", "kvae --help"):
        assert command in result.stdout
    assert "kvae runs" not in result.stdout and "pip" not in result.stdout


def test_it_names_the_run_that_would_be_sampled(run):
    found = welcome.text(run, 80)
    assert "64 images from runs/first" in found and "your 1 run in runs" in found


def test_it_names_the_command_that_brings_what_is_missing(tmp_path, monkeypatch):
    without(monkeypatch, "tensorflow")
    assert "[train]" in welcome.text(tmp_path, None) and "fashion_mnist" not in welcome.text(tmp_path, None)
    without(monkeypatch, "onnxruntime")
    assert "[cpu]" in welcome.text(tmp_path, None)


@pytest.mark.parametrize("columns", [50, 80])
def test_every_line_fits(run, monkeypatch, columns):
    without(monkeypatch)
    lines = welcome.text(run, columns).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert "  kvae train --dataset fashion_mnist" in [line[:36] for line in lines]


def test_it_loads_nothing_heavy(tmp_path):
    code = (
        "import sys\nfrom kvae.cli.main import main\nmain([], standalone_mode=False)\n"
        "print([m for m in ('numpy', 'onnxruntime', 'tensorflow', 'keras', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
