"""The caveats beside the numbers, for every kind of model and of loss."""

import pytest

from kvae import likelihoods
from kvae.bundle import caveats
from kvae.config import LIKELIHOODS


@pytest.mark.parametrize(
    ("likelihood", "binarize", "kind", "words"),
    [
        ("bernoulli", "dynamic", "log-probability", "log-probabilities of binarised images"),
        (
            "bernoulli",
            "none",
            "surrogate",
            "grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood",
        ),
        ("continuous_bernoulli", "none", "log-density", "log-densities (continuous_bernoulli) of pixels in [0, 1]"),
        ("discretized_logistic", "none", "log-probability", "log-probabilities of 8-bit images"),
        ("normal", "none", "log-density", "log-densities (normal) of pixels in [0, 1]"),
    ],
)
def test_the_numbers_of_each_likelihood_are_named_correctly(likelihood, binarize, kind, words):
    assert caveats.kind(likelihood, binarize) == kind
    assert caveats.about_numbers(likelihood, binarize).startswith(words)


def test_every_likelihood_has_a_kind():
    kinds = {name: caveats.kind(name, "none") for name in LIKELIHOODS}
    assert set(kinds.values()) == {caveats.SURROGATE, likelihoods.DENSITY, likelihoods.PROBABILITY}
    assert [name for name, kind in kinds.items() if kind == likelihoods.DENSITY] == ["continuous_bernoulli", "normal"]


def test_densities_are_not_comparable_with_probabilities():
    for likelihood in ("continuous_bernoulli", "normal"):
        assert caveats.about_numbers(likelihood, "none").endswith("not comparable with log-probabilities")


def test_the_negative_elbo_has_no_caveat():
    assert caveats.about_loss(1.0, 1.0) is None


@pytest.mark.parametrize(
    ("beta", "entropy_weight", "words"),
    [
        (0.5, 1.0, "the loss weights the KL by 0.5: below 1 it is not a bound on the negative log-likelihood"),
        (0.0, 1.0, "the loss weights the KL by 0: below 1 it is not a bound"),
        (4.0, 1.0, "the loss weights the KL by 4: a looser bound than the negative ELBO"),
        (1.0, 0.0, "the loss weights the posterior's entropy by 0, not 1: it is not a bound"),
        (1.0, 2.0, "the loss weights the posterior's entropy by 2, not 1: it is not a bound"),
        (4.0, 0.5, "the loss weights the posterior's entropy by 0.5, not 1: it is not a bound"),
    ],
)
def test_every_other_loss_has_a_caveat(beta, entropy_weight, words):
    assert caveats.about_loss(beta, entropy_weight).startswith(words)
    assert caveats.about_training({"beta": beta, "entropy_weight": entropy_weight}) == caveats.about_loss(
        beta, entropy_weight
    )


def test_the_caveat_says_not_a_bound_exactly_if_the_loss_is_not_one():
    """Distortion + beta KL is an upper bound if beta is at least 1; with another entropy weight it is not a bound."""
    for beta in (0.0, 0.99, 1.0, 1.01, 10.0):
        for entropy_weight in (0.0, 1.0, 1.5):
            words = caveats.about_loss(beta, entropy_weight) or ""
            assert ("not a bound" in words) == (beta < 1 or entropy_weight != 1)


def test_missing_training_settings_have_their_defaults():
    assert caveats.about_training({}) is None
    assert caveats.about_training({"epochs": 3, "beta": 1}) is None
    assert caveats.about_training({"entropy_weight": 1, "beta": 2}) == caveats.about_loss(2.0, 1.0)


@pytest.mark.parametrize("odd", [None, "0.5", [0.5], {"value": 0.5}, [], {}])
def test_settings_that_are_not_numbers_are_ignored(odd):
    """Another program may have written the manifest: its training settings can be any JSON object."""
    assert caveats.about_training({"beta": odd}) is None
    assert caveats.about_training({"beta": 0.5, "entropy_weight": odd}) is None


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1.0, 10**300, True, False])
def test_odd_numbers_break_nothing(odd):
    for name in ("beta", "entropy_weight"):
        words = caveats.about_training({name: odd})
        assert words is None or words.startswith("the loss weights")


def test_an_importance_weighted_loss_is_said_to_be_a_bound():
    assert caveats.about_draws(1) is None
    assert "5 draws" in caveats.about_draws(5) and "bound on the negative log-likelihood" in caveats.about_draws(5)


def test_losses_of_moved_images_are_said_to_be():
    assert "images moved by up to 2 pixels" in str(caveats.about_shift({"shift": 2}))
    for training in ({}, {"shift": 0}, {"shift": "a lot"}, {"shift": float("nan")}):
        assert caveats.about_shift(training) is None
