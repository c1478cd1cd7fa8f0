"""A sweep from end to end on the mini set: which runs it makes, which it reuses or resumes, what it measures."""

import json

import numpy as np
import pytest
from tiny import make_vae

from kvae.comparison import measuring
from kvae.comparison.measuring import fitted_samples
from kvae.comparison.settings import Setting, grid, parse_vary, preset, reference
from kvae.comparison.sweeps import compare
from kvae.config import TrainConfig, from_settings
from kvae.data import datasets
from kvae.data.held_out_split import held_out
from kvae.errors import ConfigError, KvaeError
from kvae.export import bundles
from kvae.runtime.bundle import Bundle
from kvae.training import keras_files, resuming


def test_values_are_parsed_as_their_field_s_type():
    assert parse_vary("beta=0.25,1, 4") == ("beta", [0.25, 1.0, 4.0])
    assert parse_vary("latent-dim=2,16") == ("latent_dim", [2, 16])
    assert parse_vary("hidden_units=8") == ("hidden_units", [8])
    assert parse_vary("likelihood=normal,bernoulli") == ("likelihood", ["normal", "bernoulli"])
    assert parse_vary("dataset=mnist") == ("dataset", ["mnist"])
    assert parse_vary("regularizer=kl,none") == ("regularizer", ["kl", "none"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("momentum=1", "cannot vary 'momentum'.* Settings: .*beta"),
        ("latent_dims=1", "cannot vary 'latent_dims'.* Did you mean latent_dim?"),
        ("model=1", "cannot vary 'model'"),
        ("beta", "--vary .*SETTING=VALUE.*got 'beta'"),
        ("beta=", "--vary .*SETTING=VALUE.*got 'beta='"),
        ("beta=1,,2", "--vary .*SETTING=VALUE.*got 'beta=1,,2'"),
        ("latent_dim=1.5", r"must be numbers \(int\)"),
    ],
)
def test_the_error_names_what_cannot_be_varied(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_vary(text)


def test_a_grid_has_all_combinations_once():
    found = grid({"epochs": 3}, [("beta", [1.0, 2.0, 2.0]), ("entropy_weight", [0.0, 1.0])])
    assert [setting.name for setting in found] == [
        "beta=1, entropy_weight=0", "beta=1, entropy_weight=1", "beta=2, entropy_weight=0", "beta=2, entropy_weight=1",
    ]  # fmt: skip
    assert found[2].config == TrainConfig(epochs=3, beta=2.0, entropy_weight=0.0)
    for base, vary in (({"beta": 1.0}, [("beta", [2.0])]), ({}, [("beta", [2.0]), ("beta", [3.0])])):
        with pytest.raises(ConfigError, match="beta is given more than once"):
            grid(base, vary)


def test_the_preset_has_the_extremes_and_points_between():
    settings = preset("why-kl", {"dataset": "fashion_mnist"})
    weights = [(setting.config.beta, setting.config.entropy_weight) for setting in settings]
    assert weights == [(1, 2), (1, 1), (1, 0.5), (1, 0.1), (1, 0), (0, 1)]
    assert {setting.config.dataset for setting in settings} == {"fashion_mnist"}
    assert settings[reference(settings)].name == "λ = 1: KL"
    with pytest.raises(ConfigError, match="preset .*varies entropy_weight"):
        preset("why-kl", {"entropy_weight": 1.0})
    with pytest.raises(ConfigError, match="'why-not' is unknown. Did you mean why-kl?"):
        preset("why-not", {})


def test_a_run_is_named_after_all_of_its_settings():
    one, other = (Setting({"beta": 2.0}, from_settings({"beta": 2.0, "epochs": epochs})) for epochs in (3, 4))
    assert one.folder.startswith("beta=2-")
    assert one.folder != other.folder


def test_the_loss_is_the_one_that_keras_minimises(sweep):
    """Besides the distortion, the loss on the test images includes the trained model's regulariser."""
    for result in sweep[1]:
        data = datasets.load("fashion_mnist_mini")
        bits = result.setting.config.is_of_bits
        images = held_out(data, "test", bits) / np.float32(255)
        vae = keras_files.load_model(result.run)
        terms = vae.terms(images)
        regularizer = vae.objective.regularizer(terms)
        found = result.loss.value - result.evaluation.metrics["distortion"].value
        assert found == pytest.approx(float(np.mean(regularizer)), rel=1e-4)
        assert result.loss.value == pytest.approx(float(np.mean(terms.distortion + regularizer)), rel=0.01)


def test_differences_are_paired_with_the_reference_of_the_same_kind(sweep):
    """An NLL is left out, and why is said, because twenty draws are too few for it to be an estimate."""
    half, kl, grey = sweep[1]
    values = half.evaluation.per_image["elbo"] - kl.evaluation.per_image["elbo"]
    assert half.against_reference["elbo"].value == pytest.approx(values.mean())
    assert half.against_reference["elbo"].standard_error == pytest.approx(values.std(ddof=1) / np.sqrt(500))
    assert "nll" not in half.against_reference and "upper bounds" in half.not_compared
    assert (kl.against_reference, kl.not_compared) == ({}, None)
    assert grey.against_reference == {} and "surrogate" in grey.not_compared


def test_results_are_saved_as_json(sweep):
    out, results = sweep
    saved = json.loads((out / "results.json").read_text(), parse_constant=pytest.fail)
    assert saved["verdict"].startswith("Too early to compare")
    kept = saved["results"]
    assert [item["name"] for item in kept] == ["entropy_weight=0.5", "entropy_weight=1", "binarize=none"]
    assert kept[0]["evaluation"]["metrics"]["nll"]["value"] == results[0].evaluation.metrics["nll"].value
    assert "not a bound" in kept[0]["evaluation"]["loss_caveat"]
    assert len(kept[0]["history"]["val_loss"]) == 2


def test_finished_runs_are_reused_and_others_resume(sweep, monkeypatch):
    out, results = sweep
    resumed = []
    real = resuming.resume

    def resume(run, *rest):
        resumed.append(run)
        return real(run, *rest)

    monkeypatch.setattr(resuming, "resume", resume)
    (results[1].run / "metrics.json").unlink()  # as if it had been interrupted
    again = compare([result.setting for result in results], out, importance_samples=20)
    assert resumed == [results[1].run]
    for before, after in zip(results, again, strict=True):
        np.testing.assert_array_equal(before.evaluation.per_image["nll"], after.evaluation.per_image["nll"])


def test_a_history_without_the_validation_loss_is_one_line(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n0,1\n")
    with pytest.raises(KvaeError, match="history.csv holds no epochs"):
        measuring._history(tmp_path)


def test_the_fitted_density_has_the_moments_of_the_aggregated_posterior(tmp_path):
    path = bundles.export(make_vae(), tmp_path / "b", dataset={"name": "x", "sha256": "0" * 64, "num_images": 1}).path
    bundle = Bundle.open(path)
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8, 1), dtype=np.uint8)
    posterior = bundle.encode(images / np.float32(255))
    decoded = []
    bundle.decode = lambda z, label=None: decoded.append(z) or z
    fitted_samples(bundle, images, False, 20_000)
    expected = np.cov(posterior.loc.T) + np.diag(np.mean(posterior.scale**2, axis=0))
    np.testing.assert_allclose(np.cov(decoded[0].T), expected, atol=0.05 * expected.max())
    np.testing.assert_allclose(decoded[0].mean(axis=0), posterior.loc.mean(axis=0), atol=0.03)


@pytest.mark.parametrize(
    ("name", "text"), [("report.html", "my thesis"), ("results.json", '["mine"]'), ("results.json", '{"results": 3}')]
)
def test_results_that_no_comparison_wrote_are_left_alone(name, text, tmp_path):
    (tmp_path / name).write_text(text)
    settings = grid({"dataset": "fashion_mnist_mini"}, [("beta", [1.0, 2.0])])
    with pytest.raises(KvaeError, match=f"{name} was not written by kvae compare"):
        compare(settings, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, text)]
