"""The manifest: to JSON and back, and every way in which it can be wrong."""

import json
from dataclasses import replace

import numpy as np
import pytest
import strange_graphs

from kvae.bundle.manifest import Manifest, contract
from kvae.errors import BundleError
from kvae.runtime import Bundle

POSTERIOR = {"num_images": 9} | dict.fromkeys(("loc_mean", "loc_std", "scale_mean", "rate"), [0.5, 1, 2])
SCORING = {"num_images": 9, "draws": 10, "seed": 0, "percents": [0, 50, 60, 100], "elbo": [-5, -4, -4, -2]}
CONVERSION = {
    "num_images": 9, "split": "test",
    "worst_pixel_error": 0.5, "mean_pixel_error": 0.1, "mean_code_error": 0.1, "size": 5, "float32_size": 9,
    "nll_lost": {"value": 0.5, "standard_error": 0.1}, "speed": 1.1,
    "limits": {"mean_pixel_error": 1, "mean_code_error": 1, "nll_lost": 1},
}  # fmt: skip


@pytest.fixture
def values(bundle_path):
    return json.loads((bundle_path / "manifest.json").read_text())


def test_round_trip(bundle_path):
    manifest = Manifest.read(bundle_path)
    assert Manifest.from_json(manifest.to_json(), "text") == manifest


def test_the_manifest_in_a_graph_has_no_hashes(bundle_path):
    manifest = Manifest.read(bundle_path)
    assert set(manifest.files) == {"README.md", "decoder.onnx", "encoder.onnx", "preview.png", "reference.npz"}
    assert Manifest.from_json(manifest.for_graph(), "graph").files == {}


def test_a_later_format_is_refused_whatever_else_it_holds():
    with pytest.raises(BundleError, match="format_version 3; .* up to 2"):
        Manifest.from_json('{"format_version": 3}', "m.json")


def test_unknown_fields_of_a_later_kvae_are_ignored(values):
    assert Manifest.from_json(json.dumps(values | {"colour": "blue"}), "m.json").latent_dim == 3


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[1]", b"{}", b'{"format_version": "1"}', b"[" * 100_000])
def test_text_that_is_not_a_manifest_is_refused(text):
    with pytest.raises(BundleError, match=r"m\.json is not"):
        Manifest.from_json(text, "m.json")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latent_dim", 0),
        ("latent_dim", True),
        ("image_shape", [28, 28]),
        ("image_shape", [28, 28, -1]),
        ("prior", "mixture"),
        ("likelihood", None),
        ("tensors", []),
        ("tensors", {}),
        ("tensors", {"../../x": {}}),
        ("tensors", {"decoder": {}}),
        ("dataset", {}),
        ("dataset", {"name": "x", "sha256": "0", "num_images": "many"}),
        ("metrics", {"elbo": 3}),
        ("metrics", {"elbo": {"value": float("nan"), "standard_error": 1}}),
        ("format_version", 0),
        ("files", {"../../etc/passwd": "0" * 64}),
        ("files", {"decoder.onnx": 3}),
        ("labels", "all"),
        ("binarize", "static"),
        ("binarize", True),
        ("binarize", None),
        ("binarize", []),
        ("metrics", []),
        ("graph_format", "tflite"),
        ("graph_format", ["onnx"]),
        ("parity", {}),
        ("parity", {"tolerance": 1e-5, "errors": {"mean": "small"}}),
        ("posterior", []),
        ("posterior", POSTERIOR | {"num_images": 0}),
        ("posterior", POSTERIOR | {"rate": [1, 2, None]}),
        ("scoring", SCORING | {"percents": [0, 60, 50, 100]}),
        ("scoring", SCORING | {"elbo": [-5, -4, -2]}),
        ("scoring", SCORING | {"percents": [0, 50, 60, 99]}),
        ("scoring", SCORING | {"percents": [], "elbo": []}),
        ("scoring", SCORING | {"seed": -1}),
        ("scoring", SCORING | {"draws": 0}),
        ("scoring", SCORING | {"draws": 10_001}),
        ("kvae_version", "0.1\0"),
        ("kvae_version", "\ud800"),
        ("files", {"..": "0" * 64}),
        ("files", {"a\0b": "0" * 64}),
        ("scoring", SCORING | {"elbo": [-5, -4, float("inf"), 1]}),
        ("conversion", {}),
        ("conversion", CONVERSION | {"nll_lost": 0.5}),
        ("conversion", CONVERSION | {"limits": {"mean_pixel_error": 0.01}}),
        ("conversion", CONVERSION | {"size": 1.5}),
        ("image_shape", [2**12, 2**11, 1]),
        ("image_shape", [2**70, 1, 1]),
        ("latent_dim", 2**16 + 1),
        ("latent_dim", 10**400),
        ("latent_dim", 3.0),
        ("likelihood_parameters", []),
        ("likelihood_parameters", ["p"] * 17),
        ("opset", 10**9),
        ("labels", ["name"] * 1001),
        ("kvae_version", "\x1b[2J"),
        ("kvae_version", "0" * 10_001),
        ("dataset", {"name": "x", "sha256": "0", "num_images": 2**70}),
        ("metrics", {"elbo\0": {"value": 1, "standard_error": 1}}),
        ("metrics", {str(index): {"value": 1, "standard_error": 1} for index in range(1001)}),
        ("metrics", {"elbo": {"value": 10**301, "standard_error": 1}}),
        ("metrics", {"elbo": {"value": 10**2000, "standard_error": 1}}),
        ("posterior", POSTERIOR | {"loc_std": [1, 2, float("-inf")]}),
        ("pixel_range", [False, True]),
        ("training", []),
        ("training", {"beta": float("nan")}),
        ("training", {"model": "conv"}),
        ("training", {"model": {"units": {"deep": 1}}}),
        ("training", {"data": "\x1b[2J"}),
        ("files", {"decoder.onnx": "0"}),
        ("files", {"decoder.onnx": "G" * 64}),
        ("files", {"/etc/passwd": "0" * 64}),
        ("files", {"a/../b": "0" * 64}),
        ("files", {"a\\b": "0" * 64}),
        ("files", {"c:b": "0" * 64}),
        ("files", {"": "0" * 64}),
        ("files", {".": "0" * 64}),
        ("files", {"x" * 256: "0" * 64}),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(values, field, value):
    with pytest.raises(BundleError, match=f"'{field}' must be"):
        Manifest.from_json(json.dumps(values | {field: value}), "m.json")


def test_the_largest_values_are_accepted(values):
    shape, latent_dim = [2**11, 2**11, 1], 2**16
    wide = {"image_shape": shape, "latent_dim": latent_dim, "tensors": contract(shape, latent_dim, 1)}
    assert Manifest.from_json(json.dumps(values | wide), "m.json").latent_dim == latent_dim


def test_sizes_are_integers_whatever_the_json_calls_them(values):
    """JSON has only one type of number: 3.0 equals 3, and in Python True equals 1, but neither is a size for numpy."""
    values["tensors"]["decoder"]["inputs"][0]["shape"][1] = 3.0
    values["tensors"]["decoder"]["outputs"][0]["shape"][3] = True
    tensors = Manifest.from_json(json.dumps(values), "m.json").tensors
    sizes = [size for ends in tensors.values() for end in ends.values() for tensor in end for size in tensor["shape"]]
    assert {type(size) for size in sizes} == {str, int}
    assert tensors == contract([8, 8, 1], 3, 1)


def test_settings_may_have_any_type_of_json(values):
    training = {"beta": 1, "data": None, "jit": "auto", "sizes": [8, 8.5], "model": {"units": 3, "wide": True}}
    assert Manifest.from_json(json.dumps(values | {"training": training}), "m.json").training == training


@pytest.mark.parametrize(
    ("field", "deep"),
    [("training", '{"a":' * 30 + "1" + "}" * 30), ("colour", "[" * 500 + "]" * 500), ("labels", "[" * 900 + "]" * 900)],
)
def test_deep_nesting_is_refused(values, field, deep):
    """Even in a field that is ignored."""
    text = json.dumps(values | {field: "@"}).replace('"@"', deep)
    with pytest.raises(BundleError, match="more than 20 deep"):
        Manifest.from_json(text, "m.json")


def test_a_duplicate_name_is_refused(values):
    """Readers differ on which of the two values they use."""
    text = json.dumps(values)
    for twice in ('{"latent_dim": 3, ' + text[1:], text.replace('"name":', '"name": "x", "name":', 1)):
        with pytest.raises(BundleError, match="not valid JSON .*same name twice"):
            Manifest.from_json(twice, "m.json")


def test_endless_numbers_are_refused(values):
    text = json.dumps(values | {"latent_dim": "@"}).replace('"@"', "9" * 5000)
    with pytest.raises(BundleError, match="not valid JSON .*4300 digits") as caught:
        Manifest.from_json(text, "m.json")
    assert "\n" not in str(caught.value)


def test_a_file_too_large_is_not_read(tmp_path):
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(2**40)  # a sparse file, which takes no disk space, but would take a terabyte of memory
    with pytest.raises(BundleError, match="has more than 8,388,608 bytes"):
        Manifest.read(tmp_path)


def test_statistics_of_the_data_are_read(values):
    known = {"posterior": POSTERIOR, "scoring": SCORING, "conversion": CONVERSION}
    manifest = Manifest.from_json(json.dumps(values | known), "m.json")
    assert {name: getattr(manifest, name) for name in known} == known


def test_statistics_of_another_latent_dim_are_refused(values):
    posterior = POSTERIOR | {"rate": [0.5, 1]}
    with pytest.raises(BundleError, match="'posterior' must have latent_dim numbers"):
        Manifest.from_json(json.dumps(values | {"posterior": posterior}), "m.json")


def test_fields_that_the_first_bundles_lack_have_defaults(values):
    later = ("graph_format", "parity", "posterior", "scoring", "conversion")
    for name in later:
        del values[name]
    manifest = Manifest.from_json(json.dumps(values), "m.json")
    assert [getattr(manifest, name) for name in later] == ["onnx", None, None, None, None]
    assert manifest.graph_file("decoder") == "decoder.onnx"


def test_a_missing_field_is_named(values):
    del values["likelihood"]
    with pytest.raises(BundleError, match="lacks the field 'likelihood'"):
        Manifest.from_json(json.dumps(values), "m.json")


def test_a_bundle_from_before_binarisation_is_for_images_as_they_are(values):
    """The first versions wrote format 1 without the field."""
    del values["binarize"]
    assert Manifest.from_json(json.dumps(values), "m.json").binarize == "none"


@pytest.mark.parametrize("binarize", ["none", "dynamic"])
def test_the_manifest_says_whether_the_model_is_for_bits(values, binarize):
    manifest = Manifest.from_json(json.dumps(values | {"binarize": binarize}), "m.json")
    assert manifest.binarize == binarize
    assert json.loads(manifest.for_graph())["binarize"] == binarize


def test_a_model_is_for_images_as_they_are_by_default(bundle_path):
    """Exported without `binarize`."""
    assert Manifest.read(bundle_path).binarize == "none"


def test_a_folder_without_a_manifest_is_not_a_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"is not a bundle: .* manifest\.json"):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"likelihood": "normal"}, "the likelihood normal has the parameters loc, scale; got .*logits"),
        ({"likelihood_parameters": ["probs"]}, "the likelihood bernoulli has the parameters logits; got .*probs"),
        ({"likelihood": "normal", "likelihood_parameters": ["scale", "loc"]}, "has the parameters loc, scale; got"),
        ({"likelihood": "continuous_bernoulli", "binarize": "dynamic"}, "continuous_bernoulli is not for bits"),
        ({"likelihood_parameters": ["logits", "logits"]}, "'tensors' must be|has the parameters logits"),
        ({"latent_dim": 4}, "'tensors' must be those of format"),
        ({"image_shape": [8, 8, 3]}, "'tensors' must be those of format"),
        ({"metrics": {"elbo": {"value": float("nan"), "standard_error": 1.0}}}, "'metrics' must be"),
        ({"metrics": {"elbo": {"value": float("inf"), "standard_error": 1.0}}}, "'metrics' must be"),
        ({"metrics": {"elbo": 1e999}}, "'metrics' must be"),
        ({"files": {"decoder.onnx": "0" * 63}}, "'files' must be"),
        ({"files": {"../decoder.onnx": "0" * 64}}, "'files' must be"),
    ],
)
def test_fields_that_contradict_each_other_are_one_line(values, changes, message):
    changed = dict(values) | changes
    if "likelihood_parameters" in changes and len(changes["likelihood_parameters"]) == 2 and "likelihood" in changes:
        changed["tensors"] = contract(changed["image_shape"], changed["latent_dim"], 2)
    with pytest.raises(BundleError, match=message) as caught:
        Manifest.from_json(json.dumps(changed), "m.json")
    assert "\n" not in str(caught.value)


def test_a_likelihood_that_this_kvae_does_not_know_is_read(values):
    assert Manifest.from_json(json.dumps(dict(values) | {"likelihood": "of the future"}), "m.json").latent_dim == 3


@pytest.mark.parametrize("graph", ["decoder", "encoder"])
@pytest.mark.parametrize("suffix", ["onnx", "ort"])
def test_the_manifest_in_a_graph_and_beside_it_must_agree(tmp_path, graph, suffix):
    """A dataset's name in one of them is enough, in either graph; `files` is not compared."""
    known = strange_graphs.manifest(graph_format=suffix)
    other = replace(known, dataset=known.dataset | {"name": "another"}, metrics={})
    make = getattr(strange_graphs, graph)
    models = {f"{graph}_model": make(known=known, metadata=other.for_graph())}
    path = strange_graphs.write_bundle(tmp_path / "b", **models, known=known)
    with pytest.raises(BundleError, match=f"{graph}.{suffix}: its embedded manifest differs .* in dataset") as caught:
        bundle = Bundle.open(path, device="cpu")
        bundle.encode(np.zeros((1, 2, 2, 1)))
    assert "\n" not in str(caught.value)
    spaced = json.dumps(json.loads(known.for_graph()), indent=1)  # the same in other words
    models = {f"{graph}_model": make(known=known, metadata=spaced)}
    path = strange_graphs.write_bundle(tmp_path / "c", **models, known=known)
    Bundle.open(path, device="cpu").encode(np.zeros((1, 2, 2, 1)))


def test_a_graph_in_a_bundle_needs_a_manifest_of_its_own(tmp_path):
    graph = strange_graphs.decoder()
    del graph.metadata_props[:]
    with pytest.raises(BundleError, match="was not exported by kvae"):
        Bundle.open(strange_graphs.write_bundle(tmp_path / "b", graph), device="cpu")
