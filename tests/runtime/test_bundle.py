"""The runtime checked against Keras; noise, batches and seeds; and every way in which opening a bundle can fail."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from tiny import DATASET, make_vae, random_images

from kvae.bundle import noise
from kvae.bundle.locate import locate
from kvae.bundle.manifest import contract, sha256
from kvae.errors import BundleError, KvaeError
from kvae.export import bundles
from kvae.runtime import bundle as runtime
from kvae.runtime import sessions
from kvae.runtime.bundle import Bundle


@pytest.fixture
def bundle(bundle_path):
    return Bundle.open(bundle_path)


@pytest.fixture
def copy(bundle_path, tmp_path):
    return shutil.copytree(bundle_path, tmp_path / "copy")


def test_sampling_decodes_the_specified_noise(bundle):
    z = noise.standard_normal(seed=5, start=0, count=9, dim=3)
    expected = make_vae().decoder(tf.constant(0.5 * z)).mean()
    np.testing.assert_allclose(bundle.sample(9, seed=5, temperature=0.5), expected, atol=1e-6)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e300])
def test_codes_that_are_not_finite_are_not_blamed_on_the_graph(bundle, number):
    """float32 has no 1e300."""
    codes = np.zeros((3, bundle.manifest.latent_dim))
    codes[1, 2] = number
    with (
        np.errstate(over="ignore"),
        pytest.raises(KvaeError, match="codes must be finite float32 numbers; got -?(nan|inf)"),
    ):
        bundle.decode(codes)


@pytest.mark.parametrize(
    "values", ["x", [[1.0], [2.0, 3.0]], np.zeros((1, 4), complex), np.full((1, 4), "1"), [[{}] * 4]]
)
def test_what_is_not_an_array_of_real_numbers_is_refused(bundle, values):
    with pytest.raises(KvaeError, match="z must be an array of real numbers"):
        bundle.decode(values)


def test_encoding_and_reconstructing_equal_keras_s(bundle):
    images = random_images(7)
    vae = make_vae()
    posterior = vae.encoder(images)
    found = bundle.encode(images)
    np.testing.assert_allclose(found.loc, posterior.mean(), atol=1e-6)
    np.testing.assert_allclose(found.scale, posterior.stddev(), atol=1e-6)
    np.testing.assert_allclose(bundle.reconstruct(images), vae.predict(images, verbose=0), atol=1e-6)


def test_the_second_output_gives_the_log_likelihood(bundle):
    z, images = noise.standard_normal(0, 0, 4, 3), random_images(4)
    logits = bundle.run("decoder", {"z": z})["likelihood_parameters"]
    expected = make_vae().decoder(tf.constant(z)).log_prob(images)
    np.testing.assert_allclose((images * logits - np.logaddexp(0, logits)).sum(axis=(1, 2, 3)), expected, rtol=1e-5)


def test_the_same_seed_gives_the_same_bytes(bundle_path):
    first, second = (Bundle.open(bundle_path).sample(20, seed=3).tobytes() for _ in range(2))
    assert first == second
    assert Bundle.open(bundle_path).sample(20, seed=4).tobytes() != first


@pytest.mark.parametrize("n", [1, 10, 64, 100])
def test_a_few_samples_are_the_start_of_many(bundle, n):
    np.testing.assert_array_equal(bundle.sample(n, seed=1), bundle.sample(300, seed=1)[:n])
    np.testing.assert_array_equal(bundle.sample(n, seed=1, start=5), bundle.sample(300, seed=1)[5 : 5 + n])


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_batch_size_changes_nothing(bundle, batch_size, monkeypatch):
    expected = bundle.sample(70, seed=1)
    monkeypatch.setattr(runtime, "BATCH_SIZE", batch_size)
    batches = list(bundle.sample_batches(70, seed=1))
    assert max(map(len, batches)) == batch_size
    np.testing.assert_allclose(np.concatenate(batches), expected, atol=1e-6)


def test_temperature_zero_gives_one_image(bundle):
    images = bundle.sample(3, temperature=0.0)
    np.testing.assert_array_equal(images[0], images[2])


def test_a_lone_decoder_explains_itself(bundle, bundle_path, tmp_path):
    lone = Bundle.open(shutil.copy(bundle_path / "decoder.onnx", tmp_path))
    np.testing.assert_array_equal(lone.sample(5), bundle.sample(5))
    with pytest.raises(BundleError, match="no graph 'encoder'"):
        lone.encode(random_images(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"n": 0}, "n must be"), ({"n": -3}, "n must be"), ({"n": 1, "temperature": -1.0}, "temperature must be"),
     ({"n": 1, "temperature": float("nan")}, "temperature must be"), ({"n": 1, "seed": -1}, "seed must be"),
     ({"n": 1, "temperature": 1e39}, "temperature must be"), ({"n": 1, "seed": 1.5}, "seed must be"),
     ({"n": 10**21}, "n must be"), ({"n": None}, "n must be"), ({"n": True}, "n must be"), ({"n": "3"}, "n must be"),
     *(({"n": 1, "temperature": value}, "temperature must be") for value in (None, "1", [1], True, np.ones(2))),
     ({"n": 1, "seed": None}, "seed must be"), ({"n": 1, "start": "0"}, "start must be"),
     ({"n": 2.5}, "n must be"), ({"n": 1, "start": 2**64}, "start must be"),
     ({"n": 2, "start": 2**64 - 1}, "start must be at most 2.64 - 2 for 2 images")],
)  # fmt: skip
def test_arguments_out_of_range(bundle, arguments, message):
    with pytest.raises(KvaeError, match=message):
        bundle.sample(**arguments)


def test_images_of_the_wrong_shape_or_range(bundle):
    with pytest.raises(
        KvaeError, match=r"images must have shape \(batch, 8, 8, 1\), batch at least 1; got \(2, 8, 8\)"
    ):
        bundle.encode(np.zeros((2, 8, 8)))
    with pytest.raises(KvaeError, match=r"images must be in \[0, 1\]; got \[0, 255\]"):
        bundle.encode(np.linspace(0, 255, 64).reshape(1, 8, 8, 1))
    for odd in ([[1.0], [2.0, 3.0]], "text", [["a", "b", "c"]], None):
        with pytest.raises(KvaeError, match="z must"):
            bundle.decode(odd)
    with pytest.raises(KvaeError, match=r"z must have shape \(batch, 3\)"):
        bundle.decode(np.zeros((2, 4)))


def test_a_missing_bundle(tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        Bundle.open(tmp_path / "none")


@pytest.mark.parametrize("name", ["decoder.onnx", "encoder.onnx"])
def test_a_changed_file_is_refused_by_its_hash(copy, name):
    with (copy / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(BundleError, match=f"{name} has sha256"):
        Bundle.open(copy)


def test_a_missing_graph_is_named(copy):
    (copy / "encoder.onnx").unlink()
    with pytest.raises(BundleError, match=r"cannot read .*encoder\.onnx"):
        Bundle.open(copy)


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_a_truncated_graph_is_refused(copy, keep):
    """A lone graph has no hash to check; its bytes show it before onnxruntime reads them."""
    path = copy / "decoder.onnx"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BundleError, match="has 0 bytes|not an ONNX graph, or is cut short"):
        Bundle.open(path)


def test_a_graph_that_onnxruntime_refuses_is_an_error_of_one_line(copy):
    model = onnx.load(copy / "decoder.onnx")
    model.graph.node[0].op_type, model.graph.node[0].name = "Relu", "Nonsense"  # with two inputs
    onnx.save(model, copy / "decoder.onnx")
    with pytest.raises(BundleError, match="onnxruntime cannot load .*Nonsense") as caught:
        Bundle.open(copy / "decoder.onnx")
    assert "\n" not in str(caught.value)


def test_text_in_a_graph_that_is_not_utf_8_is_refused(copy):
    """In metadata and in names, which fail when they are read."""
    content = (copy / "decoder.onnx").read_bytes()
    for old, new in ((b'"dataset"', b'"\xff\xfetaset"'), (b"likelihood_parameters", b"likelihood\xffparameters")):
        assert old in content
        (copy / "lone.onnx").write_bytes(content.replace(old, new))
        with pytest.raises(BundleError, match="onnxruntime cannot load .*can't decode byte"):
            Bundle.open(copy / "lone.onnx")


def evil_decoders(path):
    """The decoder with weights in another file, with a foreign operator, and with a tensor that claims to be larger."""
    outside, foreign, large = (onnx.load(path) for _ in range(3))
    weight = outside.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="secret.bin")
    foreign.graph.node.append(onnx.helper.make_node("Evil", ["z"], ["unused"], domain="com.example"))
    large.graph.initializer[0].dims[0] = 2**40
    return {
        "keeps the tensor .* in another file": outside,
        "com.example Evil is not a standard ONNX operator": foreign,
        "a tensor .* does not fit its shape": large,
    }


@pytest.mark.parametrize("lone", [True, False], ids=["lone graph", "bundle"])
def test_malicious_graphs_are_refused_although_the_hashes_agree(copy, lone):
    for message, model in evil_decoders(copy / "decoder.onnx").items():
        folder = Path(tempfile.mkdtemp(dir=copy.parent)) / "b"
        shutil.copytree(copy, folder)
        (folder / "secret.bin").write_bytes(bytes(10_000))
        (folder / "decoder.onnx").write_bytes(model.SerializeToString())
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["files"]["decoder.onnx"] = sha256(folder / "decoder.onnx")
        (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BundleError, match=message):
            Bundle.open(folder / "decoder.onnx" if lone else folder)


def test_a_path_that_is_not_a_file_is_refused_without_waiting(copy):
    for name in ("decoder.onnx", "manifest.json"):
        content = (copy / name).read_bytes()
        (copy / name).unlink()
        os.mkfifo(copy / name)
        with pytest.raises(BundleError, match=f"cannot read .*{name}: it is not a regular file"):
            Bundle.open(copy)
        (copy / name).unlink()
        (copy / name).write_bytes(content)


def test_a_graph_is_read_in_the_format_of_its_name(copy):
    """A `.ort` graph named `.onnx`, and the other way round."""
    (copy / "lone.ort").write_bytes((copy / "decoder.onnx").read_bytes())
    with pytest.raises(BundleError, match="ORTM"):
        Bundle.open(copy / "lone.ort")
    (copy / "lone.onnx").write_bytes(b"\x20\0\0\0ORTM" + bytes(60))
    with pytest.raises(BundleError, match="not an ONNX graph"):
        Bundle.open(copy / "lone.onnx")


def test_a_graph_that_kvae_did_not_export_is_refused(copy):
    model = onnx.load(copy / "decoder.onnx")
    del model.metadata_props[:]
    onnx.save(model, copy / "decoder.onnx")
    with pytest.raises(BundleError, match="not exported by kvae"):
        Bundle.open(copy / "decoder.onnx")


def test_a_later_format_is_refused(copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format_version": 9}))
    with pytest.raises(BundleError, match="format_version 9"):
        Bundle.open(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"image_shape": [14, 14, 1]},
        {"latent_dim": 8},
        {"latent_dim": 2**16},
        {"likelihood": "other", "likelihood_parameters": ["a", "b"]},
    ],
)
def test_a_manifest_that_does_not_fit_its_graphs_is_refused(copy, changes):
    """In a folder and in a lone graph, even if the manifest's tensors agree with its other fields."""
    manifest = json.loads((copy / "manifest.json").read_text()) | changes
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="'tensors' must be those of format"):
        Bundle.open(copy)
    shape, parameters = manifest["image_shape"], len(manifest["likelihood_parameters"])
    manifest["tensors"] = contract(shape, manifest["latent_dim"], parameters)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="does not fit its manifest"):
        Bundle.open(copy)
    model = onnx.load(copy / "decoder.onnx")
    model.metadata_props[0].value = json.dumps(manifest)
    onnx.save(model, copy / "lone.onnx")
    with pytest.raises(BundleError, match="does not fit its manifest"):
        Bundle.open(copy / "lone.onnx")


def test_a_lone_encoder_encodes_and_does_not_sample(bundle, bundle_path):
    lone = Bundle.open(bundle_path / "encoder.onnx")
    np.testing.assert_array_equal(lone.encode(random_images(2)).loc, bundle.encode(random_images(2)).loc)
    with pytest.raises(BundleError, match="no graph 'decoder'"):
        lone.sample(1)


def test_many_images_are_processed_in_batches(bundle):
    """More images than one call of onnxruntime takes give the same numbers."""
    images = random_images(2 * runtime.BATCH_SIZE + 3)
    whole = bundle.encode(images)
    assert whole.loc.shape == (len(images), 3)
    np.testing.assert_array_equal(whole.scale[-1:], bundle.encode(images[-1:]).scale)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_the_shipped_convolutional_model_does_not_depend_on_the_batch_size(batch_size, monkeypatch):
    bundle = Bundle.open(locate("fashion_mnist"))
    expected = bundle.sample(100)
    monkeypatch.setattr(runtime, "BATCH_SIZE", batch_size)
    np.testing.assert_allclose(bundle.sample(70), expected[:70], atol=1e-6)
    np.testing.assert_array_equal(bundle.sample(10), expected[:10])


def test_cuda_is_strict_without_a_cuda_wheel(bundle_path, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(KvaeError, match="pip install onnxruntime-gpu"):
        _ = Bundle.open(bundle_path, device="cuda").device
    assert Bundle.open(bundle_path, device="auto").device == "cpu"


def test_cuda_is_strict_if_onnxruntime_falls_back(bundle_path, monkeypatch):
    """onnxruntime returns a session on the CPU, without an error, if the CUDA libraries are missing."""
    on_cpu = sessions._session_on
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(
        sessions, "_session_on", lambda module, path, _, threads: on_cpu(module, path, "CPUExecutionProvider", threads)
    )
    with pytest.raises(KvaeError, match="does not start"):
        Bundle.open(bundle_path, device="cuda").sample(1)
    assert Bundle.open(bundle_path, device="auto").sample(1).shape == (1, 8, 8, 1)


def test_an_unknown_device(bundle_path):
    with pytest.raises(KvaeError, match="device must be one of auto, cpu, cuda"):
        Bundle.open(bundle_path, device="tpu")


def test_batches_are_processed_in_parallel_and_returned_in_order(bundle, bundle_path, monkeypatch):
    """The same bytes as from one thread; a consumer that is slow, or stops early, changes nothing."""
    monkeypatch.setenv("KVAE_THREADS", "4")
    alone = Bundle.open(bundle_path, threads=1)
    expected = alone.sample(20 * runtime.BATCH_SIZE + 5, seed=2, start=7)
    np.testing.assert_array_equal(bundle.sample(len(expected), seed=2, start=7), expected)
    batches = list(bundle.sample_batches(len(expected), seed=2, start=7))
    np.testing.assert_array_equal(np.concatenate(batches), expected)
    first = next(iter(bundle.sample_batches(10**12, seed=2, start=7)))
    np.testing.assert_array_equal(first, expected[: runtime.BATCH_SIZE])


def test_an_error_in_a_batch_is_raised(bundle, monkeypatch):
    """In one line, wherever it happens, and the generator ends."""
    monkeypatch.setenv("KVAE_THREADS", "2")
    monkeypatch.setattr(bundle, "_graphs", dict(bundle._graphs))
    batches = bundle.sample_batches(50 * runtime.BATCH_SIZE)  # far more than are in progress when the first one is done
    next(batches)
    monkeypatch.setattr(
        "kvae.bundle.noise.standard_normal", lambda seed, start, count, dim: np.zeros((count, dim + 1), np.float32)
    )
    with pytest.raises(BundleError, match="onnxruntime cannot run"):
        for _ in range(49):
            next(batches)
    with pytest.raises(StopIteration):
        next(batches)


def test_values_that_are_not_contiguous(bundle):
    z = np.asfortranarray(noise.standard_normal(0, 0, 10, 3))
    found = [bundle.run("decoder", {"z": codes}, ["mean"])["mean"] for codes in (z, np.ascontiguousarray(z))]
    np.testing.assert_array_equal(*found)
    assert bundle.run("decoder", {"z": z[::2]}, ["mean"])["mean"].shape == (5, 8, 8, 1)


@pytest.mark.parametrize(
    ("graph", "inputs", "outputs", "fact"),
    [
        ("decoder", {"x": 0}, None, "inputs z; got x"),
        ("decoder", {}, None, "inputs z; got none"),
        ("decoder", {"z": 0, "label": 0}, None, "got z, label"),
        ("decoder", {"z": np.zeros((2, 3))}, ["logits"], "outputs mean, likelihood_parameters; .* got .'logits'"),
        ("encoder", {"images": np.zeros((0, 8, 8, 1))}, None, "batch at least 1"),
        ("decoder", {"z": np.zeros((2, 9))}, None, r"got \(2, 9\)"),
        ("prior", {"noise": 0}, None, "no graph 'prior'"),
    ],
)
def test_a_graph_runs_only_on_its_own_inputs(bundle, graph, inputs, outputs, fact):
    with pytest.raises(KvaeError, match=fact):
        bundle.run(graph, inputs, outputs)


@pytest.mark.parametrize("inputs", [None, "z", [[0.0]], 3])
def test_inputs_that_have_no_names_are_refused(bundle, inputs):
    with pytest.raises(KvaeError, match="inputs of the decoder are a dict of z; got"):
        bundle.run("decoder", inputs)


@pytest.mark.parametrize("outputs", [3, "mean", [["mean"]], [], [None], np.zeros(0), {"mean": 1, 2: 3}])
def test_outputs_that_are_not_a_list_of_names_are_refused(bundle, outputs):
    with pytest.raises(KvaeError, match="has the outputs mean, likelihood_parameters; outputs is a list of some of"):
        bundle.run("decoder", {"z": np.zeros((2, 3))}, outputs)


def test_outputs_are_given_by_any_iterable_and_once_each(bundle):
    for outputs in (["mean"], ("mean", "mean"), iter(["mean"]), np.array(["mean"]), {"mean": 1}):
        assert list(bundle.run("decoder", {"z": np.zeros((2, 3))}, outputs)) == ["mean"]


def test_drawn_pixels_are_bits_whose_probability_is_the_mean(bundle, tmp_path):
    """The sum over 200 images is within 5 standard deviations; each image depends on the seed and its number alone."""
    with pytest.raises(KvaeError, match="a Bernoulli of grey intensities, a surrogate.* would be bits"):
        bundle.sample_batches(2, draw=True)
    bundle = Bundle.open(bundles.export(make_vae(), tmp_path / "b", dataset=DATASET, binarize="dynamic").path)
    means, drawn = bundle.sample(200, seed=3), bundle.sample(200, seed=3, draw=True)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    deviation = np.sqrt((means * (1 - means)).sum(axis=0, dtype=np.float64))
    assert (np.abs((drawn - means).sum(axis=0)) < 5 * deviation).all()
    np.testing.assert_array_equal(bundle.sample(3, seed=3, start=100, draw=True), drawn[100:103])
    np.testing.assert_array_equal(np.concatenate(list(bundle.sample_batches(200, 3, draw=True))), drawn)
    assert (bundle.sample(3, seed=4, draw=True) != drawn[:3]).any()


def test_drawn_pixels_of_an_8_bit_model_are_levels(tmp_path):
    vae = make_vae(likelihood="discretized_logistic")
    bundle = Bundle.open(bundles.export(vae, tmp_path / "b", dataset=DATASET).path)
    drawn, means = (bundle.sample(300, draw=draw).astype(np.float64) for draw in (True, False))
    np.testing.assert_allclose(255 * drawn, np.rint(255 * drawn), atol=1e-4)
    error = drawn.std(axis=0) / np.sqrt(300)
    assert (np.abs(drawn.mean(axis=0) - means.mean(axis=0)) < 5 * error + 1e-3).all()
    assert drawn.std(axis=0).min() > 2 * means.std(axis=0).max()  # an untrained model's images hardly differ
