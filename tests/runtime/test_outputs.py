"""What a graph computes is checked against the contract, whoever asks, and nothing is written if it is not kept."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import helper
from strange_graphs import constant, decoder, encoder, manifest, write_bundle, write_lone

from kvae.cli.main import main
from kvae.errors import BundleError
from kvae.runtime import Bundle, outputs

node = helper.make_node
ZERO = [node("Sub", ["z", "z"], ["zero"])]
MEANS = {
    "nan": [constant("k", np.nan), node("Mul", ["z", "k"], ["flat"])],
    "inf": [constant("k", np.inf), node("Exp", ["z"], ["e"]), node("Mul", ["e", "k"], ["flat"])],
    "7.5": [constant("k", 7.5), *ZERO, node("Add", ["zero", "k"], ["flat"])],
    "-0.1": [constant("k", -0.1), *ZERO, node("Add", ["zero", "k"], ["flat"])],
    "1.001": [constant("k", 1.001), *ZERO, node("Add", ["zero", "k"], ["flat"])],
}


@pytest.mark.parametrize("suffix", ["onnx", "ort"])
@pytest.mark.parametrize("value", MEANS)
def test_a_mean_outside_of_0_to_1_is_one_line_and_nothing_is_written(tmp_path, value, suffix):
    path = write_lone(decoder(*MEANS[value]), tmp_path / f"lone.{suffix}")
    for out in ("x.npy", "x.png", "folder"):
        result = CliRunner().invoke(main, ["sample", "--model", str(path), "--n", "3", "--out", str(tmp_path / out)])
        assert result.exit_code == 1
        assert f"it is {value}" in result.output
        assert result.output.count("\n") == 1
        assert not (tmp_path / out).exists()


def test_every_way_to_a_decoder_s_output_is_checked(tmp_path):
    bundle = Bundle.open(write_lone(decoder(*MEANS["7.5"]), tmp_path / "lone.onnx"), device="cpu")
    for call in (
        lambda: bundle.sample(1),
        lambda: list(bundle.sample_batches(300)),
        lambda: bundle.decode(np.zeros((1, 4))),
        lambda: bundle.run("decoder", {"z": np.zeros((1, 4))}),
    ):
        with pytest.raises(BundleError, match=r"mean must be in \[0, 1\]; it is 7.5"):
            call()


def test_one_pixel_of_one_image_of_many_is_found(tmp_path):
    """Only z above 3 in the first dimension, some draws in a thousand, gives a pixel of 2."""
    nodes = [
        constant("three", 3.0),
        node("Greater", ["z", "three"], ["g"]),
        node("Cast", ["g"], ["f"], to=1),
        node("Add", ["f", "f"], ["flat"]),
    ]
    bundle = Bundle.open(write_lone(decoder(*nodes), tmp_path / "lone.onnx"), device="cpu")
    bundle.decode(np.zeros((500, 4)))
    with pytest.raises(BundleError, match="it is 2"):
        bundle.sample(2000)


def test_rounding_is_clipped(tmp_path):
    """A pixel that is above 1, or below 0, by less than a level of any picture becomes 1 or 0."""
    for value, clipped in ((1.00005, 1.0), (-0.00005, 0.0)):
        graph = decoder(constant("k", value), *ZERO, node("Add", ["zero", "k"], ["flat"]))
        images = Bundle.open(write_lone(graph, tmp_path / "lone.onnx"), device="cpu").sample(2)
        np.testing.assert_array_equal(images, clipped)
    assert outputs.ROUNDING < 0.5 / 255


ENCODERS = {
    "loc must be finite; it is nan": [constant("k", np.nan), node("Mul", ["flat", "k"], ["loc"]), "ones"],
    "loc must be finite; it is inf": [constant("k", np.inf), node("Exp", ["flat"], ["e"]), "times", "ones"],
    "scale must be above 0; it is 0": [node("Sub", ["flat", "flat"], ["loc"]), node("Identity", ["loc"], ["scale"])],
    "scale must be above 0; it is -1": [
        constant("one", -1.0), node("Sub", ["flat", "flat"], ["loc"]), node("Add", ["loc", "one"], ["scale"])
    ],
    "scale must be finite; it is nan": [
        constant("k", np.nan), node("Sub", ["flat", "flat"], ["loc"]), node("Mul", ["loc", "k"], ["scale"])
    ],
}  # fmt: skip
SHORT = {
    "ones": [node("Sub", ["flat", "flat"], ["none"]), node("Exp", ["none"], ["scale"])],
    "times": [node("Mul", ["e", "k"], ["loc"])],
}


@pytest.mark.parametrize("message", ENCODERS)
def test_posteriors_must_be_ones(tmp_path, message):
    nodes = [part for each in ENCODERS[message] for part in (SHORT[each] if isinstance(each, str) else [each])]
    bundle = Bundle.open(write_bundle(tmp_path / "b", encoder_model=encoder(*nodes)), device="cpu")
    with pytest.raises(BundleError, match=message):
        bundle.encode(np.full((1, 2, 2, 1), 0.5))
    np.save(tmp_path / "images.npy", np.full((3, 2, 2, 1), 128, np.uint8))
    for verb in ("score", "reconstruct", "encode"):
        out = ["--out", str(tmp_path / "o.npz")] if verb != "score" else ["--json"]
        result = CliRunner().invoke(main, [verb, "--model", str(tmp_path / "b"), str(tmp_path / "images.npy"), *out])
        assert result.exit_code == 1
        assert message in result.output
        assert "NaN" not in result.output
        assert not (tmp_path / "o.npz").exists()


def test_a_likelihood_s_scale_must_be_positive(tmp_path):
    known = manifest(
        likelihood="normal",
        likelihood_parameters=["loc", "scale"],
        tensors=json.loads(manifest().to_json())["tensors"],
    )
    parameters = np.ones((3, 2, 2, 2), np.float32)
    outputs.check(tmp_path, known, {"likelihood_parameters": parameters})
    parameters[..., 0] = -5.0  # a loc may be anything
    outputs.check(tmp_path, known, {"likelihood_parameters": parameters})
    parameters[1, 1, 0, 1] = 0.0
    with pytest.raises(BundleError, match="the scale in likelihood_parameters must be above 0; it is 0"):
        outputs.check(tmp_path, known, {"likelihood_parameters": parameters})
    parameters[1, 1, 0, 1] = np.nan
    with pytest.raises(BundleError, match="likelihood_parameters must be finite"):
        outputs.check(tmp_path, known, {"likelihood_parameters": parameters})


def test_another_shape_or_batch_is_one_line(tmp_path):
    """Shapes that only the values decide, so that no declaration contradicts them."""
    for name, shape in (("batch", [-1, 2, 2, 1]), ("shape", [-1, 4, 1, 1])):
        graph = decoder(node("Sigmoid", ["z"], ["flat"]))
        graph.graph.node[-1].CopyFrom(node("Reshape", ["flat", "s"], ["likelihood_parameters"]))
        graph.graph.node[-2].CopyFrom(node("Reshape", ["twice", "u"], ["mean"]))
        parts = ["z", "z"] if name == "batch" else ["z"]
        graph.graph.node.insert(0, node("Concat", parts, ["twice"], axis=0))
        graph.graph.node.insert(0, constant("u0", shape, np.int64))
        graph.graph.node.insert(1, node("Abs", ["u0"], ["u1"]))
        graph.graph.node.insert(2, constant("sign", [-1, 1, 1, 1], np.int64))
        graph.graph.node.insert(3, node("Mul", ["u1", "sign"], ["u"]))
        graph.graph.node.insert(4, constant("s", [-1, 2, 2, 1], np.int64))
        with pytest.raises(BundleError, match="cannot run|does not fit") as caught:
            Bundle.open(write_lone(graph, tmp_path / "lone.onnx"), device="cpu").sample(3)
        assert "\n" not in str(caught.value)
