"""A prior fitted afterwards: the optimum, in closed form; and the run that is made with it."""

import csv
import json
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from click.testing import CliRunner
from tiny import make_vae

from kvae.cli.main import main
from kvae.config import PriorFitConfig, TrainConfig, from_settings
from kvae.data import datasets
from kvae.errors import ConfigError, KvaeError
from kvae.evaluation.estimates import Estimate
from kvae.model.objectives import ELBO
from kvae.model.priors.mixture import Mixture
from kvae.model.vae import VAE
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.training import building, prior_fitting, train
from kvae.training.codes import Codes
from kvae.training.effective_beta import effective_beta
from kvae.training.keras_files import load_model

tfd = tfp.distributions
SIZE = {"architecture": "mlp", "hidden_units": 16, "latent_dim": 3}


def mini(count=300):
    """The beginning of each split of the data set that comes with kvae."""
    data = datasets.load("fashion_mnist_mini")

    def part(split):
        return replace(split, images=split.images[:count], labels=split.labels[:count])

    return replace(data, **{name: part(getattr(data, name)) for name in ("train", "validation", "test")})


@pytest.fixture(scope="module")
def vae():
    return make_vae((28, 28, 1), hidden_units=16)


@pytest.fixture(scope="module")
def posteriors(vae):
    """Means and scales of real images' posteriors."""
    posterior = vae.encoder(mini().train.images.astype(np.float32) / 255)
    return posterior.mean().numpy(), posterior.stddev().numpy()


def test_kl_and_cross_entropy_have_the_same_gradient_in_the_prior_and_not_in_the_encoder(posteriors):
    """Both in closed form, for a learned Gaussian and the posteriors of real images."""
    loc, scale = map(tf.constant, posteriors)
    mean, raw = tf.Variable([0.3, -0.2, 0.1]), tf.Variable([0.2, 0.0, -0.5])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([loc, scale])
        posterior, prior = tfd.MultivariateNormalDiag(loc, scale), tfd.MultivariateNormalDiag(mean, tf.exp(raw))
        kl = tf.reduce_mean(tfd.kl_divergence(posterior, prior))
        cross_entropy = tf.reduce_mean(posterior.cross_entropy(prior))
    for variable in (mean, raw):
        one, other = (tape.gradient(loss, variable) for loss in (kl, cross_entropy))
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        assert np.abs(one).max() > 1e-3
    difference = (tape.gradient(kl, scale) - tape.gradient(cross_entropy, scale)).numpy()
    np.testing.assert_allclose(difference * scale.numpy() * len(scale), -1.0, rtol=1e-4)  # that of -H(q)


def test_the_sampled_kl_and_the_loss_of_the_fit_have_the_same_gradient(posteriors):
    """For a mixture, which has no closed form, at the same draws."""
    loc, scale = posteriors
    z = (loc + scale * np.random.default_rng(0).normal(size=loc.shape)).astype(np.float32)
    prior = Mixture(3, 7)
    prior.build()
    with tf.GradientTape(persistent=True) as tape:
        log_q = tfd.MultivariateNormalDiag(loc, scale).log_prob(z)
        kl = tf.reduce_mean(log_q - prior().log_prob(z))
        loss = prior_fitting.cross_entropy(prior, z)
    for weight in prior.trainable_variables:
        one, other = (tape.gradient(value, weight.value) for value in (kl, loss))
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_a_single_gaussian_reaches_the_optimum_of_both(vae, posteriors):
    """The minimum of either has the mean of the posteriors' means, and the mean of their squares around it."""
    fit = PriorFitConfig(prior="mixture", prior_components=1, epochs=40, batch_size=50, learning_rate=0.1)
    data, seen = mini(), []
    new = prior_fitting.with_prior(vae, prior_fitting.new_prior(fit, vae), fit)
    before = [weight.numpy() for weight in (*vae.encoder.weights, *vae.decoder.weights)]
    codes = Codes(vae, data, False, 0)
    history = prior_fitting._fitted(new, codes, fit, lambda *values: seen.append(values))
    loc, scale = posteriors
    components = new.prior().components_distribution
    expected = np.sqrt(np.mean(scale**2 + (loc - loc.mean(axis=0)) ** 2, axis=0))
    np.testing.assert_allclose(components.mean()[0], loc.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(components.stddev()[0], expected, rtol=0.1)
    prior = tfd.MultivariateNormalDiag(loc.mean(axis=0), expected)
    best = np.mean(tfd.kl_divergence(tfd.MultivariateNormalDiag(loc, scale), prior))
    assert abs(history["rate"][-1] - best) < 0.1 * best + 0.02
    assert [epoch for epoch, *_ in seen] == list(range(1, 41)) and len(history["val_elbo"]) == 40
    np.testing.assert_allclose(history["val_elbo"], -np.add(history["val_distortion"], history["val_rate"]), rtol=1e-6)
    for weight, value in zip((*new.encoder.weights, *new.decoder.weights), before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.slow
def test_a_mixture_fitted_to_the_codes_of_a_ladder_is_no_worse_than_a_standard_normal():
    """Of an untrained ladder, whose codes are draws from N(0, I) in hundreds of dimensions: its rate is 0."""
    config = from_settings({"architecture": "ladder", "latent_dim": 2, "hidden_units": 8, "jit": "off"})
    vae, data = building.build(config, (28, 28, 1), 1000), mini(1000)
    fit = PriorFitConfig(prior="mixture", prior_components=10, epochs=3)
    new = prior_fitting.with_prior(vae, prior_fitting.new_prior(fit, vae), fit)
    history = prior_fitting._fitted(new, Codes(vae, data, False, 0), fit, None)
    assert vae.latent_dim > 500
    # What the means and the variances of as many dimensions, estimated from 1,000 codes, cost: 1/n of a nat each.
    assert min(history["val_rate"]) < 1.5 * vae.latent_dim / len(data.train.images)


def test_draws_are_fresh_in_each_epoch_and_those_of_the_posteriors(vae, posteriors):
    codes = Codes(vae, mini(), False, 5)
    one, other = codes.draws("train", 0), codes.draws("train", 1)
    np.testing.assert_array_equal(one.z, codes.draws("train", 0).z)
    noise = [(found.z - posteriors[0]) / posteriors[1] for found in (one, other)]
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.15
    for values in noise:
        assert abs(values.mean()) < 4 / np.sqrt(values.size) and abs(values.var() - 1) < 4 * np.sqrt(2 / values.size)
    expected = np.mean(tfd.MultivariateNormalDiag(*posteriors).entropy())
    assert one.entropy == other.entropy == pytest.approx(expected, rel=1e-5)


def test_other_posteriors_are_drawn_from_anew(vae, posteriors, monkeypatch):
    """As those of a hierarchy are: the codes have the same distribution, and log q of the draws is the entropy."""
    codes = Codes(vae, mini(), False, 5)
    monkeypatch.setattr(codes, "_posteriors", lambda *arguments: None)
    found = codes.draws("train", 0)
    noise = (found.z - posteriors[0]) / posteriors[1]
    assert abs(noise.mean()) < 4 / np.sqrt(noise.size) and abs(noise.var() - 1) < 4 * np.sqrt(2 / noise.size)
    expected = np.mean(tfd.MultivariateNormalDiag(*posteriors).entropy())
    assert abs(found.entropy - expected) < 4 * np.sqrt(1.5 / len(noise))  # of log q, whose variance is 3/2
    assert np.any(found.z != codes.draws("train", 1).z)


def test_the_bits_of_a_model_of_bits_are_drawn_several_times(vae):
    codes = Codes(vae, mini(50), True, 5)
    examples = [next(codes._examples("train", turn))[0].numpy() for turn in (0, 1, 0)]
    assert set(np.unique(examples[0])) == {0.0, 1.0}
    np.testing.assert_array_equal(examples[0], examples[2])
    assert np.any(examples[0] != examples[1])
    grey = mini(50).train.images / 255
    error = np.sqrt((grey * (1 - grey)).sum()) / grey.size
    assert abs(examples[0].mean() - grey.mean()) < 4 * error


@pytest.mark.parametrize(
    "settings",
    [{"prior": "vamp"}, {"prior": "flow", "prior_components": 3}, {"epochs": 0}, {"learning_rate": 0.0}, {"seed": -1}],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings)).partition("_")[0]):
        PriorFitConfig(**settings)


def test_components_of_a_flow_are_refused_in_the_words_of_what_can_be_fitted():
    with pytest.raises(ConfigError, match="for fitting a mixture; got 3 with flow") as error:
        PriorFitConfig(prior="flow", prior_components=3)
    assert "vamp" not in str(error.value)


def test_the_model_that_is_fitted_has_no_free_bits(vae):
    """A mixture has no KL of each dimension, which they need; but its loss, and so the effective beta, can be had."""
    fit = PriorFitConfig(prior="mixture", prior_components=2)
    old = VAE(vae.encoder, vae.decoder, vae.prior, ELBO(beta=2.0, free_bits=0.1))
    old.build((None, 28, 28, 1))
    new = prior_fitting.with_prior(old, prior_fitting.new_prior(fit, old), fit)
    assert effective_beta(new, mini(5).train.images) == pytest.approx(2.0)


def test_a_config_records_the_fit():
    fit = PriorFitConfig(prior="flow", epochs=3)
    config = replace(
        from_settings(SIZE | {"prior": "flow"}), prior_fit=asdict(fit) | {"run": "/home/me/run", "sha256": "0"}
    )
    assert TrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert (config.fit, config.num_epochs, config.epochs) == (fit, 3, 20)
    assert config.to_publish()["prior_fit"]["run"] == "run"
    with pytest.raises(ConfigError, match="prior_fit"):
        replace(config, prior_fit={"run": "x"})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = from_settings(SIZE | {"dataset": "fashion_mnist_mini", "epochs": 1, "pictures_every": 0})
    return train(config, tmp_path_factory.mktemp("runs") / "run").path


@pytest.mark.parametrize(("rate", "words"), [(12.0, "Warning: the fitted prior is worse"), (10.1, ""), (3.0, "")])
def test_a_fit_that_is_worse_than_the_prior_before_it_says_so(run, rate, words, monkeypatch, tmp_path):
    made = SimpleNamespace(path=tmp_path, metrics={"rate": Estimate(rate, 0.1)})
    found = prior_fitting.Fitted(made, {"rate": {"value": 10.0, "standard_error": 0.1}})
    monkeypatch.setattr(prior_fitting, "fit_prior", lambda *arguments: found)
    result = CliRunner().invoke(main, ["fit-prior", str(run), "--out", str(tmp_path / "x")], catch_exceptions=False)
    assert result.exit_code == 0 and f"{rate:.2f} ± 0.10 with the fitted prior" in result.stdout
    assert " ".join(result.stderr.split()).startswith(words) and bool(result.stderr) == bool(words)


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["mixture", "flow"])
def test_a_run_is_made_whose_rate_is_lower(run, prior, tmp_path):
    out = tmp_path / "fitted"
    options = ["--prior", prior, "--epochs", "3", "--out", str(out)]
    options += ["--prior-components", "10"] if prior == "mixture" else []
    result = CliRunner().invoke(main, ["fit-prior", str(run), *options, "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["metrics"]["rate"]["value"] < found["before"]["rate"]["value"]
    made = run_files.RunFiles.read(out)
    assert made.state == "finished" and made.num_epochs == 3 == made.config.num_epochs
    assert made.config.model.prior == prior and made.config.epochs == 1
    for name in (
        layout.BUNDLE, layout.CURVES, layout.DATASET, layout.DIAGNOSIS, layout.ENVIRONMENT, layout.MODEL,
        layout.RECONSTRUCTIONS, layout.REPORT, layout.SAMPLES,
    ):  # fmt: skip
        assert (out / name).exists(), name
    with (out / layout.HISTORY).open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert "fit-prior" in (out / layout.REPORT).read_text() and "fitted" in (out / layout.REPORT).read_text()
    old, new = load_model(run), load_model(out)
    for part in ("encoder", "decoder"):
        for one, other in zip(getattr(old, part).weights, getattr(new, part).weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert json.loads((out / "bundle" / "manifest.json").read_text())["prior"] == prior
    again = CliRunner().invoke(main, ["fit-prior", str(run), *options])
    assert again.exit_code == 1 and again.stderr.count("\n") == 1 and "fitted" in again.stderr
    resumed = CliRunner().invoke(main, ["train", "--resume", str(out), "--epochs", "9"])
    assert resumed.exit_code == 1 and "--init-from" in resumed.stderr


def test_folders_that_are_no_finished_runs_are_refused(run, tmp_path):
    with pytest.raises(KvaeError, match="not a finished run"):
        prior_fitting.fit_prior(tmp_path, tmp_path / "out", PriorFitConfig())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(KvaeError, match="full exists and is not an empty folder"):
        prior_fitting.fit_prior(run, tmp_path / "full", PriorFitConfig())
    with pytest.raises(KvaeError, match="is in|is an input|holds an input"):
        prior_fitting.fit_prior(run, run / "inside", PriorFitConfig())


def test_nothing_is_left_of_an_interrupted_fit(run, tmp_path):
    def interrupt(*values):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prior_fitting.fit_prior(run, tmp_path / "out", PriorFitConfig(epochs=2), progress=interrupt)
    assert list(tmp_path.iterdir()) == []
