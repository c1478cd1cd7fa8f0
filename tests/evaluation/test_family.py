"""Evaluations of every kind of model, against closed forms and against an estimator that shares no code with kvae."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gaussian_family import (
    GROUPS,
    KINDS,
    LABELS,
    components,
    has_labels,
    images,
    log_normal,
    log_p,
    log_p_marginal,
    posterior,
    write,
)
from second_estimator import estimate

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.evaluation import check_comparable, evaluate, paired
from kvae.evaluation.evaluation import why_only_marginal
from kvae.runtime import Bundle, importance, information, proposals, scoring
from kvae.runtime.latents import Posterior

COUNT = 24
CONDITIONAL = [kind for kind in KINDS if has_labels(kind)]
LADDERS = [kind for kind in KINDS if kind.startswith("ladder")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: write(folder / kind, kind) for kind in KINDS}


@pytest.fixture(scope="module")
def bundles(folders):
    return {kind: Bundle.open(path, device="cpu", threads=1) for kind, path in folders.items()}


def given(kind, count=COUNT):
    """Images, and their labels if the model has labels."""
    pixels, labels = images(kind, count)
    return pixels, labels if has_labels(kind) else None


@pytest.fixture(scope="module")
def results(bundles):
    """Each kind's evaluation with 500 draws."""
    return {kind: evaluate(bundles[kind], given(kind)[0], 500, seed=1, labels=given(kind)[1]) for kind in KINDS}


# Against closed forms


@pytest.mark.parametrize("kind", KINDS)
def test_the_nll_is_that_of_the_closed_form(results, kind):
    """-log p(x|y) within 0.5 % on average, and 5 standard errors for each image, by its effective sample size."""
    pixels, labels = images(kind, COUNT)
    x = pixels.reshape(COUNT, 12) / 255
    exact = np.array([-log_p(kind, row, label) for row, label in zip(x, labels, strict=True)])
    found = results[kind].per_image
    assert found["nll"].mean() == pytest.approx(exact.mean(), rel=5e-3)
    error = np.sqrt(1 / found["effective_sample_size"] - 1 / 500)
    np.testing.assert_array_less(np.abs(found["nll"] - exact), 5 * error)
    assert np.all(found["effective_sample_size"] > 100)  # so that each number above is an estimate


@pytest.mark.parametrize("kind", CONDITIONAL)
def test_the_marginal_is_the_sum_over_the_labels(results, kind):
    """-log sum_y p(y) p(x|y), within 0.5 %, and 5 standard errors for each image; it is not the NLL given the label."""
    x = given(kind)[0].reshape(COUNT, 12) / 255
    exact, found = -log_p_marginal(kind, x), results[kind].per_image
    assert found["nll_marginal"].mean() == pytest.approx(exact.mean(), rel=5e-3)
    error = np.sqrt(1 / found["effective_sample_size_marginal"])
    np.testing.assert_array_less(np.abs(found["nll_marginal"] - exact), 5 * error)
    assert np.mean(np.abs(found["nll_marginal"] - found["nll"])) > 0.05


def test_two_classes_add_up_to_one_density():
    """The closed form itself: the mean of p(x) / q(x) over draws from another mixture q is 1, within 4 errors."""
    rng = np.random.default_rng(0)
    x, _ = images("labels", 2)
    centres = np.concatenate([x.reshape(2, 12) / 255, np.full((1, 12), 0.5)])
    draws = centres[rng.integers(0, 3, 200_000)] + 0.5 * rng.normal(size=(200_000, 12))
    log_q = np.logaddexp.reduce([log_normal(draws, c, 0.25 * np.eye(12)) for c in centres], axis=0) - np.log(3)
    ratio = np.exp(log_p_marginal("labels", draws) - log_q)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(200_000)


def test_a_few_draws_are_unbiased_for_the_marginal(bundles):
    """The mean of exp(-estimate) over 600 seeds is p(x), within 4 standard errors, with a draw for each label."""
    pixels, labels = given("labels", 1)
    image, label = pixels[0] / np.float32(255), int(labels[0])
    exact = np.exp(log_p_marginal("labels", pixels.reshape(1, 12) / 255)[0])
    loc, scale = bundles["labels"].encode(image[None], label)
    found = []
    for seed in range(600):
        own = importance.estimate(bundles["labels"], image, loc[0], scale[0], 0, 1, seed, label=label)
        nll, _ = importance.marginal(bundles["labels"], image, 0, 1, seed, {label: own})
        found.append(np.exp(-nll))
    assert abs(np.mean(found) - exact) < 4 * np.std(found) / np.sqrt(600)


def test_a_label_that_never_occurs_adds_nothing(tmp_path):
    """p(y) = 0: the marginal is p(x|y) of the other label, and the image's own label is not in it."""
    folder = write(tmp_path / "b", "labels", label_weights=[0, 2**53])
    pixels, _ = given("labels", 4)
    found = evaluate(Bundle.open(folder, "cpu", threads=1), pixels, 200, labels=0).per_image
    exact = -log_p("labels", pixels.reshape(4, 12) / 255, 1)
    np.testing.assert_allclose(found["nll_marginal"], exact, atol=0.2)


@pytest.mark.parametrize("kind", LADDERS)
def test_a_ladder_s_rate_is_that_of_its_groups(results, kind):
    """The closed form, averaged over z_0: with loc_1 linear in it, every mean is known. Within 4 standard errors."""
    pixels, labels = images(kind, COUNT)
    exact = []
    for x, label in zip(pixels.reshape(COUNT, 12) / 255, labels, strict=True):
        gain, shift, covariance = posterior(kind, label)
        mean, variance = gain @ x + shift, 1.44 * covariance[0, 0]
        slope = covariance[1:, 0] / covariance[0, 0]
        scale = 1.2 * np.sqrt(np.diag(covariance[1:, 1:] - np.outer(slope, covariance[0, 1:])))
        first = 0.5 * (mean[0] ** 2 + variance - 1) - 0.5 * np.log(variance)
        second = np.sum(0.5 * (mean[1:] ** 2 + slope**2 * variance + scale**2 - 1) - np.log(scale))
        exact.append([first, second])
    found = results[kind]
    np.testing.assert_allclose(found.group_rates[:, 0], np.array(exact)[:, 0], rtol=1e-4)
    difference = found.group_rates[:, 1] - np.array(exact)[:, 1]
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(COUNT)
    np.testing.assert_allclose(found.group_rates.sum(axis=1), found.per_image["rate"])
    np.testing.assert_allclose([rate.value for rate in found.rate_by_group], found.group_rates.mean(axis=0))
    assert len(found.rate_by_group) == len(GROUPS)


@pytest.mark.parametrize("kind", ["affine", "label prior"])
def test_a_sampled_rate_is_the_kl(results, kind):
    """Of two Gaussians, in closed form, within 4 standard errors of the 500 draws of 24 images."""
    pixels, labels = images(kind, COUNT)
    exact = []
    for x, label in zip(pixels.reshape(COUNT, 12) / 255, labels, strict=True):
        gain, shift, covariance = posterior(kind, label)
        (_, mean, prior), variance = components(kind, label)[0], 1.44 * np.diag(covariance)
        away = gain @ x + shift - mean
        trace = np.trace(np.linalg.solve(prior, np.diag(variance)))
        log_ratio = np.linalg.slogdet(prior)[1] - np.sum(np.log(variance))
        exact.append(0.5 * (trace + away @ np.linalg.solve(prior, away) - 3 + log_ratio))
    difference = results[kind].per_image["rate"] - np.array(exact)
    assert abs(difference.mean()) < 4 * difference.std() / np.sqrt(COUNT)
    assert difference.std() < 0.5


def test_the_information_of_a_prior_of_graphs_splits_its_rate(bundles, results):
    """log q - log p of the first draw of each image, with log p of the closed form."""
    pixels, _ = given("mixture")
    found = results["mixture"].per_image
    loc, scale = (part.astype(float) for part in bundles["mixture"].encode(pixels / np.float32(255)))
    epsilon = np.concatenate([noise.standard_normal(1, index * 2**32, 1, 3) for index in range(COUNT)])
    z = loc + scale * epsilon
    log_prior = np.logaddexp.reduce([np.log(p) + log_normal(z, m, c) for p, m, c in components("mixture")], axis=0)
    log_q = np.sum(-0.5 * epsilon**2 - np.log(scale) - 0.5 * np.log(2 * np.pi), axis=1)
    np.testing.assert_allclose(found["mutual_information"] + found["marginal_kl"], log_q - log_prior, atol=1e-4)


@pytest.mark.parametrize("kind", ["labels", "label prior"])
def test_with_labels_the_information_is_that_given_the_label(bundles, kind):
    """It equals that of an evaluation of the images of one label alone, which share its noise where they come first."""
    pixels, labels = given(kind)
    order = np.argsort(labels, kind="stable")
    pixels, labels, count = pixels[order], labels[order], int(np.sum(labels == 0))
    whole = evaluate(bundles[kind], pixels, 10, labels=labels)
    part = evaluate(bundles[kind], pixels[:count], 10, labels=labels[:count])
    for name in ("mutual_information", "marginal_kl"):
        np.testing.assert_allclose(whole.per_image[name][:count], part.per_image[name], atol=1e-6)
    assert information.limit(4, np.array([0, 0, 1, 1])) == pytest.approx(np.log(2))


# Against the second estimator


def joint_errors(bundle, deviations, draws, others):
    """The standard errors of differences: of kvae's ELBO and of its NLL with so many draws, to `others` of numpy's.

    kvae's rate is in closed form for N(0, I), so its ELBO varies with the log likelihood alone; in a ladder the rate of
    a draw varies too, by less than its log p(z) - log q(z|x).
    """
    log_weight, log_likelihood, weight = deviations
    own = log_weight
    if bundle.prior.has_closed_rate:
        own = log_likelihood + (bundle.manifest.groups is not None) * (log_weight + log_likelihood)
    elbo = np.sqrt(own**2 / draws + log_weight**2 / others)
    return elbo, weight * np.sqrt(1 / draws + 1 / others)


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_estimator_agrees(folders, bundles, results, kind):
    """ELBO and log p(x|y) of each image within 4.5 of their joint standard errors, and on average within 4."""
    pixels, labels = given(kind)
    elbo, log_p_x, *deviations = estimate(folders[kind], pixels / 255, labels, 2000, seed=1)
    errors = joint_errors(bundles[kind], deviations, 500, 2000)
    found = results[kind].per_image
    for name, other, error in (("elbo", elbo, errors[0]), ("nll", -log_p_x, errors[1])):
        difference = found[name] - other
        np.testing.assert_array_less(np.abs(difference), 4.5 * error + 1e-4, err_msg=name)
        assert abs(difference.mean()) < 4 * np.sqrt(np.mean(error**2) / COUNT) + 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_scores_agree_with_the_second_estimator(folders, bundles, kind):
    """500 draws, the same for every image: within 5 joint standard errors for each."""
    pixels, labels = given(kind)
    elbo, _, *deviations = estimate(folders[kind], pixels / 255, labels, 2000, seed=2)
    found = scoring.score(bundles[kind], pixels / np.float32(255), draws=500, label=labels)
    error, _ = joint_errors(bundles[kind], deviations, 500, 2000)
    np.testing.assert_array_less(np.abs(found.elbo - elbo), 5 * error + 1e-4)


# What the numbers depend on


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_and_groups_do_not_matter(bundles, results, kind, monkeypatch):
    """Within float32's rounding of the graphs."""
    monkeypatch.setattr(importance, "CHUNK", 130)
    monkeypatch.setattr(importance, "GROUP", 3000)
    monkeypatch.setenv("KVAE_THREADS", "3")
    pixels, labels = given(kind)
    found = evaluate(bundles[kind], pixels, 500, seed=1, labels=labels)
    for name, values in results[kind].per_image.items():
        np.testing.assert_allclose(found.per_image[name], values, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("kind", LADDERS)
def test_log_weights_of_a_ladder_are_those_of_its_codes(bundles, kind):
    """log N(z; 0, I) - log q(z|x), with q as the chain of its Gaussians at z, within 1e-4, for a factor 1 and 4."""
    pixels, labels = given(kind, 3)
    epsilon = np.random.default_rng(0).normal(size=(3, 5, 3)).astype(np.float32)
    nowhere = Posterior(np.zeros((3, 3), np.float32), np.zeros((3, 3), np.float32))
    for factor in (1.0, 4.0):
        factors = np.full((3, 3), factor, np.float32)
        drawn = proposals.draw(bundles[kind], pixels / np.float32(255), nowhere, epsilon, labels, factors)
        found = bundles[kind].prior.log_ratio(drawn.z, epsilon, drawn.scale, labels)
        for index in range(3):
            gain, shift, covariance = posterior(kind, 0 if labels is None else labels[index])
            mean = gain @ (pixels[index].ravel() / 255) + shift
            slope = covariance[1:, 0] / covariance[0, 0]
            scale = 1.2 * np.sqrt(
                np.append(covariance[0, 0], np.diag(covariance[1:, 1:] - np.outer(slope, covariance[0, 1:])))
            )
            z = drawn.z[index].astype(float)
            loc = np.column_stack([np.full(5, mean[0]), mean[1:] + slope * (z[:, :1] - mean[0])])
            log_q = np.sum(-0.5 * ((z - loc) / (factor * scale)) ** 2 - np.log(factor * scale), axis=1)
            np.testing.assert_allclose(found[index], np.sum(-0.5 * z**2, axis=1) - log_q, atol=1e-4)


class Narrow:
    """A ladder whose encoder's scales are a thirtieth of what they were."""

    def __init__(self, bundle):
        self._bundle, self.manifest, self.prior, self.labels = bundle, bundle.manifest, bundle.prior, bundle.labels

    def run(self, graph, inputs, outputs):
        if graph != "encoder":
            return self._bundle.run(graph, inputs, outputs)
        found = self._bundle.run(graph, inputs | {"noise": inputs["noise"] / np.float32(30)}, outputs)
        return found | {"scale": found["scale"] / np.float32(30)}

    def encode(self, pixels, label=None):
        found = self.run(
            "encoder", {"images": pixels, "noise": np.zeros((len(pixels), 3), np.float32)}, ["loc", "scale"]
        )
        return Posterior(**found)


def test_a_narrow_ladder_is_widened(bundles):
    """By a power of 2; the NLL is within 0.15 of the closed form, while the narrow one is nats too high, and the ELBO
    is the narrow encoder's own."""
    pixels, _ = given("ladder", 8)
    exact = -log_p("ladder", pixels.reshape(8, 12) / 255)
    adaptive = evaluate(Narrow(bundles["ladder"]), pixels, 1000)
    narrow = evaluate(Narrow(bundles["ladder"]), pixels, 1000, proposal="posterior")
    assert np.all(adaptive.per_image["widening"] >= 8)
    assert abs(adaptive.per_image["nll"].mean() - exact.mean()) < 0.15
    assert narrow.per_image["nll"].mean() > exact.mean() + 0.3
    assert narrow.per_image["effective_sample_size"].mean() < adaptive.per_image["effective_sample_size"].mean()
    np.testing.assert_allclose(adaptive.per_image["elbo"], narrow.per_image["elbo"], atol=1.0)
    assert any("too narrow" in warning for warning in adaptive.warnings)


# Labels and words


def test_the_best_labels_have_the_highest_elbo(bundles, results):
    pixels, labels = given("labels")
    found = evaluate(bundles["labels"], pixels, 50, labels="best")
    np.testing.assert_array_equal(
        found.labels, scoring.score(bundles["labels"], pixels / np.float32(255), label="best").label
    )
    assert found.labels_are_best and not results["labels"].labels_are_best
    assert "too good" in found.about and "too good" not in results["labels"].about
    named = evaluate(bundles["labels"], pixels, 50, labels=[LABELS[label] for label in labels])
    np.testing.assert_array_equal(named.labels, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_asked_for_where_the_model_has_them(bundles, kind):
    pixels, labels = given(kind)
    wrong = {"one for each of the 24": [0] * 23, "out of range": 5, "conditional": None} if has_labels(kind) else {
        "no labels": 0, "this model has no labels": "best"
    }  # fmt: skip
    for message, label in wrong.items():
        with pytest.raises(KvaeError, match=message) as caught:
            evaluate(bundles[kind], pixels, 10, labels=label)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_the_words_say_what_the_numbers_are(results, kind):
    found = results[kind]
    values = json.loads(json.dumps(found.to_dict()))
    assert ("log p(x|y)" in found.about) == has_labels(kind)
    assert ("nll_marginal" in values["metrics"]) == has_labels(kind) == ("images_by_label" in values)
    assert ("mutual_information" in values["metrics"]) == (kind not in LADDERS) == ("left_out" not in values)
    assert ("rate_by_group" in values) == (kind in LADDERS)
    if has_labels(kind):
        assert sum(values["images_by_label"].values()) == COUNT and values["given"] == "label"


def test_an_unreliable_marginal_is_a_warning(results):
    found = results["labels"]
    few = replace(found, per_image=found.per_image | {"effective_sample_size_marginal": np.full(COUNT, 1.5)})
    assert any("-log p(x) is unreliable: for 100%" in warning for warning in few.warnings)
    assert not any("-log p(x)" in warning for warning in found.warnings)


def test_a_model_with_labels_and_one_without_are_compared_by_log_p_of_x_alone(results, bundles):
    """-log p(x) of the one against the NLL of the other, image by image, in both orders."""
    pixels, _ = given("labels")
    with_labels, without = results["labels"], evaluate(bundles["ladder"], pixels, 500, seed=1)
    check_comparable(with_labels.manifest, without.manifest)
    found, back = paired(with_labels, without), paired(without, with_labels)
    assert set(found) == {"nll_marginal"} == set(back)
    expected = with_labels.per_image["nll_marginal"] - without.per_image["nll"]
    assert found["nll_marginal"].value == pytest.approx(expected.mean()) == -back["nll_marginal"].value
    assert "log p(x|y), and the other about images alone" in why_only_marginal(with_labels, without)
    assert why_only_marginal(without, without) is None
    few = replace(without, importance_samples=10)
    assert paired(with_labels, few) == {}


def test_a_model_of_other_images_is_not_compared_whatever_the_labels(results):
    one, other = results["labels"].manifest, replace(results["ladder"].manifest, likelihood="bernoulli")
    with pytest.raises(KvaeError, match="cannot be compared"):
        check_comparable(one, other)


def test_a_ladder_is_compared_without_what_it_has_not(results, bundles):
    pixels, _ = given("ladder")
    other = evaluate(bundles["mixture"], pixels, 500, seed=1)
    found = paired(results["ladder"], other)
    assert "elbo" in found and "marginal_kl" not in found
    assert "marginal_kl" not in paired(other, results["ladder"])
