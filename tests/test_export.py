"""Export: the contract to the letter, parity with Keras, and each way of breaking a graph refused."""

import json

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from onnx import TensorProto, helper
from tiny import DATASET, IMAGE_SHAPE, make_vae, random_images

from kvae import export as exporting
from kvae.errors import BundleError, KvaeError
from kvae.export import export
from kvae.manifest import Manifest, sha256
from kvae.networks import Decoder
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


def test_a_folder_that_is_no_bundle_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(KvaeError, match="exists and is not a bundle"):
        export(make_vae(), tmp_path, dataset=DATASET)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def perturb_a_weight(model):
    weight = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    values = onnx.numpy_helper.to_array(weight) * 1.001
    weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))


def put_nan_into_a_weight(model):
    weight = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
    values = onnx.numpy_helper.to_array(weight) * np.float32("nan")
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


def use_another_domain(model):
    model.graph.node[0].domain = "com.microsoft"


def use_an_unknown_op(model):
    model.graph.node[-1].op_type = "BroadcastArgs"


def draw_noise_inside(model):
    name = model.graph.output[0].name
    node = next(node for node in model.graph.node if name in node.output)
    node.output[:] = ["before" if end == name else end for end in node.output]
    model.graph.node.append(helper.make_node("RandomNormalLike", ["before"], ["noise"]))
    model.graph.node.append(helper.make_node("Add", ["before", "noise"], [name]))


def hide_an_unknown_op_in_a_branch(model):
    value = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Secret", [], ["inner"])], "branch", [], [value])
    model.graph.node.append(helper.make_node("If", ["condition"], ["unused"], then_branch=branch, else_branch=branch))


def fix_the_batch(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def free_the_height(model):
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_param = "height"


def rename_an_output(model):
    model.graph.output[0].name = "Identity:0"


def break_an_edge(model):
    model.graph.node[0].input[0] = "nowhere"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (perturb_a_weight, "differs between onnxruntime and Keras"),
        (put_nan_into_a_weight, "differs between onnxruntime and Keras by up to nan"),
        (use_another_domain, "com.microsoft .* is not a standard ONNX operator"),
        (use_an_unknown_op, "BroadcastArgs is not a standard ONNX operator"),
        (hide_an_unknown_op_in_a_branch, "Secret is not a standard ONNX operator"),
        (draw_noise_inside, "RandomNormalLike draws noise inside the graph"),
        (fix_the_batch, "only the batch of 'z' may be dynamic"),
        (free_the_height, "only the batch of 'mean' may be dynamic"),
        (rename_an_output, "expected tensors"),
        (break_an_edge, "the ONNX checker refuses"),
    ],
)
def test_a_broken_graph_leaves_no_bundle(damage, message, tmp_path, monkeypatch):
    convert = exporting._to_onnx

    def convert_and_damage(name, function, shape):
        model = convert(name, function, shape)
        if name == "decoder":
            damage(model)
        return model

    monkeypatch.setattr(exporting, "_to_onnx", convert_and_damage)
    with pytest.raises(BundleError, match=message):
        export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_onnxruntime_cannot_load_leaves_no_bundle(tmp_path, monkeypatch):
    def save_half(model, path):
        path.write_bytes(model.SerializeToString()[:-100])

    monkeypatch.setattr(exporting.onnx, "save", save_half)
    with pytest.raises(BundleError, match="onnxruntime cannot load"):
        export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []


def test_an_op_that_tf2onnx_does_not_know_leaves_no_bundle(tmp_path):
    """The real thing: tf2onnx logs this op as unsupported and writes a graph with it all the same."""

    @keras.saving.register_keras_serializable("tests")
    class Strange(keras.layers.Layer):
        def call(self, x):
            return tf.math.igamma(tf.nn.softplus(x) + 1.0, tf.nn.softplus(x))

        def compute_output_shape(self, shape):
            return shape

    usual = make_vae()
    body = keras.Sequential([keras.Input((3,)), *usual.decoder.body.layers, Strange()])
    vae = VAE(usual.encoder, Decoder(body), usual.prior)
    vae.build((None, *IMAGE_SHAPE))
    with pytest.raises(BundleError, match="Igamma is not a standard ONNX operator"):
        export(vae, tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []


def test_a_mean_outside_of_0_and_1_leaves_no_bundle(own_networks, tmp_path):
    encoder, decoder = own_networks
    decoder.pixels.activation = keras.activations.linear
    vae = VAE(encoder, decoder, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae(random_images(1))
    with pytest.raises(BundleError, match=r"mean must be in \[0, 1\]"):
        export(vae, tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []


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
