"""Where results go: apart from what is read, and to standard output where it is asked for."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny import random_images

from kvae.cli import destination
from kvae.cli.main import main
from kvae.files import pictures

IMAGES = random_images(6)


@pytest.fixture
def kvae(tmp_path, monkeypatch, bundle_path):
    """Runs the command in a folder with a model `m`, a run with it, pictures `p`, and codes."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").mkdir()
    for index, image in enumerate(IMAGES):
        pictures.save(pictures.picture(image), tmp_path / "p" / f"{index}.png")
    shutil.copytree(bundle_path, "m")
    shutil.copytree(bundle_path, "run/bundle")
    (tmp_path / "run" / "config.json").write_text(json.dumps({"data": str(tmp_path / "p"), "test_data": "codes.npz"}))
    np.savez("codes.npz", loc=np.zeros((2, 3), np.float32))
    return lambda *arguments: CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def tree(folder):
    """All that is under a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "arguments",
    [
        "reconstruct p --out p/0.png", "reconstruct p/0.png p/1.png --out p", "reconstruct p --out p/new.npz",
        "reconstruct p --out p/../p/new.png", "encode p --out p/codes.npz", "score p --out p/scores.csv",
        "data inspect p --out p/1.png", "data inspect p --out p/new.png", "decode codes.npz --out codes.npz",
        "interpolate --from p/0.png --to p/1.png --out p/1.png", "interpolate --from p/0.png --to p/1.png --out p",
        "traverse --image p/0.png --out p/0.png", "sample --out m/preview.png", "sample --out m",
        "sample --model run --out run/samples", "sample --model m/decoder.onnx --out m/samples.npy",
        "sample --model run/bundle --out run/new.png", "traverse --out m/new.png", "explore m --out m/page",
        "export m --format ort --out m/ort", "export m --format ort --out m", "export run --out run/again",
        "export run --out p/again", "export run/bundle --format ort --out p/ort", "evaluate m --per-image m/values.npz",
        "evaluate run --per-image p/values.npz", "evaluate run --per-image codes.npz",
        "data inspect m --test-data p --out p/new.png",
        "score p --engine ray --out p", "encode p --engine ray --out p/parts",
        "sample --engine ray --out m/parts",
    ],
)  # fmt: skip
def test_nothing_is_written_over_or_into_what_is_read(kvae, arguments, tmp_path, monkeypatch):
    monkeypatch.setattr("kvae.runtime.ray_engine.check_installed", lambda: None)
    words = arguments.split()
    if words[0] not in ("data", "export", "explore", "evaluate") and "--model" not in words:
        words += ["--model", "m"]
    before = tree(tmp_path)
    result = kvae(*words)
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.endswith("Choose another --out.")
    assert tree(tmp_path) == before


def test_beside_what_is_read_is_fine(kvae, tmp_path):
    assert kvae("reconstruct", "p/0.png", "--model", "m", "--out", "p/new.png").exit_code == 0
    assert kvae("sample", "--model", "run", "--out", "samples").exit_code == 0
    assert kvae("sample", "--model", "run", "--out", "samples").exit_code == 0


@pytest.mark.parametrize("command", ["sample --n 3", "reconstruct p", "decode codes.npz"])
def test_a_dash_prints_a_npy(kvae, command, tmp_path):
    result = kvae(*command.split(), "--model", "m", "--out", "-")
    assert (result.exit_code, result.stderr) == (0, "")
    assert kvae(*command.split(), "--model", "m", "--out", "file.npy").exit_code == 0
    assert result.stdout_bytes == (tmp_path / "file.npy").read_bytes()
    assert not (tmp_path / "-").exists()


def test_a_dash_prints_codes_scores_and_pictures(kvae, tmp_path):
    found = np.load(io.BytesIO(kvae("encode", "p", "--model", "m", "--out", "-").stdout_bytes))
    assert found["loc"].shape == (6, 3)
    rows = list(csv.DictReader(io.StringIO(kvae("score", "p", "--model", "m", "--out", "-").stdout)))
    assert [row["image"] for row in rows] == [os.path.join("p", f"{index}.png") for index in range(6)]
    with Image.open(io.BytesIO(kvae("traverse", "--model", "m", "--out", "-").stdout_bytes)) as picture:
        assert picture.format == "PNG"
    assert sorted(os.listdir(tmp_path)) == ["codes.npz", "m", "p", "run"]


def test_what_fails_prints_nothing(kvae, tmp_path):
    (tmp_path / "p" / "5.png").write_text("no picture")
    result = kvae("reconstruct", "p", "--model", "m", "--out", "-")
    assert (result.exit_code, result.stdout_bytes) == (1, b"")


@pytest.mark.parametrize(
    ("command", "fact"),
    [
        ("sample --out - --json", "--json"), ("export run --out -", "'-'"), ("train --out -", "'-'"),
        ("compare --vary beta=1 --out -", "'-'"), ("explore m --out -", "'-'"), ("data inspect p --out -", "'-'"),
        ("evaluate m --per-image -", "'-'"), ("sample --out", "requires an argument"),
    ],
)  # fmt: skip
def test_where_a_dash_makes_no_sense_it_is_wrong_usage(kvae, command, fact, tmp_path):
    result = kvae(*command.split())
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert fact in line
    assert sorted(os.listdir(tmp_path)) == ["codes.npz", "m", "p", "run"]


def test_a_terminal_and_an_empty_name_are_refused(kvae, monkeypatch):
    assert kvae("sample", "--out", "").exit_code == 2
    option = destination.Out(stdout=True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(Exception, match="terminal"):
        option.convert("-", None, None)
    assert option.convert("./-", None, None).is_absolute()


def test_with_ray_a_dash_names_no_folder(kvae, monkeypatch):
    monkeypatch.setattr("kvae.runtime.ray_engine.check_installed", lambda: None)
    result = kvae("sample", "--engine", "ray", "--out", "-", "--model", "m")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_a_report_is_json(kvae):
    """The paths of a run and of its bundle are found by `home`."""
    assert json.loads(kvae("sample", "--model", "run", "--json").stdout)["out"] == "samples.png"


def test_a_reader_that_goes_away_ends_it_quietly(tmp_path, bundle_path):
    code = "from kvae.cli.start import main; main()"
    sample = [sys.executable, "-c", code, "sample", "--n", "5000", "--model", str(bundle_path), "--out", "-"]
    with subprocess.Popen(sample, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("verb", [["sample", "--n", "1"], ["decode", "codes.npz"], ["score", "p"]])
def test_a_closed_standard_output_is_no_place_for_a_result(kvae, verb):
    """Run by a shell, because `subprocess` cannot close it."""
    words = [sys.executable, "-m", "kvae", *verb, "--model", "m", "--out", "-"]
    done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "standard output is closed" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1"])
def test_the_file_names_of_standard_output_are_told_as_a_hyphen(kvae, name):
    done = kvae("sample", "--model", "m", "--out", name)
    assert done.exit_code == 2 and f"{name} is standard output: write --out -." in done.stderr
    done = kvae("export", "m", "--format", "ort", "--out", name)
    assert done.exit_code == 2 and "does not support it" in done.stderr
