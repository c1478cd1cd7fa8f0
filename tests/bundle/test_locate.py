"""Which bundle a name refers to."""

import os
import shutil

import pytest

from kvae.bundle.locate import locate, newest_run, shipped
from kvae.errors import BundleError


def test_shipped_bundles_are_found_by_name():
    assert "fashion_mnist" in shipped()
    assert locate("fashion_mnist") == shipped()["fashion_mnist"]


def test_without_a_name_the_newest_run_takes_precedence_over_the_shipped_bundle(bundle_path, tmp_path):
    assert locate(None, tmp_path) == shipped()["fashion_mnist"]
    for age, run in enumerate(("runs/new", "runs/old", "mine")):
        shutil.copytree(bundle_path, tmp_path / run / "bundle")
        os.utime(tmp_path / run / "bundle" / "manifest.json", (1000 - age, 1000 - age))
    assert newest_run(tmp_path) == tmp_path / "runs/new"
    assert locate(None, tmp_path) == tmp_path / "runs/new" / "bundle"


def test_a_run_a_bundle_and_a_graph_are_found_by_path(bundle_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundle_path, tmp_path / "run" / "bundle")
    assert str(locate("run")) == "run/bundle"
    assert str(locate("run/bundle")) == "run/bundle"
    assert str(locate("run/bundle/decoder.onnx")) == "run/bundle/decoder.onnx"


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(BundleError, match="'fashion_mnits' not found. Did you mean fashion_mnist?"):
        locate("fashion_mnits")
