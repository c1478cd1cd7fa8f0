"""Bundles in other precisions and formats: complete and checked, or not written at all."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny import DATASET, make_vae, random_images

from kvae.bundle import operators, parity
from kvae.bundle.folder import is_bundle
from kvae.bundle.manifest import Manifest, sha256
from kvae.config import LIKELIHOODS
from kvae.conversion import conversion, fidelity, graph_files, precision
from kvae.conversion.conversion import convert
from kvae.conversion.images import Images
from kvae.data import datasets
from kvae.errors import BundleError, DataError, KvaeError
from kvae.export.bundles import export
from kvae.export.graphs import interface
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle


def own_images(count=60, shape=(8, 8, 1)):
    train, test = (np.rint(random_images(count, shape, seed) * 255).astype(np.uint8) for seed in (0, 1))
    return Images(train, test)


@pytest.fixture(scope="module")
def source(run):
    return run.exported.path


@pytest.fixture(scope="module")
def converted(source, tmp_path_factory):
    """The bundle of a real run in each precision and format, by (precision, format)."""
    folder = tmp_path_factory.mktemp("converted")
    pairs = [(p, f) for p in conversion.PRECISIONS for f in conversion.FORMATS if (p, f) != ("float32", "onnx")]
    return {(p, f): convert(source, folder / f"{p}-{f}", p, f) for p, f in pairs}


LOSSY = [(precision, graph_format) for precision in ("float16", "int8") for graph_format in ("onnx", "ort")]
ALL = [("float32", "ort"), *LOSSY]


@pytest.mark.parametrize("pair", ALL, ids=str)
def test_the_manifest_describes_the_graphs(source, converted, pair):
    """Beside the graphs and inside them; facts about the model are carried over."""
    found, path = converted[pair], converted[pair].path
    manifest = Manifest.read(path)
    assert found.manifest == manifest
    assert (manifest.precision, manifest.graph_format) == pair
    assert manifest.files == {file.name: sha256(file) for file in path.iterdir() if file.name != "manifest.json"}
    original = Manifest.read(source)
    changed = {"precision", "graph_format", "conversion", "files", "posterior", "scoring"}
    before, after = (json.loads(each.to_json()) for each in (original, manifest))
    assert {key for key in before if before[key] != after[key]} <= changed
    for name in ("decoder", "encoder"):
        graph = path / manifest.graph_file(name)
        inside = onnxruntime.InferenceSession(str(graph)).get_modelmeta().custom_metadata_map["kvae"]
        assert json.loads(inside) == after | {"files": {}}


@pytest.mark.parametrize("pair", ALL, ids=str)
def test_scores_are_ranked_among_those_of_the_converted_graphs(source, converted, pair):
    """The statistics of training images are measured again, because int8 scores slightly differently."""
    bundle = Bundle.open(converted[pair].path)
    images = datasets.load("fashion_mnist_mini").train.images
    expected = scoring.training_statistics(bundle, images)
    for field, name in (("scoring", "elbo"), ("posterior", "rate")):
        np.testing.assert_allclose(getattr(bundle.manifest, field)[name], expected[field][name], rtol=1e-5)


@pytest.mark.parametrize("pair", ALL, ids=str)
def test_a_bundle_has_all_of_its_files(source, converted, pair):
    path = converted[pair].path
    graphs = {f"{name}.{pair[1]}" for name in ("decoder", "encoder")}
    assert {file.name for file in path.iterdir()} == graphs | {
        file.name for file in source.iterdir() if file.suffix != ".onnx"
    }
    for name in ("reference.npz",) if pair[0] != "float32" else ("reference.npz", "preview.png", "reconstructions.png"):
        assert (path / name).read_bytes() == (source / name).read_bytes()
    card = (path / "README.md").read_text()
    assert f"{pair[0]} weights" in card
    assert f"decoder.{pair[1]}" in card
    assert "![Reconstructions](reconstructions.png)" in card


def test_pictures_show_the_converted_model(source, converted):
    """int8 changes some pixels of the pictures by a grey level or more."""
    for name in ("preview.png", "reconstructions.png"):
        assert (converted["int8", "onnx"].path / name).read_bytes() != (source / name).read_bytes()


@pytest.mark.parametrize("pair", LOSSY, ids=str)
def test_its_cost_is_recorded_and_within_limits(source, converted, pair):
    """Sizes are those of the files, including files that state their own size."""
    manifest, path = converted[pair].manifest, converted[pair].path
    found = manifest.conversion
    names = ("decoder", "encoder")
    assert found["size"] == sum((path / manifest.graph_file(name)).stat().st_size for name in names)
    assert found["float32_size"] == sum((source / f"{name}.onnx").stat().st_size for name in names)
    assert (found["num_images"], found["split"]) == (500, "test")  # all that the mini set has
    assert found["limits"] == parity.LIMITS[pair[0]]
    assert 0 < found["mean_pixel_error"] <= found["limits"]["mean_pixel_error"]
    assert found["mean_pixel_error"] < found["worst_pixel_error"] < 1
    assert abs(found["nll_lost"]["value"]) <= found["limits"]["nll_lost"]
    card = (path / "README.md").read_text()
    assert f"| mean pixel error | {found['mean_pixel_error']:.1e} |" in card


def test_weights_take_a_half_and_a_quarter(source, converted):
    """Of the float32 weights' bytes, plus a few thousand for scales and names."""
    models = [onnx.load(source / f"{name}.onnx") for name in ("decoder", "encoder")]
    weights = [onnx.numpy_helper.to_array(weight) for model in models for weight in model.graph.initializer]
    matrices = sum(array.nbytes for array in weights if array.dtype == np.float32 and array.ndim >= 2)
    for name, share in (("float16", 1 / 2), ("int8", 1 / 4)):
        found = converted[name, "onnx"].manifest.conversion
        saved = found["float32_size"] - found["size"]
        assert (1 - share) * matrices - 40_000 < saved < (1 - share) * matrices + 2_000


@pytest.mark.parametrize("pair", ALL, ids=str)
def test_the_contract_holds(source, converted, pair):
    """Names, float32 inputs and outputs, a dynamic batch, standard operators of the same opset, a manifest in each."""
    path = converted[pair].path
    opset = Manifest.read(path).opset
    tensors = Manifest.read(source).tensors
    bundle = Bundle.open(path, device="cpu")
    for name, graph in bundle.graphs.items():
        operators.check_file(graph, opset)
        if pair[1] == "onnx":
            assert interface(onnx.load(graph)) == tensors[name]
        lone = Bundle.open(graph, device="cpu")
        assert lone.manifest == replace(bundle.manifest, files={})
    sample = bundle.sample(300, seed=1)
    assert sample.min() >= 0 and sample.max() <= 1
    np.testing.assert_allclose(bundle.sample(1, seed=1, start=7)[0], sample[7], atol=1e-5)
    error = np.abs(sample - Bundle.open(source, device="cpu").sample(300, seed=1)).mean()
    assert error <= {"float32": 1e-6, "float16": 1e-3, "int8": 1e-2}[pair[0]]


def test_float32_ort_graphs_equal_the_onnx_graphs(source, converted):
    """Within the tolerance, and also compared with Keras's own reference; the recorded cost is zero."""
    found = converted["float32", "ort"]
    assert found.manifest.conversion is None
    assert set(found.differences) == {"mean", "likelihood_parameters", "loc", "scale"}
    assert max(found.differences.values()) <= parity.TOLERANCE
    bundle = Bundle.open(found.path, device="cpu")
    with np.load(source / "reference.npz") as reference:
        np.testing.assert_allclose(bundle.decode(reference["z"]), reference["mean"], atol=1e-5)
        np.testing.assert_allclose(bundle.encode(reference["images"]).loc, reference["loc"], atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "likelihood"),
    [*((architecture, likelihood) for architecture in ("mlp", "conv") for likelihood in LIKELIHOODS),
     ("gated_mlp", "bernoulli")],
)  # fmt: skip
def test_every_kind_of_model_converts(architecture, likelihood, tmp_path):
    """With colour images of an odd shape; images are passed in, because there is no such data set."""
    shape = (9, 14, 3)
    vae = make_vae(shape, architecture=architecture, likelihood=likelihood)
    source = export(vae, tmp_path / "float32", dataset=DATASET | {"name": "own"}).path
    for to_precision in ("float16", "int8"):
        out = tmp_path / to_precision
        found = convert(source, out, to_precision, images=own_images(20, shape))
        assert found.manifest.conversion["num_images"] == 20
        assert is_bundle(out)
        Bundle.open(out, device="cpu").reconstruct(random_images(3, shape))


def test_only_the_decoder_s_convolutions_are_rounded(tmp_path):
    """Only decoding has to be fast; in the encoder, rounding would cause most of int8's cost."""
    shape = (20, 20, 1)  # large enough for the decoder to have a convolution before its last
    source = export(make_vae(shape, architecture="conv"), tmp_path / "float32", dataset=DATASET).path
    path = convert(source, tmp_path / "out", "int8", images=own_images(60, shape)).path
    for name, rounded in (("decoder", True), ("encoder", False)):
        found = {node.op_type for node in onnx.load(path / f"{name}.onnx").graph.node}
        assert "MatMulInteger" in found
        assert ("QLinearConv" in found) == rounded


def test_a_model_of_binarised_images_is_compared_on_bits(bundle_path, tmp_path, monkeypatch):
    """Grey images are binarised with the fixed pattern; bits are left as they are."""
    source = tmp_path / "bits"
    shutil.copytree(bundle_path, source)
    manifest = replace(Manifest.read(source), binarize="dynamic")
    graph_files.write(source, {name: onnx.load(source / f"{name}.onnx") for name in ("decoder", "encoder")}, manifest)
    seen = []
    monkeypatch.setattr(fidelity, "compare", lambda *given: seen.append(given[2]) or 1 / 0)
    words = np.random.Philox(key=3).random_raw(64)
    threshold = (words >> np.uint64(11)).reshape(8, 8, 1) / 2**53
    grey = own_images()
    bits = np.where(threshold < grey.test / 255, 255, 0).astype(np.uint8)
    for test in (grey.test, bits):
        with pytest.raises(ZeroDivisionError):
            convert(source, tmp_path / "out", "float16", images=Images(grey.train, test))
    np.testing.assert_array_equal(seen[0], bits)
    np.testing.assert_array_equal(seen[1], bits)


# All or nothing


@pytest.mark.parametrize("pair", LOSSY, ids=str)
def test_beyond_a_limit_nothing_is_written(source, tmp_path, monkeypatch, pair):
    monkeypatch.setitem(parity.LIMITS, pair[0], {"mean_pixel_error": 1e-9, "mean_code_error": 1.0, "nll_lost": 1.0})
    with pytest.raises(BundleError, match=f"{pair[0]} costs this model too much: .* more than the 1e-09 allowed"):
        convert(source, tmp_path / "out", *pair)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_conversion_is_refused_and_leaves_the_old_bundle(source, tmp_path, monkeypatch):
    out = tmp_path / "out"
    convert(source, out, "float32", "ort")
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    to_float16 = precision.to_float16

    def doubled(model):
        model = to_float16(model)
        for weight in model.graph.initializer:
            if weight.data_type == onnx.TensorProto.FLOAT16:
                values = onnx.numpy_helper.to_array(weight) * np.float16(2)
                weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        return model

    monkeypatch.setattr(precision, "to_float16", doubled)
    with pytest.raises(BundleError, match="float16 costs this model too much"):
        convert(source, out, "float16")
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert list(tmp_path.iterdir()) == [out]


def test_operators_that_are_not_standard_are_refused(source, tmp_path, monkeypatch):
    def foreign(model):
        model.graph.node[0].domain = "com.microsoft"
        return model

    monkeypatch.setattr(precision, "to_float16", foreign)
    with pytest.raises(BundleError, match="com.microsoft .* is not a standard ONNX operator"):
        convert(source, tmp_path / "out", "float16")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_nothing(source, tmp_path):
    def interrupt(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "out", "float16", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_graphs_whose_size_does_not_settle_are_refused(bundle_path, tmp_path, monkeypatch):
    sizes = iter(range(100, 200))
    monkeypatch.setattr(fidelity, "size", lambda bundle: next(sizes))
    with pytest.raises(BundleError, match="the graphs' size does not settle"):
        convert(bundle_path, tmp_path / "out", "float16", images=own_images())
    assert list(tmp_path.iterdir()) == []


def test_a_second_export_replaces_the_first(source, tmp_path):
    convert(source, tmp_path / "out", "float32", "ort")
    convert(source, tmp_path / "out", "float16")
    assert Manifest.read(tmp_path / "out").precision == "float16"
    assert not (tmp_path / "out" / "decoder.ort").exists()
    assert is_bundle(tmp_path / "out")


def test_a_foreign_folder_is_left_alone(source, tmp_path):
    (tmp_path / "thesis.tex").write_text("all of it")
    with pytest.raises(KvaeError, match="exists and is not a bundle"):
        convert(source, tmp_path, "float16")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


# What is refused


def test_unknown_precisions_and_formats_are_refused(source, tmp_path):
    with pytest.raises(KvaeError, match="precision must be one of float32, float16, int8; got 'int4'"):
        convert(source, tmp_path / "out", "int4")
    with pytest.raises(KvaeError, match="format must be one of onnx, ort; got 'gguf'"):
        convert(source, tmp_path / "out", "int8", "gguf")


def test_there_must_be_something_to_convert(source, converted, tmp_path):
    with pytest.raises(BundleError, match="is already a float32 ONNX bundle: .*--precision or --format"):
        convert(source, tmp_path / "out")
    for pair in (("int8", "onnx"), ("float32", "ort")):
        with pytest.raises(BundleError, match=f"holds {pair[0]} graphs in the format {pair[1]}; convert the float32 "):
            convert(converted[pair].path, tmp_path / "out", "float16")


def test_a_bundle_is_not_converted_onto_itself(bundle_path):
    with pytest.raises(KvaeError, match="is the source bundle, which would be overwritten"):
        convert(bundle_path, bundle_path / ".." / bundle_path.name, "float16", images=own_images())
    assert Manifest.read(bundle_path).precision == "float32"


def test_a_lone_graph_or_a_folder_that_is_not_a_bundle_is_refused(bundle_path, tmp_path):
    with pytest.raises(BundleError, match="is a lone graph; name the bundle's folder"):
        convert(bundle_path / "decoder.onnx", tmp_path / "out", "float16")
    with pytest.raises(BundleError, match=r"is not a bundle: .* manifest\.json"):
        convert(tmp_path, tmp_path / "out", "float16")
    with pytest.raises(BundleError, match="does not exist"):
        convert(tmp_path / "nothing", tmp_path / "out", "float16")


@pytest.mark.parametrize("name", ["decoder.onnx", "reference.npz"])
def test_a_changed_file_is_not_carried_over(bundle_path, tmp_path, name):
    source = tmp_path / "source"
    shutil.copytree(bundle_path, source)
    with (source / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=f"{name} .*changed"):
        convert(source, tmp_path / "out", "float16", images=own_images())
    assert not (tmp_path / "out").exists()


def test_a_data_set_that_differs_from_the_bundle_s_is_refused(bundle_path, tmp_path):
    """The tiny bundle's hash is all zeros; float32 needs no data."""
    for name in ("float16", "int8"):
        with pytest.raises(DataError, match="the model was trained on a different fashion_mnist_mini"):
            convert(bundle_path, tmp_path / "out", name)
    convert(bundle_path, tmp_path / "out", "float32", "ort")


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(
    "array",
    [random_images(5), np.zeros((5, 8, 9, 1), np.uint8), np.zeros((1, 8, 8, 1), np.uint8)],
    ids=["floats", "another shape", "one"],
)
def test_images_of_another_kind_are_refused(bundle_path, tmp_path, part, array):
    with pytest.raises(KvaeError, match=rf"{part} images must be uint8 \(n, 8, 8, 1\), n at least 2; got "):
        convert(bundle_path, tmp_path / "out", "int8", images=own_images()._replace(**{part: array}))
    assert list(tmp_path.iterdir()) == []


def test_converting_does_not_load_tensorflow():
    code = "import sys, kvae.conversion.conversion, kvae.cli.export; print({'tensorflow', 'keras'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
