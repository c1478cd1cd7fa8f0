"""What people give in place of a model, and what they are told: what it is, and what to give instead."""

import gzip
import io
import json
import re
import shutil
import zipfile

import keras
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import helper
from PIL import Image
from strange_graphs import decoder, write_bundle, write_lone

from kvae.bundle import foreign
from kvae.cli.main import main
from kvae.errors import BundleError


def png():
    file = io.BytesIO()
    Image.new("L", (4, 4)).save(file, "PNG")
    return file.getvalue()


def npy():
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def npz():
    file = io.BytesIO()
    np.savez(file, images=np.zeros(3))
    return file.getvalue()


def archive(*names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as written:
        for name in names:
            written.writestr(name, b"x" * 10)
    return file.getvalue()


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2097152\n"
PAGE = b"\n<!DOCTYPE html><html><head></head><body>Sign in</body></html>"
FILES = {
    "empty.onnx": (b"", "an empty file .* copy it again"),
    "decoder.onnx": (POINTER, "a Git LFS pointer.* git lfs pull"),
    "page.onnx": (PAGE, "a web page.* download the file"),
    "page.ort": (PAGE, "a web page"),
    "model.pt": (archive("archive/data.pkl", "archive/data/0"), "a PyTorch model"),
    "old.pt": (b"\x80\x02\x8a\nl\xfc", "a pickle"),
    "b.zip": (archive("b/decoder.onnx"), "a zip archive.* which holds a manifest.json"),
    "model.h5": (b"\x89HDF\r\n\x1a\n" + bytes(20), "an HDF5 file.* kvae export"),
    "model.tflite": (b"\x1c\0\0\0TFL3" + bytes(30), "a TensorFlow Lite model"),
    "w.safetensors": (b"\x40\0\0\0\0\0\0\0{\"w\":{}}", "a file of weights"),
    "x.npy": (npy(), "a NumPy array"),
    "x.npz": (npz(), "an archive of NumPy arrays"),
    "x.png": (png(), "a picture"),
    "x.gz": (gzip.compress(b"x", mtime=0), "a compressed file"),
    "manifest.json": (b'{"format_version": 1}', "a JSON text.* the bundle's folder"),
    "notes.txt": (b"hello\n", "a text"),
    "scores.csv": ("image,elbo\né.png,1\n".encode(), "a text.* the bundle's folder"),
    "noise.onnx": (bytes(range(1, 30)), "not an ONNX graph"),
}  # fmt: skip


def line(*words):
    """The one line of an error."""
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 1, result.output
    assert result.output.count("\n") == 1
    assert result.output.startswith("Error: ")
    return result.output


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_named(tmp_path, name):
    content, message = FILES[name]
    given = tmp_path / "given" / name
    given.parent.mkdir()
    given.write_bytes(content)
    for words in (["sample", "--out", str(tmp_path / "o.npy"), "--model"], ["info"]):
        found = line(*words, str(given))
        assert name in found
        assert re.search(message, found), found


def test_a_keras_model_is_told_to_be_exported(tmp_path):
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "x.keras")
    found = line("sample", "--model", str(tmp_path / "x.keras"), "--out", str(tmp_path / "o.npy"))
    assert "a Keras model" in found
    assert "kvae export" in found


def test_the_onnx_graph_of_somebody_else_is_named(tmp_path):
    graph = decoder()
    del graph.metadata_props[:]
    found = line("info", str(write_lone(graph, tmp_path / "theirs.onnx")))
    assert "was not exported by kvae" in found
    assert "kvae export" in found


def test_a_bundle_whose_graphs_are_git_lfs_pointers_says_so(tmp_path):
    path = write_bundle(tmp_path / "b")
    (path / "decoder.onnx").write_bytes(POINTER)
    assert "a Git LFS pointer" in line("info", str(path))
    (path / "manifest.json").write_bytes(POINTER)
    assert "a Git LFS pointer" in line("info", str(path))


FOLDERS = {
    "empty": ([], "it is empty"),
    "run": (["config.json", "dataset.json", "checkpoints/last.keras"], "training run that has not finished.*--resume"),
    "saved": (["saved_model.pb", "variables/variables.index"], "a TensorFlow SavedModel.*kvae export"),
    "graphs": (["decoder.onnx", "encoder.onnx"], "give a graph in it, such as decoder.onnx"),
    "hub": (["config.json", "model.safetensors"], "weights of another library"),
    "keras": (["model.keras"], "a Keras model.*kvae export"),
    "photos": (["a.png", "b.png"], "give a bundle's folder, a run or a decoder.onnx"),
}


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_without_a_manifest_is_named(tmp_path, name):
    names, message = FOLDERS[name]
    folder = tmp_path / name
    folder.mkdir()
    for each in names:
        (folder / each).parent.mkdir(exist_ok=True)
        (folder / each).write_bytes(b"x")
    found = line("info", str(folder))
    assert "does not hold a manifest.json" in found
    assert re.search(message, found), found


def test_a_run_that_has_not_finished_is_named(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run", ignore=shutil.ignore_patterns("bundle", "metrics.json"))
    assert "a training run that has not finished" in line("info", str(tmp_path / "run"))


def test_graphs_are_of_no_other_kind(bundle_path, tmp_path):
    """Also those that other programs wrote, whose first field differs."""
    foreign.check_file(bundle_path / "decoder.onnx")
    foreign.check_file(write_lone(decoder(), tmp_path / "lone.ort"))
    plain = helper.make_model(decoder().graph)
    for settings in ({}, {"producer_name": "pytorch"}, {"producer_name": '{"a'}, {"ir_version": 127}):
        for field, value in settings.items():
            setattr(plain, field, value)
        content = plain.SerializeToString()
        foreign.check(content, "it")
    plain.ClearField("ir_version")
    foreign.check(plain.SerializeToString(), "it")
    with pytest.raises(BundleError, match="a JSON text"):
        foreign.check(json.dumps({"a": 1}).encode(), "it")
    assert onnx.load(bundle_path / "decoder.onnx").ir_version
