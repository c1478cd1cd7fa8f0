"""Members of format 2 in other precisions and formats."""

import numpy as np
import onnxruntime
import pytest
from family import LABELS, MEMBERS

from kvae.bundle.manifest import Manifest
from kvae.checks import verify
from kvae.conversion import fidelity, graphs
from kvae.conversion.conversion import convert
from kvae.conversion.images import Images
from kvae.errors import KvaeError
from kvae.runtime.bundle import Bundle

SHAPES = {"float16": "onnx", "int8": "ort", "float32": "ort"}


def real_images(labelled, train=50, test=20):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8) for count in (train, test)]
    return Images(*images, *(np.arange(count) % len(LABELS) if labelled else None for count in (train, test)))


@pytest.mark.parametrize("precision", SHAPES)
@pytest.mark.parametrize("name", MEMBERS)
def test_members_are_converted_with_all_graphs(member_path, tmp_path, monkeypatch, name, precision):
    """The prior's graphs keep their weights; all inputs are kept, even those that a network ignores."""
    monkeypatch.setattr(fidelity, "IMPORTANCE_SAMPLES", 4)
    source, labelled = member_path(name), MEMBERS[name].get("labelled", False)
    images = None if precision == "float32" else real_images(labelled)
    found = convert(source, tmp_path / "b", precision, SHAPES[precision], images=images)
    assert found.manifest.tensors == Manifest.read(source).tensors
    assert all(check.status != "failed" for check in verify(found.path).checks if check.name != "parity")
    if precision == "float16":
        assert verify(found.path).passed
    for role, ends in found.manifest.tensors.items():
        session = onnxruntime.InferenceSession(found.path / found.manifest.graph_file(role))
        assert [end.name for end in session.get_inputs()] == [end["name"] for end in ends["inputs"]]
    exact = {"z", "log_prob"} if "prior" in MEMBERS[name] else set()
    assert {output for output, error in found.differences.items() if error == 0.0} >= exact
    assert {*found.differences} == {"mean", "likelihood_parameters", "loc", "scale"} | exact
    original, converted = (Bundle.open(path, device="cpu") for path in (source, found.path))
    np.testing.assert_allclose(converted.sample(20), original.sample(20), atol=0.15)


def test_a_conversion_is_measured_with_the_images_own_labels(member_path):
    bundle = Bundle.open(member_path("labelled"), device="cpu")
    images = real_images(True)
    models = graphs.converted(bundle, "float16", images.train, images.train_labels)
    assert {*models} == {"decoder", "encoder"}
    given = fidelity.inputs(bundle, images.test, images.test_labels)
    for role in ("encoder", "decoder"):
        np.testing.assert_array_equal(given[role]["label"], images.test_labels)
    posterior = bundle.encode(images.test / np.float32(255), images.test_labels)
    noise = (given["decoder"]["z"] - posterior.loc) / posterior.scale
    other = fidelity.inputs(bundle, images.test, 0 * images.test_labels)["decoder"]["z"]
    assert not np.allclose(other, given["decoder"]["z"]) and np.abs(noise).max() < 5


def test_a_ladder_s_codes_are_draws_at_their_own_noise(member_path):
    bundle = Bundle.open(member_path("groups"), device="cpu")
    given = fidelity.inputs(bundle, real_images(False).test)
    posterior = bundle.encode(given["encoder"]["images"], noise=given["encoder"]["noise"])
    drawn = posterior.loc + posterior.scale * given["encoder"]["noise"]
    np.testing.assert_allclose(given["decoder"]["z"], drawn, rtol=1e-6)


@pytest.mark.parametrize(("labels", "found"), [(None, "none"), (np.arange(3), r"shape \(3,\)")])
def test_a_model_with_labels_needs_those_of_the_images(member_path, tmp_path, labels, found):
    images = real_images(True)._replace(test_labels=labels)
    with pytest.raises(KvaeError, match=f"needs one for each of the 20 test images; got {found}"):
        convert(member_path("labelled"), tmp_path / "b", "float16", images=images)
    assert list(tmp_path.iterdir()) == []
