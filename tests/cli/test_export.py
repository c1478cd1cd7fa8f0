"""`kvae export`: whether it exports or converts, and what it prints."""

import json
import shutil
from pathlib import Path

import pytest

from kvae.bundle.manifest import Manifest
from kvae.cli.export import run_export
from kvae.conversion import conversion
from kvae.errors import BundleError, KvaeError


def test_a_bundle_and_a_run_are_converted_alike(run, tmp_path, capsys):
    """A run stands for its own bundle; the JSON has the manifest's figures, and stderr is empty."""
    for name, model in (("run", run.path), ("bundle", run.exported.path)):
        run_export(str(model), tmp_path / name, "float16", "onnx", None, as_json=True)
        printed = capsys.readouterr()
        report = json.loads(printed.out)
        manifest = Manifest.read(tmp_path / name)
        assert report["bundle"] == str(tmp_path / name)
        assert (report["precision"], report["format"]) == ("float16", "onnx")
        assert report["conversion"] == manifest.conversion
        assert set(report["differences"]) == {"mean", "likelihood_parameters", "loc", "scale"}
        assert printed.err == ""


def test_people_get_the_cost_and_the_path(run, tmp_path, capsys):
    run_export(str(run.path), tmp_path / "out", "int8", "ort", None, as_json=False)
    cost, size, path = capsys.readouterr().out.splitlines()
    found = Manifest.read(tmp_path / "out").conversion
    assert f"on 500 test images: pixels are off by {found['mean_pixel_error']:.1e} on average (allowed 0.01)" in cost
    assert f"NLL lost {found['nll_lost']['value']:.4f} ± " in cost
    assert size.startswith(f"size {found['size']:,} bytes, ")
    assert path == str(tmp_path / "out")


def test_converting_float32_to_ort_prints_the_differences(bundle_path, tmp_path, capsys):
    run_export(str(bundle_path), tmp_path / "out", "float32", "ort", None, as_json=False)
    first, path = capsys.readouterr().out.splitlines()
    assert first.startswith("against the ONNX graphs: mean ")
    assert path == str(tmp_path / "out")


def test_a_run_without_options_is_exported_by_keras(run, tmp_path, capsys):
    run_export(str(run.path), tmp_path / "out", "float32", "onnx", None, as_json=True)
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"bundle", "parity"}
    assert Manifest.read(tmp_path / "out").precision == "float32"


def test_a_bundle_without_options_has_nothing_to_convert(bundle_path, tmp_path):
    for model in (str(bundle_path), "fashion_mnist_small"):
        with pytest.raises(BundleError, match="is already a float32 ONNX bundle"):
            run_export(model, tmp_path / "out", "float32", "onnx", None, as_json=False)


def test_a_folder_that_is_neither_a_run_nor_a_bundle_is_refused(bundle_path, tmp_path):
    with pytest.raises(KvaeError, match=r"run.*config\.json"):
        run_export(str(tmp_path), tmp_path / "out", "float32", "onnx", None, as_json=False)
    with pytest.raises(BundleError, match="model 'fashion_mnits' not found. Did you mean fashion_mnist?"):
        run_export("fashion_mnits", tmp_path / "out", "int8", "onnx", None, as_json=False)
    with pytest.raises(BundleError, match=r"is not a bundle: .* manifest\.json"):
        run_export(str(tmp_path), tmp_path / "out", "int8", "onnx", None, as_json=False)


def test_the_data_folder_reaches_the_library(bundle_path, tmp_path, monkeypatch):
    seen = {}

    def convert(*args, **options):
        seen.update(options, args=args)
        options["progress"](3, 10)
        raise BundleError("enough")

    monkeypatch.setattr(conversion, "convert", convert)
    copy = tmp_path / "copy"
    shutil.copytree(bundle_path, copy)
    with pytest.raises(BundleError, match="enough"):
        run_export(str(copy), tmp_path / "out", "int8", "ort", Path("idx"), as_json=False)
    assert seen["args"] == (copy, tmp_path / "out", "int8", "ort")
    assert seen["data_dir"] == Path("idx")
