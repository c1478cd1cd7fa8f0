"""The command line: what a user types, what it prints, and one line for every error."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny import DATASET, make_vae

from kvae import recipes
from kvae.bundle.manifest import Manifest
from kvae.cli.compare import PRESETS
from kvae.cli.main import VERBS, main
from kvae.cli.verbs import Verb
from kvae.comparison import settings as comparison_settings
from kvae.config import ModelConfig, TrainConfig, from_settings
from kvae.conversion import graph_files
from kvae.export import export
from kvae.machine import extras
from kvae.recipes import resolve
from kvae.runtime.bundle import Bundle
from kvae.training import making
from kvae.training.interrupts import Interrupted


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def one_line(result, status):
    """The error of a failed command: one line on stderr, nothing on stdout."""
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def test_sampling_works_right_after_the_install(kvae, tmp_path):
    """No model named, no run in this folder: 64 images of the shipped bundle in an 8 x 8 grid."""
    result = kvae("sample")
    assert (result.exit_code, result.stdout) == (0, "samples.png\n")
    assert result.stderr.startswith("model: ")
    assert result.stderr.rstrip().endswith("fashion_mnist")
    with Image.open(tmp_path / "samples.png") as picture:
        assert picture.size == (968, 968)


def test_pixels_can_be_drawn_instead_of_averaged(kvae, bundle_path, tmp_path):
    export(make_vae(), tmp_path / "bits", dataset=DATASET, binarize="dynamic")
    for more in ([], ["--draw"]):
        assert kvae("sample", "--n", "3", "--model", "bits", "--out", "s.npy", *more).exit_code == 0
        assert (set(np.unique(np.load(tmp_path / "s.npy"))) == {0.0, 1.0}) == bool(more)
    assert "a surrogate" in one_line(kvae("sample", "--model", str(bundle_path), "--draw", "--out", "b.npy"), 1)
    result = kvae("sample", "--draw", "--engine", "ray", "--out", "x")
    assert (result.exit_code, "not for --engine ray" in result.stderr) == (2, True)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.png", "folder"])
def test_samples_go_where_out_says_and_a_second_run_replaces_them(kvae, tmp_path, bundle_path, name):
    for seed in ("1", "2"):
        result = kvae("sample", "--n", "5", "--model", str(bundle_path), "--seed", seed, "--out", name)
        assert result.exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name == "a.npy":
        np.testing.assert_array_equal(np.load(name), Bundle.open(bundle_path).sample(5, seed=2))


def test_the_same_seed_gives_the_same_bytes(kvae, tmp_path, bundle_path):
    for name in ("a.npy", "b.npy"):
        kvae("sample", "--n", "300", "--model", str(bundle_path), "--seed", "9", "--out", name)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_sample_takes_a_run_a_lone_decoder_and_a_shipped_name(kvae, tmp_path, bundle_path):
    shutil.copytree(bundle_path, tmp_path / "runs" / "mine" / "bundle")
    shutil.copy(bundle_path / "decoder.onnx", tmp_path)
    outputs = []
    for number, model in enumerate([["--model", "runs/mine"], ["--model", "decoder.onnx"], []]):
        assert kvae("sample", "--n", "3", *model, "--out", f"{number}.npy").exit_code == 0
        outputs.append(np.load(f"{number}.npy"))
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert kvae("sample", "--n", "3", "--model", "fashion_mnist", "--out", "s.npy").exit_code == 0
    assert np.load("s.npy").shape == (3, 28, 28, 1)


def test_json_is_for_machines(kvae, bundle_path):
    report = json.loads(kvae("sample", "--n", "2", "--model", str(bundle_path), "--json").stdout)
    assert report == {"out": "samples.png", "n": 2, "seed": 0, "model": str(bundle_path), "device": "cpu"}
    report = json.loads(kvae("info", str(bundle_path), "--json").stdout)
    assert report["manifest"]["latent_dim"] == 3
    assert report["sizes"]["decoder.onnx"] == (bundle_path / "decoder.onnx").stat().st_size


def test_info_shows_manifest_sizes_tensors_and_metrics(kvae, run):
    text = kvae("info", str(run.path)).stdout
    for fact in (
        "fashion_mnist_mini, 4,000 images", "28 x 28 x 1", "decoder       takes z float32 [batch, 4]",
        "gives mean float32 [batch, 28, 28, 1]", "decoder.onnx", "bytes", f"{run.metrics['elbo'].value:.2f} ±",
        "log-probabilities of binarised images",
    ):  # fmt: skip
        assert fact in text


def test_train_passes_on_every_option(kvae, monkeypatch, run):
    calls = []

    def trained(config, out, *rest):
        calls.append((config, out, *rest))
        shutil.copytree(run.path, out)
        (out / "config.json").write_text(json.dumps(config.to_dict()))
        manifest = replace(run.exported.manifest, training=config.to_publish())
        return replace(run, path=out, exported=replace(run.exported, manifest=manifest))

    monkeypatch.setattr("kvae.training.making.train", trained)
    result = kvae(
        "train", "--dataset", "fashion_mnist_mini", "--architecture", "mlp", "--latent-dim", "5", "--hidden-units", "6",
        "--epochs", "7", "--batch-size", "8", "--learning-rate", "0.5", "--beta", "2", "--kl-warmup-epochs", "3",
        "--lr-warmup-steps", "9", "--adam-beta2", "0.9",
        "--likelihood", "bernoulli", "--binarize", "none", "--entropy-weight", "0.5", "--seed", "4",
        "--data-dir", "d", "--out", "o", "--patience", "2", "--max-skipped-steps", "0", "--deterministic",
        "--pictures-every", "0", "--tensorboard",
    )  # fmt: skip
    config, out, data_dir, *_ = calls[0]
    assert config == TrainConfig(
        dataset="fashion_mnist_mini", epochs=7, batch_size=8, learning_rate=0.5, beta=2.0, kl_warmup_epochs=3, seed=4,
        lr_warmup_steps=9, adam_beta2=0.9, binarize="none", entropy_weight=0.5, patience=2, max_skipped_steps=0,
        deterministic=True, pictures_every=0, tensorboard=True,
        model=ModelConfig(architecture="mlp", latent_dim=5, hidden_units=6, likelihood="bernoulli"),
    )  # fmt: skip
    assert (str(out), str(data_dir)) == ("o", "d")
    assert "test ELBO" in result.stdout
    assert "effective beta 1.000" in result.stdout
    assert "(grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood)" in result.stdout
    assert "weights the posterior's entropy by 0.5, not 1: it is not a bound" in result.stdout
    assert re.search(r"^run +o$", result.stdout, re.MULTILINE)


def test_train_without_options_follows_the_recipe_of_its_data_and_says_so(kvae, monkeypatch, run):
    calls = []

    def train(config, out, data_dir, callbacks, *rest):
        calls.append((config, out, data_dir))
        callbacks[0].on_train_begin()
        return run

    monkeypatch.setattr("kvae.training.making.train", train)
    result = kvae("train")
    config, out, data_dir = calls[0]
    assert config == resolve("fashion_mnist_quick", {})
    assert "\nrecipe fashion_mnist_quick, as no setting was given; --recipe" in result.stderr
    assert result.stderr.endswith(f"Next:\n  kvae sample --model {run.path}\n  kvae explore {run.path}\n")
    assert str(out).startswith("runs/fashion_mnist-gated_mlp-")
    assert data_dir is None
    result = kvae("train", "--epochs", "20")
    assert calls[1][0] == TrainConfig()
    assert "recipe" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (["--regularizer", "kl"], {"entropy_weight": 1.0}),
        (["--regularizer", "cross-entropy"], {"entropy_weight": 0.0}),
        (["--regularizer", "none"], {"beta": 0.0}),
        (["--recipe", "fashion_mnist_vae"], recipes.RECIPES["fashion_mnist_vae"]),
        (["--recipe", "fashion_mnist_vae", "--epochs", "40"], recipes.RECIPES["fashion_mnist_vae"] | {"epochs": 40}),
    ],
)
def test_regularizers_and_recipes_stand_for_settings(kvae, monkeypatch, run, arguments, settings):
    calls = []
    monkeypatch.setattr("kvae.training.making.train", lambda *arguments: calls.append(arguments) or run)
    kvae("train", *arguments)
    assert calls[0][0] == from_settings(settings)


def test_evaluate_prints_a_table_warnings_and_json(kvae, run, tmp_path):
    result = kvae("evaluate", str(run.path), "--importance-samples", "20", "--per-image", "values.npz")
    assert result.exit_code == 0
    for fact in (
        "500 test images (kvae's frozen bits, sha256 738129dc79c9...)", "20 importance samples",
        "log-probabilities of binarised images", "−ELBO", "NLL", "bits", "entropy of the pixels",
        "effective sample size", "active units", "posterior scale by dimension: z",
    ):  # fmt: skip
        assert fact in result.stdout
    assert "Warning: the NLL estimate is unreliable" in result.stderr
    report = json.loads(kvae("evaluate", str(run.path), "--importance-samples", "20", "--json").stdout)
    with np.load(tmp_path / "values.npz") as values:
        assert report["metrics"]["nll"]["value"] == pytest.approx(values["nll"].mean())
        assert values["elbo"].shape == (500,)
    assert report["test_bits"] == "kvae"
    assert report["metrics"]["pixel_entropy"]["value"] == pytest.approx(191.03, abs=0.005)  # docs/results.md, E9
    assert report["kind"] == "log-probability"
    assert len(report["posterior_scale"]) == 4


def strict(text):
    """JSON as a strict parser reads it."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_json_of_a_bundle_with_numbers_that_are_not_finite_is_json(kvae, bundle_path, tmp_path):
    """A stranger's manifest may hold NaN where kvae does not look."""
    copy = shutil.copytree(bundle_path, tmp_path / "b")
    manifest = Manifest.read(copy)
    manifest = replace(manifest, dataset=manifest.dataset | {"note": [float("nan"), float("-inf")]})
    graph_files.write(copy, {name: onnx.load(copy / manifest.graph_file(name)) for name in manifest.tensors}, manifest)
    assert strict(kvae("info", "b", "--json").stdout)["manifest"]["dataset"]["note"] == [None, None]
    strict(kvae("verify", "b", "--json").stdout)


def test_evaluate_against_another_model_is_paired(kvae, run):
    arguments = ["evaluate", str(run.path), "--against", str(run.path), "--importance-samples", "5"]
    report = json.loads(kvae(*arguments, "--json").stdout)
    assert report["difference"]["elbo"] == {"value": 0.0, "standard_error": 0.0}
    assert "nll" not in report["difference"] and "upper bounds" in report["not_compared"]
    shown = kvae(*arguments).stdout
    assert "paired difference" in shown and "side by side without a difference: both are only upper bounds" in shown
    (nll,) = [line for line in shown.splitlines() if line.startswith("NLL  ")]
    assert nll.count("≤ ") == 2 and "–" in nll


def test_models_of_different_kinds_are_not_compared(kvae, run):
    """The shipped model is of grey intensities, on another test set."""
    result = kvae("evaluate", str(run.path), "--against", "fashion_mnist")
    assert "cannot be compared" in one_line(result, 1)


@pytest.mark.slow
def test_compare_writes_a_report_and_resumes_where_it_stopped(kvae, tmp_path, monkeypatch):
    """A second call trains nothing, a third one only the missing setting."""
    settings = ["--dataset", "fashion_mnist_mini", "--architecture", "mlp", "--hidden-units", "8", "--epochs", "1",
                "--latent-dim", "2", "--jit", "off", "--importance-samples", "3", "--out", "sweep"]  # fmt: skip
    result = kvae("compare", "--vary", "entropy_weight=0,1", *settings)
    assert result.exit_code == 0
    assert "not a bound" in result.stdout
    assert result.stdout.endswith("sweep/report.html\n")
    assert len(json.loads((tmp_path / "sweep" / "results.json").read_text())["results"]) == 2
    trained = []
    real = making.train
    monkeypatch.setattr(
        "kvae.training.making.train", lambda config, *rest: trained.append(config) or real(config, *rest)
    )
    report = json.loads(kvae("compare", "--vary", "entropy_weight=0,1", *settings, "--json").stdout)
    assert trained == []
    assert [item["name"] for item in report["results"]] == ["entropy_weight=0", "entropy_weight=1"]
    kvae("compare", "--vary", "entropy_weight=0,0.5", *settings)
    assert [config.entropy_weight for config in trained] == [0.5]


def test_ctrl_c_in_a_comparison_says_how_to_resume(kvae, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("kvae.comparison.sweeps.compare", interrupted)
    result = kvae("compare", "--vary", "beta=1,2")
    assert result.exit_code == 130
    assert "Finished runs are in comparison;" in result.stderr


def test_train_export_and_sample_for_real(kvae, tmp_path):
    result = kvae(
        "train", "--dataset", "fashion_mnist_mini", "--architecture", "mlp", "--epochs", "1", "--out", "r", "--json"
    )  # fmt: skip
    report = json.loads(result.stdout)
    assert report["metrics"]["elbo"]["standard_error"] > 0
    assert max(report["parity"].values()) <= 1e-5
    for fact in ("epoch 1/1", "images/s", "elbo", "rate", "distortion"):
        assert fact in result.stderr
    result = kvae("export", "r", "--out", "b")
    assert result.stdout.startswith("worst error mean ")
    assert kvae("sample", "--model", "b", "--out", "s.npy").exit_code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "r", "s.npy"]


@pytest.mark.parametrize(
    ("error", "saved"), [(Interrupted, "All progress"), (KeyboardInterrupt, "the last checkpoint")]
)
def test_ctrl_c_in_training_says_how_to_resume(kvae, monkeypatch, tmp_path, error, saved):
    def interrupted(config, out, *_):
        out.mkdir()
        (out / "config.json").write_text("{}")
        raise error

    monkeypatch.setattr("kvae.training.making.train", interrupted)
    result = kvae("train", "--out", "my run")
    assert result.exit_code == 130
    *_, line = result.stderr.strip().splitlines()
    assert line.startswith("Interrupted.") and f"{saved} is saved" in line
    assert line.endswith(": kvae train --resume 'my run'")


def test_ctrl_c_before_there_is_a_run(kvae, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("kvae.training.making.train", interrupted)
    result = kvae("train", "--out", "r")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "Interrupted.")


def test_a_run_resumes_with_its_own_settings(kvae, monkeypatch, run, tmp_path):
    shutil.copytree(run.path, tmp_path / "r", ignore=lambda *_: ["metrics.json"])
    calls = []
    monkeypatch.setattr(
        "kvae.training.resuming.resume", lambda *arguments, epochs: calls.append((*arguments, epochs)) or run
    )
    result = kvae("train", "--resume", "r", "--data-dir", "d", "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    assert [str(path) for path in calls[0][:2]] == ["r", "d"] and calls[0][-1] is None
    assert kvae("train", "--resume", "r", "--epochs", "9").exit_code == 0
    assert calls[1][-1] == 9
    for option in (["--recipe", "fashion_mnist_vae"], ["--out", "o"], ["--deterministic"]):
        assert f"{option[0]} cannot be" in one_line(kvae("train", "--resume", "r", *option), 2)


def test_resuming_a_finished_run_changes_nothing(kvae, run):
    """And succeeds, so that a scheduler may repeat the same command again and again."""
    result = kvae("train", "--resume", str(run.path))
    assert (result.exit_code, result.stdout) == (0, f"{run.path}\n")
    assert result.stderr.startswith(f"{run.path} is finished") and result.stderr.count("\n") == 1
    found = json.loads(kvae("train", "--resume", str(run.path), "--json").stdout)
    assert found["metrics"]["elbo"]["value"] == run.metrics["elbo"].value


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["sample", "--n", "0"], 1, "n must be an integer from 1 to 2^64 - 1; got 0"),
        (["sample", "--n", "-3"], 1, "n must be an integer from 1 to 2^64 - 1; got -3"),
        (["sample", "--n", "many"], 2, "'many' is not a valid integer"),
        (["sample", "--seed", "-1"], 1, "seed must be"),
        (["sample", "--temperature", "nan"], 1, "temperature must be"),
        (["sample", "--model", "nothing"], 1, "model 'nothing' not found"),
        (["sample", "--model", "fashion_mnits"], 1, "Did you mean fashion_mnist?"),
        (["sample", "--model", "."], 1, "is not a bundle"),
        (["sample", "--out", "a.jpg"], 1, "must end in .png"),
        (["sample", "--out", "file/a.png"], 1, "cannot write"),
        (["sample", "--out", "/proc/a.png"], 1, "cannot write"),
        (["sample", "--device", "cuda"], 1, "onnxruntime-gpu"),
        (["sample", "--device", "tpu"], 2, "'tpu' is not one of"),
        (["sample", "--colour"], 2, "No such option"),
        (["sampel"], 2, "No such command"),
        (["sample", "--model", "x" * 300], 1, "File name too long"),
        (["sample", "--out", "x" * 300 + ".npy"], 1, "File name too long"),
        (["sample", "--n", "99999999999999999", "--out", "a.npz"], 1, "the disk has"),
        (["info", "file"], 1, "file is a text"),
        (["train", "--resume", "nothing"], 1, "nothing is not a run"),
        (["train", "--data", "nothing"], 1, "nothing"),
        (["train", "--image-size", "9"], 1, "image_size is for"),
        (["train", "--data", ".", "--image-size", "7x300"], 1, "each of 8 to 256; got '7x300'"),
        (["train", "--deterministic", "--jit", "on"], 1, "jit must be auto or off"),
        (["train", "--dataset", "fashion_mnist_mini", "--out", "taken"], 1, "exists and is not an empty folder"),
        (["train", "--latent-dim", "0"], 1, "latent_dim must be an integer of at least 1; got 0"),
        (["train", "--dataset", "fashion_mnits"], 1, "Did you mean fashion_mnist?"),
        (["train", "--architecture", "gan"], 2, "'gan' is not one of"),
        (["train", "--out", "taken"], 1, "exists and is not an empty folder"),
        (["train", "--dataset", "fashion_mnist_mini", "--out", "file/run"], 1, "cannot write file/run"),
        (["train", "--kl-warmup-epochs", "20"], 1, "kl_warmup_epochs must be less than epochs"),
        (["train", "--data-dir", "nowhere"], 1, "data folder nowhere cannot be read"),
        (["train", "--regularizer", "kl", "--entropy-weight", "0"], 1, "regularizer kl means entropy_weight 1.0; got"),
        (["train", "--likelihood", "normal", "--binarize", "dynamic"], 1, "binarize must be none for"),
        (["train", "--entropy-weight", "-1"], 1, "entropy_weight must be a number of at least 0"),
        (["train", "--recipe", "mnist"], 2, "'mnist' is not"),
        (["evaluate", "nothing"], 1, "model 'nothing' not found"),
        (["evaluate", "--importance-samples", "0"], 1, "importance_samples must be between 1"),
        (["evaluate", "--per-image", "a.csv"], 1, "must end in .npz"),
        (["evaluate", "fashion_mnist", "--test-bits", "published"], 1, "only for models of binarised"),
        (["compare"], 1, "either --vary SETTING=VALUE,VALUE,... or --preset"),
        (["compare", "--vary", "beta=1", "--preset", "why-kl"], 1, "either --vary SETTING=VALUE,VALUE,... or --preset"),
        (["compare", "--vary", "momentum=1"], 1, "cannot vary 'momentum'"),
        (["compare", "--vary", "beta"], 1, "SETTING=VALUE"),
        (["compare", "--vary", "beta=1,x"], 1, "the values of beta must be numbers"),
        (["compare", "--vary", "beta=1,-1"], 1, "beta must be a number of at least 0"),
        (["compare", "--vary", "beta=1", "--beta", "2"], 1, "beta is given more than once"),
        (["compare", "--preset", "why-kl", "--beta", "2"], 1, "varies beta"),
        (["compare", "--vary", "beta=1", "--dataset", "fashion_mnist_mini", "--out", "file"], 1, "cannot write file"),
        (["export", "nothing", "--out", "b"], 1, "nothing is not a run"),
        (["export", "taken"], 2, "Missing option '--out'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_an_error_is_one_line_and_leaves_no_files(kvae, tmp_path, arguments, status, message):
    (tmp_path / "file").write_text("not a graph")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("")
    result = kvae(*arguments)
    told = ("fashion_mnist_mini: ", "reading images, ")  # what is done, before what is wrong
    lines = [line for line in result.stderr.splitlines() if not line.startswith(told)]
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    assert message in lines[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "taken"]


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_damaged_bundle_is_one_line(kvae, bundle_path, tmp_path, keep):
    copy = shutil.copytree(bundle_path, tmp_path / "b")
    (copy / "decoder.onnx").write_bytes((copy / "decoder.onnx").read_bytes()[:keep])
    assert ("has sha256" if keep else "has 0 bytes") in one_line(kvae("sample", "--model", "b"), 1)
    expected = "cut short" if keep else "has 0 bytes"
    assert expected in one_line(kvae("sample", "--model", "b/decoder.onnx"), 1)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"format_version": 3}))
    assert "format_version 3" in one_line(kvae("info", "b"), 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b"]


@pytest.mark.parametrize(
    ("module", "extra"), [("tensorflow", "train"), ("onnxruntime", "cpu"), ("keras", "train"), ("matplotlib", "train")]
)
def test_a_missing_extra_is_named(module, extra, tmp_path):
    """In a fresh process in which the module cannot be imported."""
    command = "train --dataset fashion_mnist_mini" if extra == "train" else "sample"
    code = f"import sys; sys.modules[{module!r}] = None; from kvae.cli.main import main; main({command.split()!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert extras.command(extra) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("verb", VERBS)
def test_the_summary_of_a_verb_is_the_first_line_of_its_help(verb):
    summary, _, _ = main.commands[verb].help.partition("\n\n")
    assert " ".join(summary.split()) == VERBS[verb].summary
    assert main.commands[verb].name == verb


def test_a_bug_in_a_verb_s_module_keeps_its_traceback(kvae, monkeypatch):
    monkeypatch.setitem(VERBS, "broken", Verb("broken", "Fails while it is imported.", "Look"))

    def failing(name):
        raise KeyError(name)

    monkeypatch.setattr("kvae.cli.verbs.import_module", failing)
    with pytest.raises(KeyError, match=r"kvae\.cli\.broken"):
        kvae("broken")


def test_an_error_quotes_no_escape_sequences(kvae):
    line = one_line(kvae("sample", "--model", "a\x1b[31m\u202eb"), 1)
    assert "a?[31m?b" in line


def test_every_command_and_option_has_help():
    for name, command in main.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert isinstance(parameter, click.Argument) or parameter.help, f"{name} {parameter.name}"


def test_a_refused_export_exits_with_1_and_leaves_no_bundle(kvae, monkeypatch, tmp_path, run):
    """With a tolerance that no export can meet; the error names the output that differs."""
    monkeypatch.setattr("kvae.bundle.parity.TOLERANCE", 0.0)
    result = kvae("export", str(run.path), "--out", "b")
    *told, error = result.stderr.splitlines()  # where the data is, then what is wrong
    assert (result.exit_code, result.stdout) == (1, "")
    assert all(line.startswith("fashion_mnist_mini: ") for line in told)
    assert error.startswith("Error: ") and "differs between onnxruntime and Keras" in error
    assert list(tmp_path.iterdir()) == []


def test_the_presets_that_are_offered_exist():
    assert list(comparison_settings.PRESETS) == PRESETS


def test_the_program_starts_where_ctrl_c_is_heard():
    """The installed script, and `python -m kvae`."""
    project = (Path(__file__).parent.parent.parent / "pyproject.toml").read_text()
    assert 'kvae = "kvae.cli.start:main"' in project
    done = subprocess.run([sys.executable, "-m", "kvae", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("kvae, version ")
