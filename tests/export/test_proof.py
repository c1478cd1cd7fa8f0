"""Each way of breaking a graph, or a model, is refused and leaves no bundle."""

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from onnx import TensorProto, helper
from tiny import DATASET, IMAGE_SHAPE, make_vae, random_images

from kvae.conversion import graph_files
from kvae.errors import BundleError
from kvae.export import graphs, tensors
from kvae.export.bundles import export
from kvae.model.networks import Decoder
from kvae.model.vae import VAE

tfd = tfp.distributions


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
        (put_nan_into_a_weight, "mean must be finite; it is nan"),
        (use_another_domain, "com.microsoft .* is not a standard ONNX operator"),
        (use_an_unknown_op, "BroadcastArgs is not a standard ONNX operator"),
        (hide_an_unknown_op_in_a_branch, "Secret is not a standard ONNX operator"),
        (draw_noise_inside, "RandomNormalLike draws noise inside the graph"),
        (fix_the_batch, r"its inputs must be z float32 \[batch, 3\]; got z float32 \[1, 3\]"),
        (free_the_height, r"its outputs must be mean .*; got mean float32 \[batch, height, 8, 1\]"),
        (rename_an_output, "its outputs must be mean .*; got Identity:0"),
        (break_an_edge, "the ONNX checker refuses"),
    ],
)
def test_a_broken_graph_leaves_no_bundle(damage, message, tmp_path, monkeypatch):
    convert = graphs.convert

    def convert_and_damage(name, function, tensors, network):
        model = convert(name, function, tensors, network)
        if name == "decoder":
            damage(model)
        return model

    monkeypatch.setattr(graphs, "convert", convert_and_damage)
    with pytest.raises(BundleError, match=message):
        export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_onnxruntime_cannot_load_leaves_no_bundle(tmp_path, monkeypatch):
    def save_half(model, path):
        path.write_bytes(model.SerializeToString()[:-100])

    monkeypatch.setattr(graph_files.onnx, "save", save_half)
    with pytest.raises(BundleError, match="not an ONNX graph, or is cut short"):
        export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []


def test_an_op_that_tf2onnx_does_not_know_leaves_no_bundle(tmp_path):
    """With the real tf2onnx, which logs this op as unsupported and writes it into the graph anyway."""

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


def test_a_mean_outside_0_to_1_leaves_no_bundle(own_networks, tmp_path):
    encoder, decoder = own_networks
    decoder.pixels.activation = keras.activations.linear
    vae = VAE(encoder, decoder, tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3)))
    vae(random_images(1))
    with pytest.raises(BundleError, match=r"mean must be in \[0, 1\]"):
        export(vae, tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []


def test_a_mean_that_is_not_the_distribution_s_leaves_no_bundle(tmp_path, monkeypatch):
    """The reference is the distribution itself, not the tensors that are read from it."""
    of_likelihood = tensors.of_likelihood

    def squared(distribution):
        return of_likelihood(distribution)._replace(mean=distribution.mean() ** 2)

    monkeypatch.setattr(tensors, "of_likelihood", squared)
    with pytest.raises(BundleError, match="'mean' differs"):
        export(make_vae(), tmp_path / "b", dataset=DATASET)
    assert list(tmp_path.iterdir()) == []
