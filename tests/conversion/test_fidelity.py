"""The cost of a precision: figures recomputed independently, and each limit."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from tiny import random_images

from kvae.bundle import parity
from kvae.bundle.folder import write_manifest
from kvae.bundle.manifest import METADATA_KEY, Manifest
from kvae.conversion import fidelity
from kvae.errors import BundleError
from kvae.evaluation.data import test_images as images_of_the_test_split
from kvae.runtime import importance
from kvae.runtime.bundle import Bundle

COUNT = 40


@pytest.fixture(scope="module")
def original(run):
    return Bundle.open(run.exported.path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def images(original):
    return images_of_the_test_split(original.manifest)[:COUNT]


def altered(original, folder, alter, precision="float16"):
    """The bundle with each matrix and vector of its graphs changed, as if in another precision."""
    manifest = replace(original.manifest, precision=precision)
    folder.mkdir()
    for name, path in original.graphs.items():
        model = onnx.load(path)
        for weight in model.graph.initializer:
            if weight.data_type == onnx.TensorProto.FLOAT and weight.dims:
                values = alter(name, onnx.numpy_helper.to_array(weight))
                weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weight.name))
        del model.metadata_props[:]
        model.metadata_props.add(key=METADATA_KEY, value=manifest.for_graph())
        onnx.save(model, folder / path.name)
    write_manifest(folder, manifest)
    return Bundle.open(folder, device="cpu", threads=1)


@pytest.fixture(scope="module")
def rounded(original, tmp_path_factory):
    """Weights rounded to steps of 1/64: worse than any supported precision."""
    folder = tmp_path_factory.mktemp("fidelity") / "rounded"
    return altered(original, folder, lambda name, values: np.rint(values * 64) / 64, precision="int8")


def session(bundle, name):
    return onnxruntime.InferenceSession(str(bundle.graphs[name]), providers=["CPUExecutionProvider"])


def test_pixel_errors_are_those_of_real_codes(original, rounded, images):
    """The worst and the mean over draws from the float32 posterior, using only onnxruntime and numpy."""
    found = fidelity.compare(original, rounded, images)
    loc, scale = session(original, "encoder").run(["loc", "scale"], {"images": images / np.float32(255)})
    words = np.stack([np.random.Philox(key=0, counter=row).random_raw(4) for row in range(COUNT)])  # latent_dim is 4
    u = ((words[:, ::2] >> np.uint64(11)) + 1.0) / 2**53
    v = (words[:, 1::2] >> np.uint64(11)) / 2**53
    radius = np.sqrt(-2 * np.log(u))
    noise = np.stack([radius * np.cos(2 * np.pi * v), radius * np.sin(2 * np.pi * v)], axis=2).reshape(COUNT, 4)
    z = (loc + scale * noise).astype(np.float32)
    means = [session(bundle, "decoder").run(["mean"], {"z": z})[0].astype(np.float64) for bundle in (original, rounded)]
    errors = np.abs(means[0] - means[1])
    assert found["worst_pixel_error"] == pytest.approx(errors.max(), rel=1e-3)
    assert found["mean_pixel_error"] == pytest.approx(errors.mean(), rel=1e-3)
    assert found["mean_pixel_error"] > 1e-4


def nll(bundle, images):
    """-log of each image's mean weight, computed directly for a Bernoulli likelihood, with importance.py's noise."""
    pixels = images.astype(np.float64) / 255
    loc, scale = session(bundle, "encoder").run(["loc", "scale"], {"images": pixels.astype(np.float32)})
    noise = importance.draws(fidelity.SEED, range(len(images)), 0, fidelity.IMPORTANCE_SAMPLES, 4)
    z = loc[:, None] + scale[:, None] * noise
    decode = session(bundle, "decoder")
    values = []
    for index, image in enumerate(pixels):
        (logits,) = decode.run(["likelihood_parameters"], {"z": z[index]})
        logits = logits.astype(np.float64)
        log_p = np.sum(image * logits - np.logaddexp(0, logits), axis=(1, 2, 3))
        log_prior = -0.5 * np.sum(z[index].astype(np.float64) ** 2, axis=1)
        log_q = np.sum(-0.5 * noise[index].astype(np.float64) ** 2 - np.log(scale[index]), axis=1)
        values.append(-np.logaddexp.reduce(log_p + log_prior - log_q) + np.log(len(log_p)))
    return np.array(values)


def test_the_nll_lost_is_paired_and_uses_each_model_s_own_encoder(original, rounded, images):
    found = fidelity.compare(original, rounded, images)["nll_lost"]
    lost = nll(rounded, images) - nll(original, images)
    assert found["value"] == pytest.approx(lost.mean(), abs=1e-3)
    assert found["standard_error"] == pytest.approx(lost.std(ddof=1) / np.sqrt(COUNT), abs=1e-3)
    assert found["standard_error"] > 0


def test_the_other_fields_say_what_was_compared(original, rounded, images):
    """The same weights in the same graphs have the same size and about the same speed: within 5x on a busy machine."""
    found = fidelity.compare(original, rounded, images)
    assert (found["num_images"], found["split"], found["limits"]) == (COUNT, "test", parity.LIMITS["int8"])
    assert found["float32_size"] == sum(path.stat().st_size for path in original.graphs.values())
    assert 0.2 < found["speed"] < 5
    Manifest.from_json(replace(rounded.manifest, conversion=found | {"size": 1}).to_json(), "it")


def test_speed_compares_the_fastest_rounds_after_the_first(monkeypatch):
    """With a fake clock: 2 s against 5 s is 2.5 times as fast; the first round does not count."""
    now = 0.0

    class Decoder:
        def __init__(self, *seconds):
            self.seconds = iter(seconds)

        def run(self, graph, inputs, outputs):
            nonlocal now
            now += next(self.seconds)

    monkeypatch.setattr(fidelity.time, "perf_counter", lambda: now)
    one, other = Decoder(1, 4, 2, 3, 9, 8), Decoder(1, 7, 8, 6, 5, 9)
    assert fidelity.speed(one, other, {"z": np.zeros((1, 4), np.float32)}) == pytest.approx(2.5)


def test_progress_counts_the_images_of_both_models(original, rounded, images):
    calls = []
    fidelity.compare(original, rounded, images, lambda done, of: calls.append((done, of)))
    assert sum(done for done, _ in calls) == 2 * COUNT
    assert {of for _, of in calls} == {2 * COUNT}


@pytest.mark.parametrize(
    ("figure", "words"),
    [("mean_pixel_error", "the mean pixel error is .*e-05 allowed"), ("nll_lost", "the NLL lost in nats is .* the -9")],
)
def test_each_limit_is_enforced(original, rounded, images, monkeypatch, figure, words):
    """The message names the figure and the limit."""
    limit = {"mean_pixel_error": 2e-5, "nll_lost": -9.0}[figure]
    monkeypatch.setitem(parity.LIMITS, "int8", parity.LIMITS["int8"] | {figure: limit})
    with pytest.raises(BundleError, match=f"int8 costs this model too much: {words}"):
        fidelity.compare(original, rounded, images)


def test_a_broken_graph_exceeds_the_limits(original, images, tmp_path):
    """A decoder whose weights are noise, and one whose weights are NaN."""
    rng = np.random.default_rng(0)

    def noisy(name, values):
        return rng.normal(size=values.shape) if name == "decoder" else values

    def missing(name, values):
        return values * np.nan if name == "decoder" else values

    costly = "float16 costs this model too much: the mean pixel error is "
    for name, alter, message in (("noisy", noisy, costly), ("missing", missing, "mean must be finite; it is nan")):
        with pytest.raises(BundleError, match=message):
            fidelity.compare(original, altered(original, tmp_path / name, alter), images)


def test_an_encoder_without_a_scale_is_refused(original, images, tmp_path):
    for name, factor in (("huge", 1e20), ("missing", np.nan)):
        broken = altered(
            original,
            tmp_path / name,
            lambda graph, values, factor=factor: values * factor if graph == "encoder" else values,
        )
        with pytest.raises(BundleError, match="loc must be finite"):
            fidelity.compare(original, broken, images)


def test_differences_are_the_largest_of_each_output(original, rounded):
    """Over 64 draws from the prior, and their means as bits, because the model is one of binarised images."""
    found = fidelity.differences(original, rounded)
    z = importance.noise.standard_normal(0, 0, 64, 4)
    values = {"decoder": z, "encoder": np.rint(original.decode(z))}
    expected = {}
    for name, inputs in values.items():
        sessions = [session(bundle, name) for bundle in (original, rounded)]
        outputs = [each.run(None, {each.get_inputs()[0].name: inputs}) for each in sessions]
        for end, one, other in zip(sessions[0].get_outputs(), *outputs, strict=True):
            unit = np.maximum(1, np.abs(one)) if end.name == "likelihood_parameters" else 1
            expected[end.name] = np.max(np.abs(one - other) / unit)
    assert found == pytest.approx(expected, rel=1e-3)


def test_float32_graphs_must_be_the_same_within_the_tolerance(original, tmp_path):
    nearly = altered(original, tmp_path / "nearly", lambda name, values: values * (1 + 1e-8), precision="float32")
    assert max(fidelity.differences(original, nearly).values()) <= parity.TOLERANCE
    other = altered(original, tmp_path / "other", lambda name, values: values * 1.001, precision="float32")
    with pytest.raises(BundleError, match="differs from the original graph by up to .*; no bundle was written"):
        fidelity.differences(original, other)


def test_grey_codes_are_draws_from_the_posterior(bundle_path):
    """Over many images the draws have the posterior's mean and scale, within 5 standard errors."""
    bundle = Bundle.open(bundle_path, device="cpu")
    images = np.repeat(np.rint(random_images(1) * 255).astype(np.uint8), 2000, axis=0)
    posterior = bundle.encode(images[:1] / np.float32(255))
    standardised = (fidelity.inputs(bundle, images)["decoder"]["z"] - posterior.loc) / posterior.scale
    assert np.all(np.abs(standardised.mean(axis=0)) < 5 / np.sqrt(2000))
    assert np.all(np.abs(standardised.std(axis=0) - 1) < 5 / np.sqrt(4000))
