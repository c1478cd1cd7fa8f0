"""A bundle trained on the user's own images finds them again, through its run or --data, and never uses others."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from pictures_on_disk import write_colour_folder
from PIL import Image
from tiny import make_vae

from kvae import comparison
from kvae.bundle.manifest import Manifest
from kvae.cli.evaluate import run_evaluation
from kvae.cli.export import run_export
from kvae.config import TrainConfig
from kvae.conversion.conversion import convert
from kvae.data import datasets
from kvae.data.held_out_split import held_out
from kvae.errors import DataError
from kvae.evaluation.data import data_of, own_images
from kvae.evaluation.data import test_images as images_of_the_test_split
from kvae.export import bundles


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with pictures, and a run whose bundle is an untrained model of them."""
    root = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVAE_CACHE_DIR", str(root / "cache"))
        config = TrainConfig(
            data=str(write_colour_folder(root / "photo", 150)), image_size="12x16", split_seed=4, binarize="none"
        )
        data = datasets.of(config)
        bundles.export(
            make_vae(data.image_shape),
            root / "run" / "bundle",
            dataset=data.provenance(),
            training=config.to_publish(),
            train_images=data.train.images,
            test_images=data.test.images,
        )
        (root / "run" / "config.json").write_text(json.dumps(config.to_dict()))
        yield root / "run", data


@pytest.fixture
def moved(own, tmp_path):
    """The bundle alone and the pictures, both moved to where the run does not expect them."""
    run, _ = own
    shutil.copytree(run / "bundle", tmp_path / "alone")
    shutil.copytree(run.parent / "photo", tmp_path / "pictures")
    return tmp_path / "alone", tmp_path / "pictures"


def test_the_run_knows_where_its_images_are(own):
    run, data = own
    for path in (run / "bundle", run / "bundle" / "decoder.onnx"):
        assert own_images(path) == run.parent / "photo"
    manifest = Manifest.read(run / "bundle")
    assert str(run.parent) not in manifest.to_json()
    found = images_of_the_test_split(manifest, own=own_images(run / "bundle"))
    np.testing.assert_array_equal(found, data.test.images)
    bits = images_of_the_test_split(replace(manifest, binarize="dynamic"), own=own_images(run / "bundle"))
    np.testing.assert_array_equal(bits, held_out(data, "test", True))


def test_a_bundle_without_its_run_must_be_told_where_they_are(own, moved):
    bundle, pictures = moved
    manifest = Manifest.read(bundle)
    assert own_images(bundle) is None
    with pytest.raises(DataError, match="trained on 'photo', .* --data"):
        data_of(manifest)
    assert data_of(manifest, own=pictures).sha256 == own[1].sha256


def test_images_that_changed_are_refused(moved):
    bundle, pictures = moved
    Image.new("RGB", (32, 24)).save(pictures / "another.png")
    with pytest.raises(
        DataError, match="pictures differ from those that the model was trained on .*sha256.*changed, added"
    ):
        data_of(Manifest.read(bundle), own=pictures)


def test_missing_images_are_an_error(own, tmp_path):
    run, _ = own
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    (tmp_path / "run" / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    with pytest.raises(DataError, match="no longer in .*gone.* --data"):
        own_images(tmp_path / "run" / "bundle")


@pytest.mark.parametrize("content", ["{", "[]", '{"data": null}', '{"data": 3}', "{}"])
def test_a_config_without_images_gives_no_own_images(own, tmp_path, content):
    shutil.copytree(own[0] / "bundle", tmp_path / "bundle")
    (tmp_path / "config.json").write_text(content)
    assert own_images(tmp_path / "bundle") is None


def test_own_images_named_like_a_built_in_data_set_are_distinguished_by_their_hash(own, monkeypatch):
    run, data = own
    manifest = Manifest.read(run / "bundle")
    mini = datasets.load("fashion_mnist_mini")
    loaded = []
    named = replace(manifest, dataset=mini.provenance())
    assert data_of(named).sha256 == mini.sha256
    with pytest.raises(DataError, match="was trained on fashion_mnist_mini: --data is only for"):
        data_of(named, own=run.parent / "photo")
    alike = replace(manifest, dataset=manifest.dataset | {"name": "fashion_mnist_mini"})
    assert data_of(alike, own=run.parent / "photo").sha256 == data.sha256
    monkeypatch.setattr(datasets, "load", lambda name, folder: loaded.append(name) or mini)
    for name in ("fashion_mnist_mini", "mnist"):
        alike = replace(manifest, dataset=manifest.dataset | {"name": name})
        with pytest.raises(DataError, match=f"trained on a different {name} .*sha256.* --data"):
            data_of(alike)
    assert loaded == []


def test_evaluate_finds_them_and_takes_data(own, moved, capsys):
    run, data = own
    bundle, pictures = moved
    options = {"against": None, "importance_samples": 5, "per_image": None, "seed": 0, "proposal": "posterior"}
    options |= {"data_dir": None, "device": "cpu", "as_json": True}
    run_evaluation(str(run), **options)
    by_run = json.loads(capsys.readouterr().out)
    run_evaluation(str(bundle), **options, data=pictures)
    by_option = json.loads(capsys.readouterr().out)
    assert by_run["metrics"] == by_option["metrics"]
    assert by_run["num_images"] == len(data.test.images)
    with pytest.raises(DataError, match="with --data"):
        run_evaluation(str(bundle), **options)


def test_conversion_compares_on_them(own, moved, tmp_path):
    run, data = own
    bundle, pictures = moved
    by_run = convert(run / "bundle", tmp_path / "by_run", "float16").manifest.conversion
    by_option = convert(bundle, tmp_path / "by_option", "float16", own=pictures).manifest.conversion
    assert by_run["num_images"] == by_option["num_images"] == len(data.test.images)
    assert by_run["nll_lost"] == by_option["nll_lost"]
    with pytest.raises(DataError, match="with --data"):
        convert(bundle, tmp_path / "none", "float16")
    run_export(str(bundle), tmp_path / "cli", "float16", "onnx", None, as_json=True, data=pictures)
    assert Manifest.read(tmp_path / "cli").conversion["nll_lost"] == by_run["nll_lost"]


@pytest.mark.slow
def test_a_comparison_uses_own_images_and_refuses_runs_on_others(own, tmp_path):
    run, data = own
    folder = tmp_path / "photo"
    shutil.copytree(run.parent / "photo", folder)
    base = {"data": str(folder), "image_size": "12x16", "split_seed": 4, "likelihood": "discretized_logistic"}
    base |= {"architecture": "mlp", "latent_dim": 2, "hidden_units": 8, "epochs": 1, "batch_size": 32}
    settings = comparison.grid(base, [("beta", [1.0])])
    (result,) = comparison.compare(settings, tmp_path / "sweep", importance_samples=3)
    assert result.evaluation.manifest.dataset["sha256"] == data.sha256
    Image.new("RGB", (32, 24)).save(folder / "another.png")
    with pytest.raises(DataError, match="images of photo have changed .* --out"):
        comparison.compare(settings, tmp_path / "sweep", importance_samples=3)
