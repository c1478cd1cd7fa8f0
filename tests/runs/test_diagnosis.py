"""What is said at the end of a training, on histories made by hand: each finding on one side of its threshold only."""

import json
import shlex

import numpy as np
import pytest

from kvae.config import ModelConfig, TrainConfig
from kvae.runs import diagnosis

PIXELS = 100
CONFIG = TrainConfig(model=ModelConfig(latent_dim=8))


def history(validation, training=None):
    """A history with these validation losses; the training losses are a nat lower unless others are given."""
    validation = np.asarray(validation, float)
    training = validation - 1 if training is None else np.asarray(training, float)
    return {
        "loss": training.tolist(), "elbo": (-training).tolist(),
        "val_loss": validation.tolist(), "val_elbo": (-validation).tolist(),
    }  # fmt: skip


FLAT = history([60, 50, 45, 42, 40.5, 40.1, 40.05, 40.04])


def kinds(values=FLAT, config=CONFIG, **known):
    return [finding.kind for finding in diagnosis.diagnose("runs/a b", config, values, PIXELS, **known)]


def test_a_training_that_went_well_is_said_nothing_about():
    assert kinds(active_units=8.0, posterior_scales=[0.5] * 8) == []
    assert kinds({}) == [] and kinds({"loss": [50.0]}) == []


@pytest.mark.parametrize(("gain", "expected"), [(0.9, []), (1.1, ["falling"])])
def test_the_loss_still_falls_by_the_rule_of_a_comparison(gain, expected):
    """`progress_of`: a tenth of the fall of 10 nats in the last third."""
    assert kinds(history([60, 50, 45, 42, 41.5, 40 + gain, 40 + gain / 2, 40])) == expected


def test_the_advice_is_a_command_that_works_as_it_stands():
    (finding,) = diagnosis.diagnose("runs/a b", CONFIG, history([60, 50, 45, 41]), PIXELS)
    assert "by 9.00 nats in the last 2 epochs" in finding.text
    assert finding.advice.endswith("kvae train --resume 'runs/a b' --epochs 8")


def test_without_validation_the_training_loss_is_looked_at():
    assert kinds({"loss": [60.0, 50.0, 40.0], "elbo": [-60.0, -50.0, -40.0]}) == ["falling"]


@pytest.mark.parametrize(
    ("validation", "training", "expected"),
    [
        ([60, 40, 41, 42], [59, 39, 35, 30], ["overfitting"]),
        ([60, 40, 40.2, 40.4], [59, 39, 35, 30], []),
        ([60, 41, 40, 42], [59, 39, 35, 30], []),
        ([60, 40, 41, 42], [59, 39, 39, 39.5], []),
    ],
    ids=["rises", "rises a little", "for one epoch", "with the training loss"],
)
def test_overfitting(validation, training, expected):
    assert [kind for kind in kinds(history(validation, training)) if kind != "validation"] == expected


def test_a_loss_that_rises_with_the_training_loss_diverged():
    (finding,) = diagnosis.diagnose("r", CONFIG, history([60, 40, 55, 58]), PIXELS)
    assert finding.kind == "diverged" and "learning rate 0.002" in finding.text and "epoch 2" in finding.text
    assert "try 0.0002" in finding.advice


@pytest.mark.parametrize(
    ("likelihood", "noise"),
    [("bernoulli", 69.3), ("discretized_logistic", 554.5), ("normal", 0.0), ("continuous_bernoulli", 0.0)],
)
def test_a_model_that_is_worse_than_noise_diverged(likelihood, noise):
    """By a nat per pixel; then nothing else is said, because it follows from it."""
    config = TrainConfig(learning_rate=100.0, model=ModelConfig(likelihood=likelihood))
    worse, better = ([noise + PIXELS + by] * 2 for by in (1, -1))
    found = diagnosis.diagnose("r", config, history(worse), PIXELS, active_units=0.0)
    assert [finding.kind for finding in found] == ["diverged"]
    assert "learning rate 100 " in found[0].text and "lower learning rate than 100 (try 10)" in found[0].advice
    assert kinds(history(better), config) == []


def test_values_that_are_not_finite_do_not_break_it():
    assert kinds(history([60, float("nan"), 50, 45])) == ["falling"]
    assert kinds({"val_loss": [float("nan")] * 3, "loss": [float("inf")] * 3}) == []


@pytest.mark.parametrize(
    ("active", "words"),
    [
        (0.0, "none of the 8 latent dimensions is used: all images have the same code"),
        (1.0, "only 1 of the 8"),
        (2, ""),
    ],
)
def test_collapse(active, words):
    found = diagnosis.diagnose("r", CONFIG, FLAT, PIXELS, active_units=active)
    assert len(found) == bool(words)
    if words:
        assert words in found[0].text and "--free-bits" in found[0].advice and "--beta " not in found[0].advice


def test_the_dimensions_of_a_ladder_are_those_that_it_has_not_those_of_its_first_group():
    (finding,) = diagnosis.diagnose("r", CONFIG, FLAT, PIXELS, active_units=9.0, posterior_scales=[0.5] * 260)
    assert finding.text == "only 9 of the 260 latent dimensions are used"
    assert finding.advice.endswith("a smaller --latent-dim than 8")
    assert diagnosis.diagnose("r", CONFIG, FLAT, PIXELS, active_units=200.0, posterior_scales=[0.5] * 260) == []


def test_a_large_beta_is_the_first_thing_to_try():
    config = TrainConfig(beta=4.0, model=ModelConfig(latent_dim=8))
    (finding,) = diagnosis.diagnose("r", config, FLAT, PIXELS, active_units=0.0)
    assert finding.advice.startswith("try a lower --beta than 4")


def test_one_of_two_dimensions_in_use_is_no_collapse():
    assert kinds(config=TrainConfig(model=ModelConfig(latent_dim=2)), active_units=1.0) == []


def test_scales_at_their_floor():
    config = TrainConfig(entropy_weight=0.0)
    (finding,) = diagnosis.diagnose("r", config, FLAT, PIXELS, posterior_scales=[0.5, 1.5e-4])
    assert "1 of 2 latent dimensions" in finding.text and "--entropy-weight above 0" in finding.advice
    assert kinds(posterior_scales=[0.5, 2.5e-4]) == []
    assert kinds(floor_share=0.09) == []
    (finding,) = diagnosis.diagnose("r", CONFIG, FLAT, PIXELS, floor_share=0.62)
    assert "62% of the pixels" in finding.text


@pytest.mark.parametrize(("gap", "expected"), [(1.5, []), (2.5, ["validation"])])
def test_validation_that_is_better_than_training(gap, expected):
    """By more than a twentieth of 40 nats."""
    validation = np.array([60, 50, 45, 42, 40.5, 40.1, 40.05, 40.04])
    assert kinds(history(validation, validation + gap)) == expected
    moved = diagnosis.diagnose("r", TrainConfig(shift=1), history(validation, validation + gap), PIXELS)
    assert ["as they are not moved" in finding.text for finding in moved] == [True] * len(expected)


def test_moving_the_images_is_advice_against_overfitting_unless_they_are_moved():
    losses = history([60, 40, 41, 42], [59, 39, 38, 37])
    for shift in (0, 1):
        (finding,) = diagnosis.diagnose("r", TrainConfig(shift=shift), losses, PIXELS)
        assert finding.kind == "overfitting" and ("--shift 1" in finding.advice) == (shift == 0)


def test_findings_are_json_and_sentences():
    found = diagnosis.diagnose("r", CONFIG, history([60, 50, 40]), PIXELS)
    (values,) = json.loads(json.dumps(diagnosis.as_json(found)))
    assert diagnosis.as_text(values) == diagnosis.as_text(found[0])
    assert diagnosis.as_text(found[0]).startswith("The loss was still falling")
    assert diagnosis.as_text({}) == ". ."


def test_the_command_names_a_folder_as_a_shell_reads_it():
    """A run whose folder has a quote in its name gets a command that a shell reads as one word."""
    (finding,) = diagnosis.diagnose("it's", CONFIG, history([60, 50, 40]), PIXELS)
    assert shlex.split(finding.advice.partition(": ")[2]) == ["kvae", "train", "--resume", "it's", "--epochs", "6"]
