"""Importance sampling, checked against plain numpy, and against a model whose log p(x) is known exactly."""

import numpy as np
import pytest
from linear_gaussian import IMAGE_SHAPE, NOISE, LinearGaussian

from kvae.bundle import noise
from kvae.runtime import importance
from kvae.runtime.bundle import Bundle
from kvae.runtime.importance import PILOT_SAMPLES, draws, estimate, estimates, widened, widening


@pytest.fixture
def linear():
    return LinearGaussian()


@pytest.fixture
def pixels():
    return np.random.default_rng(1).random(IMAGE_SHAPE, dtype=np.float32)


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle.open(bundle_path, device="cpu")


def log_sum_exp(values):
    top = max(values)
    return top + np.log(sum(np.exp(value - top) for value in values))


def by_hand(bundle, pixels, loc, scale, index, num_samples, seed):
    """log p(x|z) and the log weight of each draw from a Bernoulli model's posterior, one at a time, in float64."""
    log_likelihoods, log_weights = [], []
    for sample in range(num_samples):
        epsilon = noise.standard_normal(seed, index * 2**32 + sample, 1, len(loc))
        z = loc + scale * epsilon
        logits = bundle.run("decoder", {"z": z})["likelihood_parameters"]
        logits, epsilon, z = (values.astype(np.float64) for values in (logits, epsilon, z))
        log_p = np.sum(pixels * logits[0] - np.logaddexp(0, logits[0]))
        log_prior = np.sum(-0.5 * z**2 - 0.5 * np.log(2 * np.pi))
        log_q = np.sum(-0.5 * epsilon**2 - np.log(scale.astype(np.float64)) - 0.5 * np.log(2 * np.pi))
        log_likelihoods.append(log_p)
        log_weights.append(log_p + log_prior - log_q)
    return np.array(log_likelihoods), np.array(log_weights)


IMAGE = np.random.default_rng(2).random((8, 8, 1), dtype=np.float32)


def test_an_estimate_equals_a_computation_in_plain_numpy(bundle):
    """The distortion, the NLL by log-sum-exp and Kish's sample size of seven draws for one image, within 1e-4."""
    posterior = bundle.encode(IMAGE[None])
    found = estimate(bundle, IMAGE, posterior.loc[0], posterior.scale[0], index=5, num_samples=7, seed=3)
    log_p, log_weights = by_hand(bundle, IMAGE, posterior.loc[0], posterior.scale[0], 5, 7, 3)
    weights = np.exp(log_weights - log_weights.max())
    assert found.distortion == pytest.approx(-log_p.mean(), abs=1e-4)
    assert found.nll == pytest.approx(np.log(7) - log_sum_exp(log_weights), abs=1e-4)
    assert found.effective_sample_size == pytest.approx(weights.sum() ** 2 / np.sum(weights**2), rel=1e-4)


def test_the_true_posterior_gives_log_p_from_a_single_draw(linear, pixels):
    """All weights are p(x): the NLL is exact, within float32's 1e-4, and every draw counts fully."""
    loc, scale = linear.posterior(pixels)
    for num_samples in (1, 2, 50):
        found = estimate(linear, pixels, loc, scale, 0, num_samples, seed=num_samples)
        assert found.nll == pytest.approx(-linear.log_p(pixels), abs=1e-4)
        assert found.effective_sample_size == pytest.approx(num_samples, rel=1e-4)


def test_another_proposal_finds_log_p_too(linear, pixels):
    """A shifted, 1.5 times wider proposal: 20,000 draws within 5 standard errors, with a correct sample size."""
    loc, scale = linear.posterior(pixels)
    shifted, wide = loc + 0.5 * scale, 1.5 * scale
    found = estimate(linear, pixels, shifted, wide, 0, 20_000, seed=0)
    # E[w^2] / E[w]^2 of one dimension, by quadrature; the dimensions are independent.
    grid = np.linspace(-20, 20, 100_001)
    log_true, log_proposal = -0.5 * grid**2, -0.5 * ((grid - 0.5) / 1.5) ** 2 - np.log(1.5)
    second = (np.exp(2 * log_true - log_proposal).sum() * (grid[1] - grid[0]) / np.sqrt(2 * np.pi)) ** 2
    error = np.sqrt((second - 1) / 20_000)
    assert abs(found.nll + linear.log_p(pixels)) < 5 * error
    assert found.effective_sample_size == pytest.approx(20_000 / second, rel=0.1)


def test_the_distortion_is_the_mean_over_the_proposal(linear, pixels):
    """-E_q log p(x|z) in closed form, D/2 ln(2 pi s^2) + (|x - W m - b|^2 + tr(W S W')) / (2 s^2), within 5 errors."""
    loc, scale = linear.posterior(pixels)
    found = estimate(linear, pixels, loc, scale, 0, 20_000, seed=0)
    residual = np.sum((pixels.ravel() - linear.offset - linear.weights @ loc) ** 2)
    spread = np.sum(linear.weights**2 * scale**2)
    expected = 6 * np.log(2 * np.pi * NOISE**2) + (residual + spread) / (2 * NOISE**2)
    assert found.distortion == pytest.approx(expected, abs=5 * 1.5 / np.sqrt(20_000))


@pytest.mark.parametrize("chunk", [1, 3, 10, 1000])
def test_the_chunk_size_does_not_matter(linear, pixels, monkeypatch, chunk):
    loc, scale = linear.posterior(pixels)
    whole = estimate(linear, pixels, loc, 2 * scale, 3, 40, 1)
    monkeypatch.setattr(importance, "CHUNK", chunk)
    np.testing.assert_allclose(estimate(linear, pixels, loc, 2 * scale, 3, 40, 1), whole, rtol=1e-6)


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_weights_far_apart_neither_overflow_nor_vanish(linear, pixels, monkeypatch, chunk):
    """With a proposal so far off that log weights differ by thousands of nats, the largest anywhere in the order."""
    monkeypatch.setattr(importance, "CHUNK", chunk)
    loc, scale = np.float32([3.0, -4.0]), np.float32([5.0, 5.0])
    for index in range(6):
        epsilon = draws(0, [index], 0, 4, 2)[0].astype(np.float64)
        z = loc + scale * epsilon
        residual = pixels.ravel() - linear.offset - z @ linear.weights.T
        log_p = np.sum(-0.5 * (residual / NOISE) ** 2 - np.log(NOISE) - 0.5 * np.log(2 * np.pi), axis=1)
        log_weights = log_p + 0.5 * np.sum(epsilon**2 - z**2, axis=1) + np.log(25)
        assert np.ptp(log_weights) > 300
        found = estimate(linear, pixels, loc, scale, index, 4, 0)
        assert found.nll == pytest.approx(np.log(4) - log_sum_exp(log_weights), rel=1e-5)
        assert 1 - 1e-9 <= found.effective_sample_size < 4
    far = estimate(linear, pixels + 1000, loc, scale, 0, 4, 0)  # weights of e^-1e7
    assert np.isfinite(far).all() and far.nll > 1e6


def test_memory_does_not_grow_with_the_number_of_draws(linear, pixels):
    """The decoder never gets more than CHUNK codes at once, and gets each draw once."""
    loc, scale = linear.posterior(pixels)
    estimate(linear, pixels, loc, scale, 0, 5000, 0)
    assert sum(linear.calls) == 5000
    assert max(linear.calls) == importance.CHUNK == 512


def test_a_larger_sample_contains_the_smaller_one(linear, pixels):
    """Sums over 9 draws minus those over 5 equal those over draws 5 to 8, by hand."""
    loc, scale = linear.posterior(pixels)
    few, more = (estimate(linear, pixels, loc, 2 * scale, 2, count, 7) for count in (5, 9))
    epsilon = noise.standard_normal(7, 2 * 2**32 + 5, 4, 2).astype(np.float64)
    residual = pixels.ravel() - linear.offset - (loc + 2 * scale * epsilon) @ linear.weights.T
    log_p = np.sum(-0.5 * (residual / NOISE) ** 2 - np.log(NOISE) - 0.5 * np.log(2 * np.pi), axis=1)
    assert 9 * more.distortion - 5 * few.distortion == pytest.approx(-log_p.sum(), abs=1e-3)
    assert np.log(9) - more.nll > np.log(5) - few.nll  # a sum of positive weights


def test_a_draw_is_a_function_of_seed_image_and_number():
    many = draws(3, [8], 0, 20, 5)[0]
    np.testing.assert_array_equal(draws(3, [8], 6, 4, 5)[0], many[6:10])
    np.testing.assert_array_equal(many, noise.standard_normal(3, 8 * 2**32, 20, 5))
    for other in (draws(4, [8], 0, 20, 5)[0], draws(3, [9], 0, 20, 5)[0]):
        assert not np.any(other == many)


def test_the_last_draw_of_an_image_precedes_the_first_of_the_next():
    """No two images share a draw, whatever the number of samples up to MAX_SAMPLES."""
    both = noise.standard_normal(0, 5 * importance.MAX_SAMPLES - 1, 2, 3)
    np.testing.assert_array_equal(draws(0, [4], importance.MAX_SAMPLES - 1, 1, 3)[0, 0], both[0])
    np.testing.assert_array_equal(draws(0, [5], 0, 1, 3)[0, 0], both[1])


def test_draws_for_several_images_equal_those_for_each():
    together = draws(3, [8, 2, 5], 4, 6, 5)
    np.testing.assert_array_equal(together, np.concatenate([draws(3, [image], 4, 6, 5) for image in (8, 2, 5)]))


@pytest.mark.parametrize("num_samples", [1, 7, 600])
def test_estimates_for_several_images_equal_those_for_each(linear, num_samples):
    """With different images, posteriors and noise, in one or more chunks of draws."""
    pixels = np.random.default_rng(2).random((3, *IMAGE_SHAPE), dtype=np.float32)
    loc, scale = (np.stack(parts) for parts in zip(*map(linear.posterior, pixels), strict=True))
    scale *= np.float32([[1], [2], [0.5]])
    together = estimates(linear, pixels, loc, scale, [4, 9, 2], num_samples, 7)
    alone = [
        estimate(linear, *image, index, num_samples, 7)
        for image, index in zip(zip(pixels, loc, scale, strict=True), (4, 9, 2), strict=True)
    ]
    for name in ("distortion", "nll", "effective_sample_size", "rate"):
        np.testing.assert_allclose(getattr(together, name), [getattr(found, name) for found in alone], rtol=1e-6)
    assert len(set(together.nll.tolist())) == 3


def test_an_estimate_can_start_at_any_draw(linear, pixels):
    """The distortion of draws 40 to 49 of the image, from the sums over 50 and over 40."""
    loc, scale = linear.posterior(pixels)
    later = estimate(linear, pixels, loc, scale, 1, 10, 0, start=40)
    all_50, first_40 = (estimate(linear, pixels, loc, scale, 1, count, 0) for count in (50, 40))
    assert 10 * later.distortion == pytest.approx(50 * all_50.distortion - 40 * first_40.distortion, abs=1e-3)


# The widened proposal


@pytest.fixture
def six():
    """Six latent dimensions: each doubling of a far too narrow proposal gains ln 2 nats per dimension."""
    return LinearGaussian(latent_dim=6)


@pytest.mark.parametrize("index", range(8))
def test_a_proposal_that_fits_is_not_widened(six, pixels, index):
    """The true posterior, one with 0.8 times its scale, and one that is too wide."""
    loc, scale = six.posterior(pixels)
    for factor in (1.0, 0.8, 3.0):
        assert widening(six, pixels, loc, np.float32(factor) * scale, index, seed=0) == 1


@pytest.mark.parametrize("factor", [16, 64, 1000])
def test_a_narrow_proposal_is_widened_to_about_the_true_posterior(six, pixels, factor):
    """By a power of 2, within a factor of 4 of what is missing; at the mean of the true posterior or a scale away."""
    loc, scale = six.posterior(pixels)
    for shift in (0, 1):
        found = widening(six, pixels, loc + shift * scale, scale / factor, 0, seed=0)
        assert found == 2 ** round(np.log2(found))
        assert factor / 4 <= found <= factor * 4


def test_a_narrow_proposal_of_two_dimensions_is_widened_too(linear, pixels):
    """Although each doubling gains only 2 ln 2 nats, less than PILOT_GAIN."""
    loc, scale = linear.posterior(pixels)
    assert widening(linear, pixels, loc, scale / 64, 0, seed=0) >= 16


@pytest.mark.parametrize("index", range(4))
def test_a_widened_proposal_corrects_most_of_the_nll(six, pixels, index):
    """Within 4 nats of the exact NLL at 2000 draws, while the narrow proposal is more than 10 nats too high."""
    loc, scale = six.posterior(pixels)
    narrow = scale / 50
    factor = widening(six, pixels, loc, narrow, index, seed=0)
    exact = -six.log_p(pixels)
    assert estimate(six, pixels, loc, widened(narrow, factor), index, 2000, 0).nll == pytest.approx(exact, abs=4)
    assert estimate(six, pixels, loc, narrow, index, 2000, 0).nll > exact + 10


def test_no_scale_is_widened_beyond_the_prior_s_or_narrowed():
    scale = np.float32([0.001, 0.4, 1.0, 2.5])
    np.testing.assert_allclose(widened(scale, 1.0), scale)
    np.testing.assert_allclose(widened(scale, 4.0), [0.004, 1.0, 1.0, 2.5])
    np.testing.assert_allclose(widened(scale, 2.0**20), [1.0, 1.0, 1.0, 2.5])
    assert widened(scale, 4.0).dtype == np.float32


def test_widening_ends_when_every_scale_is_the_prior_s(linear, pixels):
    """With a mean for which every doubling helps: factors go up to 1 / 0.001, but not beyond."""
    loc = np.full(2, 50, np.float32)
    found = widening(linear, pixels, loc, np.float32([0.001, 0.001]), 0, seed=0)
    assert found == 1024


def test_the_factor_is_chosen_on_separate_draws(linear, pixels, monkeypatch):
    """No estimate uses the pilot's draws, so that the mean weight stays unbiased for p(x)."""
    asked = []

    def recorded(seed, images, first, count, latent_dim):
        asked.append((first, first + count))
        return draws(seed, images, first, count, latent_dim)

    monkeypatch.setattr(importance, "draws", recorded)
    widening(linear, pixels, *linear.posterior(pixels), 3, seed=0)
    assert set(asked) == {(2**31, 2**31 + PILOT_SAMPLES)}
