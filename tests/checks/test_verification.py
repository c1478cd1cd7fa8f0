"""`kvae verify`: a good bundle passes every check, and each kind of damage fails the corresponding check."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from click.testing import CliRunner
from onnx import helper, numpy_helper
from philox import specified_noise

from kvae.bundle import folder as bundle_files
from kvae.bundle import noise
from kvae.bundle.manifest import FILE_NAME, METADATA_KEY, Manifest
from kvae.checks import graph_checks, verification
from kvae.checks.verification import verify
from kvae.cli.checks import verify as command
from kvae.errors import KvaeError
from kvae.training.keras_parity import keras_parity


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(graph_checks, "SPEED_SECONDS", 0.001)


@pytest.fixture
def remade(bundle_path, tmp_path):
    """Copies the tiny bundle with a graph, files or fields changed, and corrects all hashes and metadata."""

    def remake(edit=None, graph="decoder", touch=None, **fields):
        folder = shutil.copytree(bundle_path, Path(tempfile.mkdtemp(dir=tmp_path)) / "bundle")
        manifest = replace(Manifest.read(folder), **fields)
        for name in ("decoder", "encoder"):
            path = folder / f"{name}.onnx"
            model = onnx.load(path)
            if edit and name == graph:
                edit(model)
            del model.metadata_props[:]
            model.metadata_props.add(key=METADATA_KEY, value=manifest.for_graph())
            path.write_bytes(model.SerializeToString())
        if touch:
            touch(folder)
        bundle_files.write_manifest(folder, manifest)
        return folder

    return remake


def with_keras(run):
    return {"keras": lambda subject: keras_parity(subject, run)}


def statuses(report):
    return {check.name: check.status for check in report.checks}


def failures(report):
    return {check.name for check in report.checks if check.status == verification.FAILED}


def detail(report, name):
    (found,) = (check.detail for check in report.checks if check.name == name)
    return found


def scale_weights(factor):
    def edit(model):
        weight = max(model.graph.initializer, key=lambda tensor: np.prod(tensor.dims))
        values = numpy_helper.to_array(weight) * np.float32(factor)
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float32), weight.name))

    return edit


def insert(output, *nodes):
    """Insert nodes before the graph's output `output`, whose previous value is now named `before`."""

    def edit(model):
        maker = next(node for node in model.graph.node if output in node.output)
        maker.output[:] = ["before" if end == output else end for end in maker.output]
        for node in model.graph.node:
            node.input[:] = ["before" if end == output else end for end in node.input]
        for name, value in {
            "six_tenths": np.float32(0.6),
            "above_one": np.float32(1.00001),
            "zero": np.float32(0),
            "two": np.array([2]),
        }.items():
            model.graph.initializer.append(numpy_helper.from_array(value, name))
        model.graph.node.extend(nodes)

    return edit


def add_a_foreign_operator(model):
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("QuickGelu", ["z"], ["unused"], domain="com.microsoft"))


def add_a_random_operator(model):
    model.graph.node.append(helper.make_node("RandomNormalLike", ["z"], ["unused"]))


def fix_the_batch(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def rename_the_input(model):
    model.graph.input[0].name = "code"
    for node in model.graph.node:
        node.input[:] = ["code" if end == "z" else end for end in node.input]


THREE_IMAGES_AT_LEAST = insert(
    "mean",
    helper.make_node("Gather", ["z", "two"], ["third"]),
    helper.make_node("ReduceMean", ["third"], ["number"], keepdims=0),
    helper.make_node("Mul", ["number", "zero"], ["nothing"]),
    helper.make_node("Add", ["before", "nothing"], ["mean"]),
)
MEAN_OF_ITS_BATCH = insert(
    "mean",
    helper.make_node("ReduceMean", ["before"], ["batch_mean"], axes=[0]),
    helper.make_node("Max", ["before", "batch_mean"], ["mean"]),
)
SHIFTED_MEAN = insert("mean", helper.make_node("Add", ["before", "six_tenths"], ["mean"]))
ROUNDED_MEAN = insert("mean", helper.make_node("Max", ["before", "above_one"], ["mean"]))
NEGATIVE_SCALE = insert("scale", helper.make_node("Neg", ["before"], ["scale"]))


def test_a_good_bundle_passes_every_check(bundle_path):
    report = verify(bundle_path)
    assert statuses(report) == dict.fromkeys(verification.CHECKS, verification.OK), report.checks
    assert report.passed
    assert report.device == "cpu"


def test_the_shipped_bundle_passes_without_tensorflow():
    code = (
        "import sys\nfrom kvae.bundle import locate\nfrom kvae.checks import verification\n"
        "report = verification.verify(locate.shipped()['fashion_mnist'])\n"
        "print(report.passed, *[name for name in ('tensorflow', 'keras', 'tf2onnx') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


@pytest.mark.parametrize(
    ("edit", "graph", "expected", "message"),
    [
        (add_a_foreign_operator, "decoder", {"loading", "operators"}, "com.microsoft QuickGelu is not a standard ONNX"),
        (add_a_random_operator, "decoder", {"loading", "operators"}, "RandomNormalLike draws noise"),
        (fix_the_batch, "decoder", {"shapes"}, r"inputs are z [1, 3]"),
        (fix_the_batch, "encoder", {"shapes"}, r"inputs are images [1, 8, 8, 1]"),
        (rename_the_input, "decoder", {"shapes"}, r"inputs are code ['batch', 3]"),
        (THREE_IMAGES_AT_LEAST, "decoder", {"batch sizes"}, "cannot run a batch of 1"),
        (MEAN_OF_ITS_BATCH, "decoder", {"batch sizes", "parity"}, "differs from the image computed alone by up to"),
        (scale_weights("nan"), "decoder", {"batch sizes", "range", "parity"}, "'mean' is nan"),
        (SHIFTED_MEAN, "decoder", {"range", "parity"}, "'mean' must be in [0, 1]; on prior draws it is in ["),
        (ROUNDED_MEAN, "decoder", {"parity"}, "differs from Keras at export by up to"),
        (NEGATIVE_SCALE, "encoder", {"range", "parity"}, "'scale' must be above 0; on a black image it is -"),
        (scale_weights(1.001), "decoder", {"parity"}, "differs from Keras at export by up to"),
        (scale_weights(1.001), "encoder", {"parity"}, "differs from Keras at export by up to"),
    ],
)
def test_a_broken_graph_fails_the_corresponding_check(edit, graph, expected, message, remade):
    report = verify(remade(edit, graph))
    assert failures(report) == expected
    first = next(name for name in verification.CHECKS if name in expected)
    assert message in detail(report, first)
    assert not report.passed


def test_the_opset_must_match_the_manifest(remade):
    report = verify(remade(opset=18))
    assert failures(report) == {"operators"}
    assert "the manifest has opset 18, the graph 17" in detail(report, "operators")


def test_a_graph_that_the_onnx_checker_refuses_fails_operators(remade):
    def name_a_node_s_output_twice(model):
        model.graph.node.append(helper.make_node("Identity", ["nowhere"], ["unused"]))

    report = verify(remade(name_a_node_s_output_twice))
    assert "operators" in failures(report)
    assert "the ONNX checker refuses the graph" in detail(report, "operators")


@pytest.mark.parametrize("name", ["README.md", "preview.png", "reference.npz"])
def test_a_changed_byte_fails_only_the_hashes(name, remade):
    folder = remade()
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1  # in a zip, this is the length of its comment, which numpy does not read
    (folder / name).write_bytes(content)
    report = verify(folder)
    assert "hashes" in failures(report)
    assert failures(report) <= {"hashes", "parity"}
    assert f"{name} was changed" in detail(report, "hashes")


def test_missing_files_are_named(remade):
    folder = remade()
    (folder / "README.md").unlink()
    (folder / "encoder.onnx").unlink()
    report = verify(folder)
    assert failures(report) == {"hashes", "loading"}
    assert "README.md is missing" in detail(report, "hashes")
    assert "encoder.onnx is missing" in detail(report, "hashes")
    assert statuses(report)["range"] == verification.OK  # for the remaining decoder


def test_a_graph_without_a_hash_fails_the_hashes(remade):
    folder = remade()
    manifest = Manifest.read(folder)
    manifest.files.pop("decoder.onnx")
    (folder / FILE_NAME).write_text(manifest.to_json())
    assert failures(verify(folder)) == {"hashes"}


def test_added_files_are_listed_but_not_a_failure(remade):
    folder = remade()
    (folder / "notes.txt").write_text("mine")
    report = verify(folder)
    assert report.passed
    assert "not in the manifest: notes.txt" in detail(report, "hashes")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "is not valid JSON"), ('{"format_version": 99}', "format_version 99"), (None, "is not a bundle")],
)
def test_without_a_valid_manifest_the_one_in_the_graphs_is_used(text, message, remade):
    folder = remade()
    (folder / FILE_NAME).unlink() if text is None else (folder / FILE_NAME).write_text(text)
    report = verify(folder)
    assert failures(report) == {"manifest"}
    assert message in detail(report, "manifest")
    assert statuses(report)["hashes"] == verification.SKIPPED
    assert statuses(report)["parity"] == verification.OK


def test_another_manifest_inside_the_graphs_fails_metadata(remade):
    folder = remade()
    manifest = Manifest.read(folder)
    changed = replace(manifest, dataset=manifest.dataset | {"name": "another"})
    (folder / FILE_NAME).write_text(changed.to_json())
    report = verify(folder)
    assert failures(report) == {"metadata"}
    assert "differs from manifest.json in dataset" in detail(report, "metadata")


def test_a_graph_without_metadata_fails_metadata(remade):
    def drop(folder):
        model = onnx.load(folder / "decoder.onnx")
        del model.metadata_props[:]
        onnx.save(model, folder / "decoder.onnx")

    assert failures(verify(remade(touch=drop))) == {"metadata"}


def test_a_truncated_graph_fails_loading_and_the_encoder_is_still_checked(remade):
    def cut(folder):
        path = folder / "decoder.onnx"
        path.write_bytes(path.read_bytes()[:-100])

    report = verify(remade(touch=cut))
    assert failures(report) == {"loading", "operators"}
    assert "cut short" in detail(report, "loading")
    assert "loc" in detail(report, "parity")
    assert "mean" not in detail(report, "parity")


def test_an_older_bundle_has_no_reference(remade):
    report = verify(remade(touch=lambda folder: (folder / "reference.npz").unlink()))
    assert report.passed
    assert statuses(report)["parity"] == verification.SKIPPED
    assert "--run RUN" in detail(report, "parity")


def test_a_reference_that_cannot_be_read_fails_parity(remade):
    def cut(folder):
        path = folder / "reference.npz"
        path.write_bytes(path.read_bytes()[:200])

    report = verify(remade(touch=cut))
    assert failures(report) == {"parity"}
    assert "reference.npz is damaged" in detail(report, "parity")


def rewrite_reference(**arrays):
    def touch(folder):
        with np.load(folder / "reference.npz") as archive:
            values = {name: archive[name] for name in archive.files} | arrays
        np.savez(folder / "reference.npz", **{name: array for name, array in values.items() if array is not None})

    return touch


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"loc": None}, "expected one named loc"),
        ({"loc": np.array([object()])}, "holds Python objects"),
        ({"mean": np.zeros((1, 2), np.float32)}, "'mean' must be float32 ('n', 8, 8, 1); got float32 (1, 2)"),
        ({"z": np.zeros((1, 3))}, "'z' must be float32"),
        ({"z": np.zeros((1, 7), np.float32)}, "'z' must be float32 ('n', 3); got float32 (1, 7)"),
    ],
)
def test_a_reference_with_wrong_arrays_fails_parity(arrays, message, remade):
    report = verify(remade(touch=rewrite_reference(**arrays)))
    assert failures(report) == {"parity"}
    assert message in detail(report, "parity")


def conversion(limit):
    return {
        "num_images": 1, "split": "test", "worst_pixel_error": 0.0, "mean_pixel_error": 0.0, "mean_code_error": 0.0,
        "speed": 1.0,
        "nll_lost": {"value": 0.0, "standard_error": 0.0}, "size": 1, "float32_size": 1,
        "limits": {"mean_pixel_error": limit, "mean_code_error": limit, "nll_lost": 1.0},
    }  # fmt: skip


@pytest.mark.parametrize(("limit", "expected"), [(1e-3, set()), (1e-7, {"parity"})])
def test_another_precision_must_meet_its_conversion_s_limit(limit, expected, remade):
    report = verify(remade(scale_weights(1.001), precision="float16", conversion=conversion(limit)))
    assert failures(report) == expected
    assert f"{limit:g}" in detail(report, "parity")


def test_a_bundle_s_own_limits_can_be_stricter_but_not_laxer(remade):
    for settings in (
        {"parity": {"tolerance": 0.5, "errors": {}}},
        {"precision": "float16", "conversion": conversion(1e299)},
    ):
        report = verify(remade(scale_weights(1.5), **settings))
        assert failures(report) == {"parity"}
    report = verify(remade(scale_weights(1.0), parity={"tolerance": 1e-12, "errors": {}}))
    assert "1e-12" in detail(report, "parity")


def test_another_encoder_fails_parity_whatever_the_precision(remade):
    """With its weights scaled, the codes are wrong but the pictures are right."""
    report = verify(remade(scale_weights(3.0), "encoder", precision="float16", conversion=conversion(1e-3)))
    assert failures(report) == {"parity"}
    assert "'loc' differs from Keras" in detail(report, "parity") or "'scale' differs from" in detail(report, "parity")


def test_parity_errors_match_numpy(bundle_path):
    """The report's figures against a direct comparison."""
    report = verify(bundle_path)
    (figures,) = (check.figures for check in report.checks if check.name == "parity")
    session = onnxruntime.InferenceSession(bundle_path / "encoder.onnx", providers=["CPUExecutionProvider"])
    with np.load(bundle_path / "reference.npz") as archive:
        loc, scale = session.run(["loc", "scale"], {"images": archive["images"]})
        assert figures["loc"] == np.abs(loc - archive["loc"]).max()
        assert figures["scale"] == np.abs(scale - archive["scale"]).max()


def test_other_noise_fails_noise(bundle_path, monkeypatch):
    """One number in 4,096 differs in its last bit."""
    draw = noise.standard_normal

    def almost(seed, start, count, dim):
        values = draw(seed, start, count, dim)
        values[-1, -1] = np.nextafter(values[-1, -1], np.float32(np.inf))
        return values

    monkeypatch.setattr(noise, "standard_normal", almost)
    assert failures(verify(bundle_path)) == {"noise"}


def test_the_pinned_noise_matches_the_specification():
    """Its hash is that of Philox and Box-Muller computed with Python's own integers and math."""
    import hashlib

    count, dim = graph_checks.NOISE_SHAPE
    numbers = np.array([specified_noise(0, image, dim) for image in range(count)], "<f4")
    assert hashlib.sha256(numbers.tobytes()).hexdigest() == graph_checks.NOISE_SHA256


@pytest.mark.parametrize(("graph", "word"), [("decoder", "z [batch, 3]"), ("encoder", "images [batch, 8, 8, 1]")])
def test_a_lone_graph_is_checked_as_far_as_possible(graph, word, bundle_path, tmp_path):
    path = tmp_path / "model.onnx"
    shutil.copyfile(bundle_path / f"{graph}.onnx", path)
    report = verify(path)
    skipped = {name for name, status in statuses(report).items() if status == verification.SKIPPED}
    assert report.passed
    assert skipped == {"manifest", "hashes", "parity"} | ({"speed"} if graph == "encoder" else set())
    assert word in detail(report, "shapes")


def test_a_lone_graph_that_kvae_did_not_export_fails(bundle_path, tmp_path):
    model = onnx.load(bundle_path / "decoder.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "decoder.onnx")
    report = verify(tmp_path / "decoder.onnx")
    assert failures(report) == {"metadata"}
    assert statuses(report)["range"] == verification.SKIPPED


def test_a_file_that_is_not_a_graph_fails_loading(tmp_path):
    (tmp_path / "decoder.onnx").write_text("no graph")
    assert failures(verify(tmp_path / "decoder.onnx")) == {"loading"}


def to_ort(level):
    """Converts the graphs of a bundle to onnxruntime's own format."""

    def touch(folder):
        for name in ("decoder", "encoder"):
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = level
            options.optimized_model_filepath = str(folder / f"{name}.ort")
            options.add_session_config_entry("session.save_model_format", "ORT")
            onnxruntime.InferenceSession(folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
            (folder / f"{name}.onnx").unlink()

    return touch


def test_a_bundle_in_onnxruntime_s_own_format_passes(remade):
    basic = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    report = verify(remade(touch=to_ort(basic), graph_format="ort"))
    assert statuses(report) == dict.fromkeys(verification.CHECKS, verification.OK), report.checks
    assert "MatMul" in detail(report, "operators")
    assert "no ONNX checker for .ort" in detail(report, "operators")


def test_a_damaged_ort_file_fails_operators(remade):
    basic = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    folder = remade(touch=to_ort(basic), graph_format="ort")
    (folder / "decoder.ort").write_bytes((folder / "decoder.ort").read_bytes()[:300])
    assert failures(verify(folder)) == {"hashes", "loading", "operators"}


def test_without_onnx_the_operators_are_skipped(bundle_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    report = verify(bundle_path)
    assert report.passed
    assert detail(report, "operators") == "needs onnx, pip install onnx"


def test_cuda_on_a_machine_without_it_fails_loading(bundle_path):
    report = verify(bundle_path, "cuda")
    assert failures(report) == {"loading"}
    assert "device cuda" in detail(report, "loading")
    assert statuses(report)["speed"] == verification.SKIPPED


def test_the_tolerance_is_wider_on_cuda(bundle_path):
    manifest = Manifest.read(bundle_path)
    assert graph_checks.tolerance(graph_checks.Subject(bundle_path, "cpu", manifest)) == 1e-5
    assert graph_checks.tolerance(graph_checks.Subject(bundle_path, "cuda", manifest)) == 1e-4


def test_a_missing_path_and_an_unknown_device_are_errors_in_one_line(tmp_path, bundle_path):
    with pytest.raises(KvaeError, match="does not exist"):
        verify(tmp_path / "nowhere")
    with pytest.raises(KvaeError, match="device must be one of"):
        verify(bundle_path, "tpu")


def test_a_folder_of_something_else_fails(tmp_path):
    report = verify(tmp_path)
    assert failures(report) == {"manifest", "loading"}


def test_a_run_s_bundle_matches_its_model_in_keras(run):
    report = verify(run.path / "bundle", further=with_keras(run.path))
    assert statuses(report)["keras"] == verification.OK, report.checks
    assert report.passed


def test_another_model_s_run_fails_keras(run, bundle_path):
    report = verify(bundle_path, further=with_keras(run.path))
    assert failures(report) == {"keras"}
    assert "the model has latent_dim 4, the bundle 3" in detail(report, "keras")


def test_other_weights_than_the_run_s_fail_keras(run, tmp_path):
    folder = shutil.copytree(run.path / "bundle", tmp_path / "bundle")
    model = onnx.load(folder / "encoder.onnx")
    scale_weights(1.001)(model)
    onnx.save(model, folder / "encoder.onnx")
    report = verify(folder, further=with_keras(run.path))
    assert failures(report) == {"hashes", "parity", "keras"}
    assert "differs from Keras by up to" in detail(report, "keras")


def test_a_folder_that_is_not_a_run_fails_keras(bundle_path, tmp_path):
    report = verify(bundle_path, further=with_keras(tmp_path))
    assert failures(report) == {"keras"}
    assert "has no model.keras" in detail(report, "keras")


def test_the_command_prints_a_line_per_check_and_exits_0(bundle_path):
    result = CliRunner().invoke(command, [str(bundle_path)], catch_exceptions=False)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"{len(verification.CHECKS)} ok"
    for name in verification.CHECKS:
        assert f"\n{name:<12} ok " in result.stdout


def test_the_command_prints_everything_and_exits_1_after_a_failure(remade):
    result = CliRunner().invoke(command, [str(remade(scale_weights(1.001)))], catch_exceptions=False)
    assert result.exit_code == 1
    assert "\nparity       FAILED " in result.stdout
    assert "\nspeed        ok " in result.stdout
    assert result.stdout.splitlines()[-1] == f"{len(verification.CHECKS) - 1} ok, 1 FAILED"


def test_the_command_compares_with_a_run(run):
    result = CliRunner().invoke(command, [str(run.path), "--run", str(run.path)], catch_exceptions=False)
    assert result.exit_code == 0, result.stdout
    assert re.search(r"^keras        ok       with Keras,", result.stdout, re.MULTILINE)  # then the path, maybe below


def test_the_command_s_json_is_one_object(remade):
    result = CliRunner().invoke(command, [str(remade(scale_weights("nan"))), "--json"], catch_exceptions=False)
    assert result.exit_code == 1
    report = json.loads(result.stdout, parse_constant=pytest.fail)
    assert report["passed"] is False
    assert [check["name"] for check in report["checks"]] == list(verification.CHECKS)
    assert report["checks"][-1]["name"] == "speed"
    assert report["checks"][-1]["status"] == "skipped"  # because the outputs are not finite
