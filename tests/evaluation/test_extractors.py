"""The networks of features: the shipped one, a user's graph, the model's encoder, and what is refused."""

import hashlib
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kvae.data import load
from kvae.errors import BundleError, KvaeError
from kvae.evaluation import choose_features, extractors
from kvae.files import shipped
from kvae.runtime.bundle import Bundle

MINI = load("fashion_mnist_mini")
IMAGES = (MINI.test.images / np.float32(255)).astype(np.float32)
OTHERS = replace(MINI, name="others", sha256="0" * 64)


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open("exported/fashion_mnist_small", device="cpu")


def graph(path, shape=("batch", 28, 28, 1), operator="Flatten", outputs=("features",), dtype=TensorProto.FLOAT):
    """A network whose features are the pixels, or the pixels through an operator before they are flattened."""
    nodes = [helper.make_node(operator, ["images"], ["flat" if operator == "Flatten" else "new"])]
    if operator != "Flatten":
        nodes.append(helper.make_node("Flatten", ["new"], ["flat"]))
    nodes += [helper.make_node("Identity", ["flat"], [name]) for name in outputs]
    ends = [helper.make_tensor_value_info(name, dtype, [shape[0], "numbers"]) for name in outputs]
    images = helper.make_tensor_value_info("images", dtype, shape)
    model = helper.make_model(
        helper.make_graph(nodes, "features", [images], ends), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    onnx.save(model, path)
    return path


def test_the_shipped_classifier_is_small_and_right_about_most_test_images():
    found = extractors.shipped_for(MINI)
    path = shipped.folder("kvae", "evaluation", "features") / extractors.SHIPPED
    assert path.stat().st_size < 1_000_000
    assert found.sha256 == extractors.SHIPPED_SHA256 == hashlib.sha256(path.read_bytes()).hexdigest()
    computed = found.compute(IMAGES, None)
    assert computed.features.shape == (500, 64)
    assert np.mean(computed.scores.argmax(axis=1) == MINI.test.labels) > 0.9
    assert found.class_names == MINI.class_names
    np.testing.assert_allclose(found.compute(IMAGES[:3], None).features, computed.features[:3], atol=1e-4)


def test_a_changed_classifier_is_refused(monkeypatch, tmp_path):
    (tmp_path / extractors.SHIPPED).write_bytes(b"other")
    monkeypatch.setattr(extractors.shipped, "folder", lambda *names: tmp_path)
    with pytest.raises(BundleError, match="275e3d060d21.*was changed"):
        extractors.shipped_for(MINI)
    (tmp_path / extractors.SHIPPED).unlink()
    with pytest.raises(BundleError, match="cannot read"):
        extractors.shipped_for(MINI)


def test_other_images_are_described_by_the_model_s_own_encoder(bundle):
    assert extractors.shipped_for(OTHERS) is None
    found = choose_features(bundle, OTHERS)
    assert (found.kind, found.sha256) == ("code", None)
    assert "own encoder" in found.about and "not comparable" in found.about
    np.testing.assert_array_equal(found.compute(IMAGES[:5], None).features, bundle.encode(IMAGES[:5]).loc)


@pytest.mark.parametrize("classes", [None, "logits", "class_probabilities"])
def test_a_user_s_graph_is_run_as_it_is(bundle, tmp_path, classes):
    outputs = ("features",) if classes is None else ("features", classes)
    path = graph(tmp_path / "own.onnx", outputs=outputs)
    found = choose_features(bundle, MINI, path)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    features, scores = found.compute(IMAGES[:300], None)
    np.testing.assert_array_equal(features, IMAGES[:300].reshape(300, -1))
    assert (scores is None) == (classes is None)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"shape": ("batch", 32, 32, 3)}, "32 x 32 x 3, but the model's are 28 x 28 x 1"),
        ({"shape": (4, 28, 28, 1)}, "batches of 4"),
        ({"shape": ("batch", 784)}, "one input, float32 images"),
        ({"dtype": TensorProto.DOUBLE}, "one input, float32 images"),
        ({"outputs": ("codes",)}, "no output named features; it has codes"),
    ],
)
def test_a_graph_that_does_not_fit_is_refused(bundle, tmp_path, settings, reason):
    with pytest.raises(BundleError, match=reason) as raised:
        choose_features(bundle, MINI, graph(tmp_path / "own.onnx", **settings))
    assert "\n" not in str(raised.value)


def test_a_graph_that_is_not_to_be_trusted_or_does_not_exist_is_refused(bundle, tmp_path):
    weights = numpy_helper.from_array(np.zeros(3, np.float32), "w")
    path = graph(tmp_path / "own.onnx", operator="RandomNormalLike")
    with pytest.raises(BundleError, match="draws noise"):
        choose_features(bundle, MINI, path)
    model = onnx.load(graph(path))
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    model.graph.initializer.append(weights)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="in another file"):
        choose_features(bundle, MINI, path)
    with pytest.raises(BundleError, match=r"missing\.onnx"):
        choose_features(bundle, MINI, tmp_path / "missing.onnx")


def test_features_that_are_not_finite_are_an_error(bundle, tmp_path):
    found = choose_features(bundle, MINI, graph(tmp_path / "own.onnx", operator="Log"))
    with pytest.raises(KvaeError, match=r"of \d+ of 500 test images they are not finite"), np.errstate(all="ignore"):
        extractors.check_finite(found.compute(IMAGES, None).features, "test images", found)
