"""The networks of `user_networks.py`: most export and agree with Keras; the others are refused, and would fail."""

import logging

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
import tf2onnx
import user_networks as networks
from tiny import DATASET, IMAGE_SHAPE, random_images

from kvae.bundle.manifest import contract
from kvae.errors import KvaeError
from kvae.export import NotExportable, check, export, functions, graphs
from kvae.runtime.bundle import Bundle
from kvae.steps.keras_private import in_float32

QUICK = [
    "activation_celu", "activation_gelu", "augmentation_flip", "conv_2d_grouped", "conv_transposed_kernel_1_stride_2",
    "dynamic_broadcast", "fixed_noise", "loop_scan", "mathematics", "mixed_bfloat16", "norm_adapted",
    "positional_constant", "resize_antialiased", "resize_nearest", "rnn_simple",
    "slice_update", "tf_function",
]  # fmt: skip
"""One of each mechanism. With `SAMPLED`, every line of kvae.export.lowering that any network of the table reaches."""
SAMPLED = [
    "activation_sparsemax", "attention_grouped_query", "cond", "conv_1d_transposed", "conv_depthwise_dilated",
    "conv_transposed_dilated", "conv_transposed_in_the_decoder", "cumulative", "dict_of_outputs", "discretization",
    "embedding", "functional_merged", "functional_unet", "mixed_float16", "norm_group", "pool_adaptive_max",
    "posterior_of_normals", "prior_lower_triangular", "resize_bicubic", "rnn_in_the_decoder", "time_distributed",
]  # fmt: skip
"""Some of each section of the table, others than `QUICK`; the whole table is exhaustive."""
QUICK_REFUSED = ["batch_mean", "counter", "incomplete_gamma", "loop_until_small", "numpy", "random"]
SAMPLED_REFUSED = [
    "batch_norm_in_training", "fourier", "loop_over_the_batch", "py_function", "singular_values", "strings",
]  # fmt: skip
"""Reasons other than those of `QUICK_REFUSED`."""


def sampled(table, names):
    """The names of a table; those that are not chosen are exhaustive."""
    assert set(names) <= set(table)
    return [name if name in names else pytest.param(name, marks=pytest.mark.exhaustive) for name in table]


def agrees(vae):
    """Convert both networks, and compare with Keras in onnxruntime: no operator but ONNX's, no loop, nothing random."""
    made = functions.of(vae)
    tensors = contract(IMAGE_SHAPE, networks.LATENT_DIM, 1)
    z = np.random.default_rng(1).normal(size=(5, networks.LATENT_DIM)).astype(np.float32)
    for name, function, values in (
        ("encoder", made.encode, random_images(5, seed=1)),
        ("decoder", made.decode, z),
    ):
        model = graphs.convert(name, function, tensors[name], getattr(vae, name))
        for node in model.graph.node:
            assert onnx.defs.has(node.op_type, graphs.OPSET) and node.domain == ""
            assert node.op_type not in ("Loop", "Scan") and "Random" not in node.op_type
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for rows in (values, values[:1]):
            expected = function(tf.constant(rows))
            for found, wanted in zip(session.run(None, {session.get_inputs()[0].name: rows}), expected, strict=True):
                np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_list_is_long_enough():
    assert len(networks.EXPORTED) >= 95
    assert len(networks.EXPORTED) + len(networks.REFUSED) >= 103
    assert {*QUICK} <= {*networks.EXPORTED} and {*QUICK_REFUSED} <= {*networks.REFUSED}


@pytest.mark.parametrize("name", QUICK)
def test_each_mechanism_converts_and_agrees_with_keras(name):
    vae = networks.EXPORTED[name]()
    with in_float32(vae):
        agrees(vae)


@pytest.mark.slow
@pytest.mark.parametrize("name", sampled(networks.EXPORTED, SAMPLED))
def test_every_network_exports_and_agrees_with_keras(name, tmp_path):
    vae = networks.EXPORTED[name]()
    bundle = Bundle.open(export(vae, tmp_path / "b", dataset=DATASET).path)
    images = random_images(5, seed=1)
    with in_float32(vae):
        found, expected = bundle.encode(images), vae.encoder(images, training=False)
        np.testing.assert_allclose(found.loc, expected.mean(), atol=1e-5)
        np.testing.assert_allclose(found.scale, expected.stddev() * np.ones_like(found.scale), atol=1e-5)
        likelihood = vae.decoder(tf.constant(found.loc), training=False)
        np.testing.assert_allclose(bundle.decode(found.loc), likelihood.mean(), atol=1e-5)


def is_refused_in_one_line(name, folder):
    make, layer, reason = networks.REFUSED[name]
    vae = make()
    with pytest.raises(NotExportable) as caught:
        export(vae, folder / "b", dataset=DATASET)  # as `check` does
    assert layer in str(caught.value) and reason in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1 and len(caught.value.problems) == 1
    assert list(folder.iterdir()) == []
    return vae


@pytest.mark.parametrize("name", QUICK_REFUSED)
def test_what_cannot_be_exported_is_refused_and_leaves_nothing(name, tmp_path):
    is_refused_in_one_line(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sampled(networks.REFUSED, SAMPLED_REFUSED))
def test_what_is_refused_would_really_fail(name, tmp_path):
    """By tf2onnx alone, without kvae's look at it: no graph, one that cannot run, or one with other results."""
    vae = is_refused_in_one_line(name, tmp_path)
    made = functions.of(vae)
    images = random_images(5, seed=1)
    logging.getLogger("tf2onnx").setLevel(logging.CRITICAL)
    signature = [tf.TensorSpec((None, *IMAGE_SHAPE), tf.float32, "images")]
    try:
        model, _ = tf2onnx.convert.from_function(
            tf.function(made.encode, input_signature=signature), signature, opset=graphs.OPSET
        )
        operators = {node.op_type for node in model.graph.node}
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        found, again, alone = (session.run(None, {"images": rows})[0] for rows in (images, images, images[-1:]))
    except Exception:  # any failure proves it, of TensorFlow's, tf2onnx's or onnxruntime's
        return
    keras = [made.encode(tf.constant(rows))[0] for rows in (images, images)]
    assert (
        operators & {"Loop", "Scan"}
        or not np.allclose(found, again)
        or not np.allclose(found[-1:], alone, atol=1e-5)
        or not all(np.allclose(found, values, atol=1e-5) for values in keras)
    )


def test_the_line_is_the_same_for_a_model_with_two_problems():
    """All layers are named, of both networks, one line each."""
    from keras import layers

    encoder = networks.REFUSED["random"][0]().encoder
    body = [layers.Dense(64), networks.Calls(lambda x: tf.math.igamma(x**2 + 1.0, x**2), name="strange")]
    decoder = networks._in_decoder(*[lambda part=part: part for part in body], lambda: layers.Reshape(IMAGE_SHAPE))()
    vae = networks._vae(encoder, decoder.decoder)
    with pytest.raises(NotExportable) as caught:
        check(vae)
    assert [(problem.network, problem.layer) for problem in caught.value.problems] == [
        ("decoder", "'strange' (Calls)"),
        ("encoder", "'mine' (Calls)"),
    ]
    assert "2 problems" in str(caught.value) and "\n" not in str(caught.value)
    assert isinstance(caught.value, KvaeError)
