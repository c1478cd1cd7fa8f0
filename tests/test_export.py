"""Export: the contract to the letter, parity with Keras, and each way of breaking a graph refused."""

import json

import numpy as np
import onnx
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from onnx import TensorProto
from tiny import DATASET, IMAGE_SHAPE, make_vae, random_images

from kvae.errors import BundleError, KvaeError
from kvae.export import export
from kvae.manifest import Manifest, sha256
from kvae.runtime import Bundle
from kvae.vae import VAE

tfd = tfp.distributions


def shapes(values):
    return {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in values
    }


def test_graphs_follow_the_contract(bundle_path):
    decoder, encoder = (onnx.load(bundle_path / f"{name}.onnx").graph for name in ("decoder", "encoder"))
    image = ["batch", 8, 8, 1]
    assert shapes(decoder.input) == {"z": ["batch", 3]}
    assert list(shapes(decoder.output).items()) == [("mean", image), ("likelihood_parameters", image)]
    assert shapes(encoder.input) == {"images": image}
    assert list(shapes(encoder.output).items()) == [("loc", ["batch", 3]), ("scale", ["batch", 3])]
    for graph in (decoder, encoder):
        assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}


def test_manifest_graphs_and_files_agree(bundle_path):
    manifest = Manifest.read(bundle_path)
    for name in ("decoder", "encoder"):
        model = onnx.load(bundle_path / f"{name}.onnx")
        assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", manifest.opset)]
        (embedded,) = (entry.value for entry in model.metadata_props if entry.key == "kvae")
        assert json.loads(embedded) == json.loads(manifest.to_json()) | {"files": {}}
    on_disk = {path.name: sha256(path) for path in bundle_path.iterdir() if path.name != "manifest.json"}
    assert manifest.files == on_disk
    assert manifest.opset >= 17


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize(
    "settings",
    [{}, {"likelihood": "normal"}, {"architecture": "conv"}, {"architecture": "conv", "likelihood": "normal"}],
    ids=str,
)
def test_onnxruntime_agrees_with_keras(settings, batch, tmp_path):
    image_shape = (9, 14, 3)
    vae = make_vae(image_shape, **settings)
    bundle = Bundle.open(export(vae, tmp_path / "b", dataset=DATASET).path)
    images = random_images(batch, image_shape)
    posterior = vae.encoder(images)
    np.testing.assert_allclose(bundle.encode(images).loc, posterior.mean(), atol=1e-5)
    np.testing.assert_allclose(bundle.encode(images).scale, posterior.stddev(), atol=1e-5)
    z = np.random.default_rng(0).normal(size=(batch, 3)).astype(np.float32)
    np.testing.assert_allclose(bundle.decode(z), vae.decoder(tf.constant(z)).mean(), atol=1e-5)


def test_a_user_s_own_networks_export(own_networks, tmp_path):
    """The posterior is an Independent Normal, the likelihood a normal of fixed scale."""
    vae = VAE(*own_networks, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae(random_images(1))
    exported = export(vae, tmp_path / "own", dataset=DATASET)
    assert exported.manifest.likelihood == "normal"
    images = random_images(5)
    found = Bundle.open(exported.path).reconstruct(images)
    np.testing.assert_allclose(found, vae.predict(images, verbose=0), atol=1e-5)


def test_a_second_export_replaces_the_first(tmp_path):
    export(make_vae(seed=0), tmp_path / "b", dataset=DATASET)
    export(make_vae(seed=1), tmp_path / "b", dataset=DATASET)
    z = np.ones((1, 3), np.float32)
    np.testing.assert_allclose(
        Bundle.open(tmp_path / "b").decode(z), make_vae(seed=1).decoder(tf.constant(z)).mean(), atol=1e-6
    )
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_a_bundle_with_something_added_is_left_alone(tmp_path):
    export(make_vae(), tmp_path / "b", dataset=DATASET)
    (tmp_path / "b" / "thesis.txt").write_text("years of work")
    with pytest.raises(KvaeError, match="exists and is not a bundle"):
        export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert (tmp_path / "b" / "thesis.txt").exists()


def test_provenance_that_no_reader_would_take_is_refused(tmp_path):
    with pytest.raises(BundleError, match="'dataset' must be"):
        export(make_vae(), tmp_path / "b", dataset={"name": "x"})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(KvaeError, match="exists and is not a bundle"):
        export(make_vae(), tmp_path, dataset=DATASET)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_models_that_the_format_cannot_hold(own_networks, tmp_path):
    wide = VAE(*own_networks, tfd.MultivariateNormalDiag(tf.zeros(3), 2 * tf.ones(3)))
    with pytest.raises(KvaeError, match="no weights yet"):
        export(wide, tmp_path / "b", dataset=DATASET)
    wide.build((None, *IMAGE_SHAPE))
    with pytest.raises(KvaeError, match=r"prior N\(0, I\) alone"):
        export(wide, tmp_path / "b", dataset=DATASET)


def test_the_card_says_what_the_manifest_says(bundle_path):
    card = (bundle_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: onnx\n")
    for fact in ("fashion_mnist_mini", "(64, 8, 8, 1)", "`likelihood_parameters`", "preview.png", "bernoulli"):
        assert fact in card
