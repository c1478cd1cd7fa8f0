"""Evaluations of a bundle against numpy: estimates, their errors, warnings and comparisons."""

import hashlib
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from linear_gaussian import LinearGaussian

from kvae.bundle import binarization, comparable, noise
from kvae.data import datasets
from kvae.data.held_out_split import held_out
from kvae.errors import BundleError, DataError, KvaeError
from kvae.evaluation import data, evaluation
from kvae.evaluation.data import labelled_test_images
from kvae.evaluation.data import test_images as images_of_the_test_split
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.evaluation import check_comparable, evaluate, paired
from kvae.evaluation.result import Evaluation
from kvae.runtime import importance
from kvae.runtime.bundle import Bundle

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)
PER_IMAGE = {
    "elbo", "distortion", "rate", "nll", "gap", "bits_per_dim", "effective_sample_size", "widening",
    "mutual_information", "marginal_kl",
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle.open(bundle_path, device="cpu")


@pytest.fixture(scope="module")
def found(bundle):
    """Twelve images, six draws for each; the model's posteriors are wide enough to be the proposals."""
    return evaluate(bundle, IMAGES, importance_samples=6, seed=4)


def same_numbers(one, other):
    assert one.per_image.keys() == other.per_image.keys()
    return all(np.array_equal(values, other.per_image[name]) for name, values in one.per_image.items())


# Numbers


def test_per_image_numbers_match_numpy(bundle, found):
    """A Bernoulli model: log p(x|z), KL and log-sum-exp of the weights in float64, within 1e-4 nats."""
    loc, scale = (part.astype(np.float64) for part in bundle.encode(IMAGES / np.float32(255)))
    rate = np.sum(0.5 * (loc**2 + scale**2 - 1) - np.log(scale), axis=1)
    np.testing.assert_allclose(found.per_image["rate"], rate, atol=1e-5)
    for index, image in enumerate(IMAGES / 255):
        epsilon = noise.standard_normal(4, index * 2**32, 6, 3).astype(np.float64)
        z = loc[index] + scale[index] * epsilon
        logits = bundle.run("decoder", {"z": z.astype(np.float32)})["likelihood_parameters"]
        log_p = np.sum(image * logits - np.logaddexp(0, logits.astype(np.float64)), axis=(1, 2, 3))
        log_ratio = np.sum(-0.5 * z**2 + 0.5 * epsilon**2 + np.log(scale[index]), axis=1)
        weights = np.exp(log_p + log_ratio - np.max(log_p + log_ratio))
        nll = -(np.max(log_p + log_ratio) + np.log(weights.mean()))
        expected = {
            "distortion": -log_p.mean(),
            "elbo": log_p.mean() - rate[index],
            "nll": nll,
            "gap": rate[index] - log_p.mean() - nll,
            "bits_per_dim": nll / 64 / math.log(2),
            "effective_sample_size": weights.sum() ** 2 / np.sum(weights**2),
        }
        for name, value in expected.items():
            assert found.per_image[name][index] == pytest.approx(value, abs=1e-4), name


def test_information_uses_the_first_draw_of_each_image(bundle, found):
    """log q(z|x) - log q(z) and log q(z) - log p(z) match a double loop over images, within 1e-5."""
    loc, scale = (part.astype(np.float64) for part in bundle.encode(IMAGES / np.float32(255)))
    np.testing.assert_allclose((found.loc, found.scale), (loc, scale))
    for index in range(len(IMAGES)):
        z = loc[index] + scale[index] * noise.standard_normal(4, index * 2**32, 1, 3)[0].astype(np.float64)
        pairs = np.sum(-0.5 * ((z - loc) / scale) ** 2 - np.log(scale), axis=1)
        aggregated = np.log(np.mean(np.exp(pairs)))
        assert found.per_image["mutual_information"][index] == pytest.approx(pairs[index] - aggregated, abs=1e-5)
        assert found.per_image["marginal_kl"][index] == pytest.approx(aggregated + 0.5 * np.sum(z**2), abs=1e-5)


def test_there_is_one_of_every_number_per_image(found):
    assert set(found.per_image) == PER_IMAGE
    assert {values.shape for values in found.per_image.values()} == {(12,)}
    assert set(found.metrics) == PER_IMAGE | {"active_units"}


def test_an_estimate_is_a_mean_with_its_standard_error():
    estimate = Estimate.of(np.array([1.0, 2.0, 6.0]))
    assert estimate.value == 3
    assert estimate.standard_error == pytest.approx(math.sqrt((4 + 1 + 9) / 2 / 3))


def test_metrics_are_means_over_images(found):
    for name, values in found.per_image.items():
        assert found.metrics[name] == Estimate.of(values)
    assert found.metrics["active_units"].value == found.active.sum()
    for scale, column in zip(found.posterior_scale, found.scale.T, strict=True):
        assert scale.value == pytest.approx(column.mean())


def test_elbo_nll_and_gap_are_consistent(found):
    per_image = found.per_image
    np.testing.assert_allclose(per_image["elbo"], -per_image["distortion"] - per_image["rate"], atol=1e-9)
    np.testing.assert_allclose(per_image["gap"], -per_image["elbo"] - per_image["nll"], atol=1e-9)
    assert np.all((per_image["effective_sample_size"] >= 1) & (per_image["effective_sample_size"] <= 6))


def test_the_entropy_of_the_pixels_stands_beside_the_nll_and_warns_of_one_below_it(bundle):
    """It is a number of the images, not of the model: two models have no difference in it."""
    bits = binarization.binarize(IMAGES, 2)
    found = evaluate(bundle, bits, 6, grey=IMAGES)
    np.testing.assert_array_equal(found.per_image["pixel_entropy"], binarization.entropy(IMAGES))
    assert "pixel_entropy" not in evaluate(bundle, bits, 6).per_image
    assert "pixel_entropy" not in paired(found, found)
    assert not any("entropy of the pixels" in warning for warning in found.warnings)
    low = replace(found, per_image=found.per_image | {"nll": found.per_image["pixel_entropy"] - 0.5})
    (warning,) = [warning for warning in low.warnings if "entropy of the pixels" in warning]
    assert f"{binarization.entropy(IMAGES).mean():.2f} nats" in warning
    for grey in (IMAGES[:3], IMAGES / 255):
        with pytest.raises(KvaeError, match="grey must be the images"):
            evaluate(bundle, bits, 6, grey=grey)


# What the numbers depend on


def test_an_evaluation_is_repeatable_and_another_seed_gives_other_draws(bundle, found):
    assert same_numbers(evaluate(bundle, IMAGES, 6, seed=4), found)
    other = evaluate(bundle, IMAGES, 6, seed=5)
    assert not np.any(other.per_image["nll"] == found.per_image["nll"])
    np.testing.assert_array_equal(other.per_image["rate"], found.per_image["rate"])


@pytest.mark.parametrize("threads", [1, 5])
def test_the_number_of_threads_does_not_matter(bundle, found, monkeypatch, threads):
    monkeypatch.setenv("KVAE_THREADS", str(threads))
    assert same_numbers(evaluate(bundle, IMAGES, 6, seed=4), found)


def test_chunks_of_draws_and_of_images_do_not_matter(bundle, found, monkeypatch):
    """Within float32's rounding of the networks, 1e-5."""
    monkeypatch.setattr(importance, "CHUNK", 4)
    monkeypatch.setattr(evaluation, "ENCODE_BATCH", 5)
    other = evaluate(bundle, IMAGES, 6, seed=4)
    for name, values in found.per_image.items():
        np.testing.assert_allclose(other.per_image[name], values, rtol=1e-5, atol=1e-5)


def test_an_image_s_numbers_do_not_depend_on_later_images(bundle, found):
    """Evaluating only the first images gives the same numbers, except those that depend on all codes."""
    first = evaluate(bundle, IMAGES[:5], 6, seed=4)
    for name in PER_IMAGE - {"mutual_information", "marginal_kl"}:
        np.testing.assert_allclose(first.per_image[name], found.per_image[name][:5], rtol=1e-5, atol=1e-5)


def test_more_samples_lower_the_nll(bundle, found):
    """E log(mean weight) rises with the number of draws; over the 12 images here by less than the gap itself."""
    more = evaluate(bundle, IMAGES, 400, seed=4)
    assert more.metrics["nll"].value < evaluate(bundle, IMAGES, 1, seed=4).metrics["nll"].value
    assert more.metrics["gap"].value > 0


def test_progress_counts_every_image(bundle):
    steps = []
    evaluate(bundle, IMAGES, 1, progress=steps.append)
    assert sum(steps) == len(IMAGES)


def test_an_interrupt_ends_it(bundle):
    """After Ctrl-C while waiting for an image, images still waiting in the pool are not started."""

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(bundle, IMAGES, 1, progress=interrupt)


def test_the_decoder_gets_at_most_a_chunk_of_codes_at_once(bundle, monkeypatch):
    sizes = []
    run = bundle.run

    def counted(graph, inputs, outputs=None):
        if graph == "decoder":
            sizes.append(len(inputs["z"]))
        return run(graph, inputs, outputs)

    monkeypatch.setattr(bundle, "run", counted)
    evaluate(bundle, IMAGES[:2], importance_samples=1300, proposal="posterior")
    assert sum(sizes) == 2600
    assert max(sizes) <= 512


# The proposal


class NarrowEncoder(LinearGaussian):
    """Six latent dimensions; its encoder returns the true posterior's mean and a twentieth of its scale."""

    def __init__(self) -> None:
        super().__init__(latent_dim=6)

    def encode(self, images, label=None):
        assert label is None
        loc, scale = zip(*(self.posterior(image) for image in images), strict=True)
        return np.array(loc), np.array(scale) / np.float32(20)


SMALL_IMAGES = np.random.default_rng(1).integers(0, 256, (8, 3, 4, 1), dtype=np.uint8)


def test_a_healthy_posterior_is_the_proposal_itself(bundle, found):
    """Nothing differs from an evaluation whose only proposal is the posterior."""
    assert found.proposal == "adaptive"
    np.testing.assert_array_equal(found.per_image["widening"], 1)
    posterior = evaluate(bundle, IMAGES, 6, seed=4, proposal="posterior")
    assert posterior.proposal == "posterior"
    assert same_numbers(posterior, found)


def test_a_narrow_posterior_is_widened_and_the_nll_is_closer_to_the_model_s():
    """Within 4 nats of the exact log p(x) for every image, while the encoder's own posterior is off by more than 8."""
    bundle = NarrowEncoder()
    exact = np.array([-bundle.log_p(image / np.float32(255)) for image in SMALL_IMAGES])
    adaptive, posterior = (evaluate(bundle, SMALL_IMAGES, 2000, proposal=name) for name in ("adaptive", "posterior"))
    assert np.all(adaptive.per_image["widening"] >= 4)
    np.testing.assert_allclose(adaptive.per_image["nll"], exact, atol=4)
    np.testing.assert_array_equal(posterior.per_image["widening"], 1)
    assert np.all(posterior.per_image["nll"] > exact + 8)


def test_the_elbo_is_the_encoder_s_own_however_the_proposal_is_widened():
    """The distortion matches its closed form at the encoder's scale within 5 standard errors of 32 draws; the rate
    exactly."""
    bundle = NarrowEncoder()
    found = evaluate(bundle, SMALL_IMAGES, 100)
    loc, scale = (part.astype(np.float64) for part in bundle.encode(SMALL_IMAGES / np.float32(255)))
    rate = np.sum(0.5 * (loc**2 + scale**2 - 1) - np.log(scale), axis=1)
    np.testing.assert_allclose(found.per_image["rate"], rate, rtol=1e-6)
    residual = SMALL_IMAGES.reshape(8, 12) / 255 - bundle.offset - loc @ bundle.weights.T
    slope = residual @ bundle.weights * scale / 0.3**2  # d log p / d epsilon; higher orders vanish at so narrow a scale
    spread = np.sum(bundle.weights**2 * scale[:, None] ** 2, axis=(1, 2))
    expected = 6 * np.log(2 * np.pi * 0.09) + (np.sum(residual**2, axis=1) + spread) / 0.18
    error = np.sqrt((np.sum(slope**2, axis=1) + 0.01) / 32)
    assert np.all(np.abs(found.per_image["distortion"] - expected) < 5 * error)


# What is refused


def test_an_unknown_proposal_is_refused(bundle):
    with pytest.raises(KvaeError, match="proposal must be one of adaptive, posterior; got 'prior'"):
        evaluate(bundle, IMAGES, proposal="prior")


@pytest.mark.parametrize("images", [IMAGES / np.float32(255), IMAGES[:1], IMAGES[:0]])
def test_images_must_be_bytes_and_several(bundle, images):
    with pytest.raises(KvaeError, match="at least 2 images of uint8"):
        evaluate(bundle, images)


def test_images_of_another_shape_are_refused(bundle):
    with pytest.raises(KvaeError, match=r"images must have shape \(batch, 8, 8, 1\)"):
        evaluate(bundle, np.zeros((3, 9, 8, 1), np.uint8))


@pytest.mark.parametrize("samples", [0, -1, 2**32 + 1])
def test_the_number_of_samples_has_a_range(bundle, samples):
    with pytest.raises(KvaeError, match=f"importance_samples must be between 1 and 4294967296; got {samples}"):
        evaluate(bundle, IMAGES, samples)


def test_a_lone_decoder_or_an_unknown_likelihood_cannot_be_evaluated(bundle, bundle_path):
    with pytest.raises(BundleError, match="no graph 'encoder'"):
        evaluate(Bundle.open(bundle_path / "decoder.onnx", device="cpu"), IMAGES)
    other = Bundle.open(bundle_path, device="cpu")
    other.manifest = replace(bundle.manifest, likelihood="gamma")
    with pytest.raises(BundleError, match="no density is known: likelihood 'gamma' is unknown"):
        evaluate(other, IMAGES)


# What it evaluates


def test_the_hash_is_that_of_the_images_as_the_model_received_them(found):
    assert found.images_sha256 == hashlib.sha256(IMAGES.tobytes()).hexdigest()


def test_as_a_dictionary_it_is_json_and_says_what_its_numbers_are(found):
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (values["dataset"], values["split"], values["num_images"]) == ("fashion_mnist_mini", "test", 12)
    assert (values["importance_samples"], values["seed"], values["proposal"]) == (6, 4, "adaptive")
    assert (values["likelihood"], values["binarize"], values["kind"]) == ("bernoulli", "none", "surrogate")
    assert values["images_sha256"] == found.images_sha256
    assert values["about"] == "grey intensities under a Bernoulli likelihood: a surrogate, not a likelihood"
    assert values["loss_caveat"] is None
    elbo = found.metrics["elbo"]
    assert values["metrics"]["elbo"] == {"value": elbo.value, "standard_error": elbo.standard_error}
    assert len(values["active"]) == len(values["posterior_scale"]) == 3
    assert values["warnings"] == found.warnings


def test_a_loss_other_than_the_elbo_is_noted(found):
    trained = replace(found, manifest=replace(found.manifest, training={"beta": 0.5}))
    assert "weights the KL by 0.5" in trained.loss_caveat
    assert trained.to_dict()["loss_caveat"] == trained.loss_caveat


# Warnings


def evaluation_of(found, n=200, latent_dim=20, **changes):
    """A healthy evaluation: means like draws from the prior, scales of 0.3, and half the draws effective."""
    rng = np.random.default_rng(0)
    per_image = {name: np.ones(n) for name in PER_IMAGE} | {"effective_sample_size": np.full(n, 250.0)}
    parts = {"loc": rng.normal(size=(n, latent_dim)), "scale": np.full((n, latent_dim), 0.3)} | changes
    return Evaluation(
        manifest=replace(found.manifest, latent_dim=latent_dim),
        images_sha256="0",
        importance_samples=500,
        seed=0,
        proposal="adaptive",
        per_image=per_image | parts.pop("per_image", {}),
        **parts,
    )


def test_a_healthy_model_gets_no_warning(found):
    assert evaluation_of(found).warnings == []


def test_posterior_collapse_gets_a_warning(found):
    """If at most a tenth of the dimensions are in use: 2 of 20 are too few, 3 of 20 are not."""
    loc = evaluation_of(found).loc
    for num_active in (0, 2):
        used = loc * (np.arange(20) < num_active)
        rate = {"rate": np.full(200, 0.75)}
        (warning,) = evaluation_of(found, loc=used, per_image=rate).warnings
        assert warning.startswith(f"posterior collapse: {num_active} of 20 latent dimensions are in use")
        assert "carries 0.75 nats" in warning
    assert evaluation_of(found, loc=loc * (np.arange(20) < 3)).warnings == []
    rate = {"rate": np.full(200, 0.1)}
    (small,) = evaluation_of(
        found, latent_dim=2, loc=np.zeros((200, 2)), scale=np.ones((200, 2)), per_image=rate
    ).warnings
    assert small.startswith("posterior collapse: 0 of 2")


def test_scales_at_the_floor_get_a_warning(found):
    """If two of twenty scales are a thousandth of the spread of their means; at a thirtieth there is no warning."""
    scale = evaluation_of(found).scale
    (warning,) = evaluation_of(found, scale=scale * np.where(np.arange(20) < 2, 1 / 300, 1)).warnings
    assert warning.startswith("scales at the floor: in 2 of 20 latent dimensions")
    assert evaluation_of(found, scale=scale / 9).warnings == []


def test_an_nll_that_rests_on_few_draws_gets_a_warning(found):
    """With an effective sample size below 3 for over 10 % of images it is unreliable; otherwise its bias is stated."""
    effective = np.full(200, 250.0)
    effective[:21] = 2.9
    evaluation = evaluation_of(found, per_image={"effective_sample_size": effective})
    assert not evaluation.nll_is_believable
    (warning,) = evaluation.warnings
    assert warning.startswith("the NLL estimate is unreliable: for 10% of the images")
    assert "below 3 of 500" in warning
    effective[20:] = 250.0
    evaluation = evaluation_of(found, per_image={"effective_sample_size": effective})
    assert evaluation.nll_is_believable
    assert evaluation.nll_bias == pytest.approx((20 / 2.9 + 180 / 250) / 400 - 1 / 1000)
    effective[:] = 20.0
    (warning,) = evaluation_of(found, per_image={"effective_sample_size": effective}).warnings
    assert warning.startswith("the NLL is too high by about 0.02 nats or more")


def test_the_bias_matches_that_of_the_logarithm_of_a_mean():
    """For log-normal weights of spread 1 and 200 draws: 1/(2 ESS) - 1/(2 S) against the mean of many estimates."""
    rng = np.random.default_rng(0)
    log_weights = rng.standard_normal((20_000, 200))
    weights = np.exp(log_weights - 0.5)  # their mean is 1
    bias = -np.log(weights.mean(axis=1)).mean()
    effective = weights.sum(axis=1) ** 2 / np.sum(weights**2, axis=1)
    assert np.mean(0.5 / effective) - 0.5 / 200 == pytest.approx(bias, rel=0.15)


def test_a_proposal_that_had_to_be_widened_gets_a_warning(found):
    """For over a quarter of the images: the encoder is too narrow, and the usual NLL estimate would fail."""
    widening = np.ones(200)
    widening[:51] = 4.0
    widening[0] = 16.0
    (warning,) = evaluation_of(found, per_image={"widening": widening}).warnings
    assert warning.startswith("the encoder is too narrow: for 26% of the images")
    assert "widened by a factor of up to 16" in warning
    widening[50:] = 1.0
    assert evaluation_of(found, per_image={"widening": widening}).warnings == []


def test_mutual_information_at_its_limit_gets_a_warning(found):
    """It cannot exceed ln 200 = 5.30 nats; from 90 % of that on, 4.77, it reflects the limit rather than the model."""
    (warning,) = evaluation_of(found, per_image={"mutual_information": np.full(200, 4.8)}).warnings
    assert warning.startswith("the mutual information is near its limit for 200 images, 5.30 nats")
    assert evaluation_of(found, per_image={"mutual_information": np.full(200, 4.7)}).warnings == []


def test_an_untrained_model_is_found_to_have_collapsed(found):
    """Its encoder's means hardly vary; six draws per image are too few, and a warning says so."""
    warnings = found.warnings
    assert not found.nll_is_believable
    assert any("effective sample size is below 3 of 6" in warning for warning in warnings)
    assert any(warning.startswith("posterior collapse") for warning in warnings) == (not found.active.any())


# Pairs


def test_paired_differences_are_image_by_image(bundle, found):
    """One minus the other, and the standard error of the differences, computed directly."""
    effective = {"effective_sample_size": np.full(12, 5.0)}  # enough for the NLLs to be estimates
    other = evaluate(bundle, IMAGES, 6, seed=9)
    found, other = (replace(one, per_image=one.per_image | effective) for one in (found, other))
    differences = paired(found, other)
    assert set(differences) == PER_IMAGE
    for name, estimate in differences.items():
        each = [a - b for a, b in zip(found.per_image[name], other.per_image[name], strict=True)]
        mean = math.fsum(each) / 12
        assert estimate.value == pytest.approx(mean, abs=1e-9)
        error = math.sqrt(math.fsum((value - mean) ** 2 for value in each) / 11 / 12)
        assert estimate.standard_error == pytest.approx(error, abs=1e-9)


def test_a_constant_difference_has_no_error_however_much_images_differ(found):
    found = replace(found, per_image=found.per_image | {"effective_sample_size": np.full(12, 5.0)})
    better = replace(found, per_image={name: values - 1 for name, values in found.per_image.items()})
    difference = paired(found, better)["nll"]
    assert (difference.value, difference.standard_error) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    assert found.metrics["nll"].standard_error > 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"importance_samples": 5},
        {"proposal": "posterior"},
        {"per_image": {"effective_sample_size": np.full(12, 1.5)}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_nlls_are_not_subtracted_unless_both_are_estimates_by_equal_sampling(found, change):
    """Everything that does not contain an NLL still is."""
    sound = replace(found, per_image=found.per_image | {"effective_sample_size": np.full(12, 5.0)})
    change = {name: sound.per_image | value if name == "per_image" else value for name, value in change.items()}
    other = replace(sound, **change)
    assert set(paired(sound, sound)) == PER_IMAGE
    for pair in ((sound, other), (other, sound)):
        assert set(paired(*pair)) == PER_IMAGE - {"nll", "gap", "bits_per_dim"}
        assert comparable.why_no_nll(*(one.sampled for one in pair))
    assert comparable.why_no_nll(sound.sampled, sound.sampled) is None


def test_numbers_of_different_images_are_not_subtracted(found):
    with pytest.raises(KvaeError, match="cannot be compared: their test images differ"):
        paired(found, replace(found, images_sha256="1" * 64))
    with pytest.raises(KvaeError, match="cannot be compared: one has .*surrogate.*; the other "):
        paired(found, replace(found, manifest=replace(found.manifest, likelihood="normal")))


def test_models_of_images_of_different_shapes_are_not_compared(found):
    with pytest.raises(KvaeError, match="different shapes: 8 x 8 x 1 and 28 x 28 x 1"):
        check_comparable(found.manifest, replace(found.manifest, image_shape=[28, 28, 1]))


def test_models_of_the_same_kind_and_images_can_be_compared(found):
    check_comparable(found.manifest, replace(found.manifest, latent_dim=7))
    one, other = (replace(found.manifest, likelihood=name) for name in ("normal", "continuous_bernoulli"))
    check_comparable(one, other)  # densities of the same pixels


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("bernoulli", "dynamic"), ("bernoulli", "none")),
        (("bernoulli", "none"), ("normal", "none")),
        (("discretized_logistic", "none"), ("continuous_bernoulli", "none")),
        (("bernoulli", "dynamic"), ("normal", "none")),
    ],
    ids=str,
)
def test_models_of_different_kinds_are_not_compared(found, one, other):
    """The error names both kinds, even if the images are the same."""
    manifests = [replace(found.manifest, likelihood=name, binarize=binarize) for name, binarize in (one, other)]
    with pytest.raises(KvaeError, match="cannot be compared: one has .*; the other "):
        check_comparable(*manifests)
    with pytest.raises(KvaeError, match="cannot be compared: one has .*; the other "):
        check_comparable(*manifests[::-1])


def test_models_of_different_images_are_not_compared(found):
    """Bits and levels both have probabilities, but are not the same images; nor are two data sets."""
    another = replace(found.manifest, dataset=found.manifest.dataset | {"sha256": "1" * 64})
    with pytest.raises(KvaeError, match="their test images differ .fashion_mnist_mini, binarize none; fashion_mnist_m"):
        check_comparable(found.manifest, another)
    bits = replace(found.manifest, binarize="dynamic")
    levels = replace(found.manifest, likelihood="discretized_logistic")
    with pytest.raises(KvaeError, match="their test images differ .*binarize dynamic; .*binarize none"):
        check_comparable(bits, levels)


# Images


@pytest.fixture(scope="module")
def mini():
    return datasets.load("fashion_mnist_mini")


def test_the_test_images_suit_the_model(found, mini):
    """Grey bytes for a grey model, the frozen bits for a model of binarised images."""
    manifest = replace(found.manifest, dataset=mini.provenance(), image_shape=[28, 28, 1])
    np.testing.assert_array_equal(images_of_the_test_split(manifest), mini.test.images)
    bits = images_of_the_test_split(replace(manifest, binarize="dynamic"))
    np.testing.assert_array_equal(bits, held_out(mini, "test", True))


def test_published_bits_are_drawn_only_for_the_model_that_they_suit(found, mini, monkeypatch):
    """The grey images come with either bits; a model of other images is refused before its data set is looked for."""
    manifest = replace(found.manifest, dataset=mini.provenance(), image_shape=[28, 28, 1], binarize="dynamic")
    with pytest.raises(
        DataError,
        match="published test bits exist only for models of binarised fashion_mnist; .* binarised fashion_mnist_mini",
    ):
        labelled_test_images(manifest, bits="published")
    monkeypatch.setattr(data, "check_published", lambda *arguments: None)
    monkeypatch.setattr(data, "published_bits", lambda data: 255 - held_out(data, "test", True))
    frozen, other = (labelled_test_images(manifest, bits=bits) for bits in ("kvae", "published"))
    np.testing.assert_array_equal(frozen.images, 255 - other.images)
    for images in (frozen, other):
        np.testing.assert_array_equal(images.grey, mini.test.images)
    assert labelled_test_images(replace(manifest, binarize="none")).grey is None


def test_a_model_whose_images_have_another_shape_than_its_data_set_is_refused(found, mini):
    manifest = replace(found.manifest, dataset=mini.provenance(), image_shape=[8, 8, 1])
    with pytest.raises(DataError, match="takes images of 8 x 8 x 1, but those of fashion_mnist_mini.* are 28 x 28 x 1"):
        images_of_the_test_split(manifest)


def test_a_model_of_another_data_set_with_this_name_is_refused(found):
    """The hash in the tiny bundle's manifest is all zeros."""
    with pytest.raises(DataError, match=r"trained on a different fashion_mnist_mini \(sha256 000000000000\.\.\.\)"):
        images_of_the_test_split(found.manifest)


def test_a_model_of_an_unknown_data_set_is_refused(found):
    manifest = replace(found.manifest, dataset=found.manifest.dataset | {"name": "cats"})
    with pytest.raises(DataError, match="trained on 'cats', .* --data"):
        images_of_the_test_split(manifest)


def test_a_model_of_binarised_images_is_not_evaluated_on_grey_images(bundle_path):
    bundle = Bundle.open(bundle_path, device="cpu")
    bundle.manifest = replace(bundle.manifest, binarize="dynamic")
    with pytest.raises(KvaeError, match="a model of binarised images"):
        evaluate(bundle, IMAGES)
