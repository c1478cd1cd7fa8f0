"""Likelihoods against closed forms in float64: densities, gradients, means, and cases that could break float32."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import IMAGE_SHAPE, make_vae

from kvae import likelihoods
from kvae.bundle.noise import CHAINS, Stream
from kvae.config import LIKELIHOODS
from kvae.errors import ConfigError, KvaeError
from kvae.export.tensors import of_likelihood
from kvae.likelihoods import Likelihood
from kvae.likelihoods.discretized_logistic import discretized_logistic

tfd = tfp.distributions
DiscretizedLogistic = discretized_logistic()
RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 2, 2, 1), dtype=np.float32)
LEVELS = np.arange(256) / 255
ENDS = [0.0, 50.0, -50.0, 200.0, -200.0, 1000.0, -1000.0]
NEAR_HALF = [0.0, 1e-6, -1e-6, 1e-3, -1e-3, 0.004, -0.004, 0.1, -0.1]
RAW_SCALES = [-100.0, -50.0, -3.0, 0.0, 3.0, 50.0, 100.0]
# What a decoder's last layer may return for one pixel, parameter by parameter.
EXTREMES = {
    "bernoulli": [NEAR_HALF + ENDS],
    "continuous_bernoulli": [NEAR_HALF + ENDS],
    "discretized_logistic": [[0.0, 0.5, 1.0, -0.3, 1.4, -5.0, 6.0, -1e4, 1e4], RAW_SCALES],
    "normal": [ENDS, RAW_SCALES],
}


def softplus(values):
    return np.logaddexp(0, np.asarray(values, np.float64))


def bernoulli(x, logits):
    return x * logits - softplus(logits)


def continuous_bernoulli(x, logits):
    """log of exp(l x) l / (exp(l) - 1), symmetric in l about x = 1/2; its Taylor series below |l| = 0.02."""
    logits = np.asarray(logits, np.float64)
    half = np.abs(logits) / 2
    large = np.maximum(half, 0.01)
    normaliser = np.where(
        half < 0.01, half**2 / 6 - half**4 / 180, large + np.log1p(-np.exp(-2 * large)) - np.log(2 * large)
    )
    return logits * (x - 0.5) - normaliser


def discretized_logistic(x, loc, scale):
    """log of the mass of the level's bin, as log sigmoid(b) + log sigmoid(-a) + log(1 - exp(a - b))."""
    level = np.rint(np.asarray(x, np.float64) * 255)
    above_bottom = -softplus(((level - 0.5) / 255 - loc) / scale)
    below_top = -softplus((loc - (level + 0.5) / 255) / scale)
    inner = above_bottom + below_top + np.log(-np.expm1(-1 / (255 * scale)))
    return np.where(level == 0, below_top, np.where(level == 255, above_bottom, inner))


def normal(x, loc, scale):
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


REFERENCES = {
    "bernoulli": bernoulli,
    "continuous_bernoulli": continuous_bernoulli,
    "discretized_logistic": lambda x, loc, raw: discretized_logistic(x, loc, np.minimum(1 / 2040 + softplus(raw), 10)),
    "normal": lambda x, raw_loc, raw: normal(x, np.exp(-softplus(-raw_loc)), 0.01 + softplus(raw)),
}


def every_extreme(name, pixels):
    """Last-layer outputs `(combinations, pixels, 1, parameters)`: each combination of `EXTREMES` at each pixel."""
    combinations = np.array(list(itertools.product(*EXTREMES[name])), np.float32)
    return np.tile(combinations[:, None, None, :], (1, pixels, 1, 1))


def log_prob_and_gradient(name, outputs, images):
    """log p of each image, and its gradient with respect to the decoder's raw outputs."""
    outputs = tf.constant(outputs)
    with tf.GradientTape() as tape:
        tape.watch(outputs)
        log_prob = likelihoods.get(name).of_images(outputs).log_prob(tf.constant(images, tf.float32))
    return log_prob.numpy(), tape.gradient(log_prob, outputs).numpy()


# Densities


def test_bernoulli_is_the_cross_entropy_of_grey_intensities():
    logits = RNG.normal(size=(3, 2, 2, 1)).astype(np.float32) * 20
    expected = bernoulli(IMAGES, logits).sum(axis=(1, 2, 3))
    distribution = likelihoods.get("bernoulli").of_images(tf.constant(logits))
    np.testing.assert_allclose(distribution.log_prob(IMAGES), expected, rtol=1e-5)
    assert distribution.event_shape == (2, 2, 1)


@pytest.mark.parametrize("logit", [-100.0, -20.0, -17.0, -1e-3, 0.0, 0.7, 17.0, 100.0])
@pytest.mark.parametrize("x", [0.0, 0.3, 1.0])
def test_bernoulli_and_its_gradients_match_the_closed_form(logit, x):
    """In float64: x l - log(1 + e^l), x - sigmoid(l) in the logit, and l in the intensity."""
    logits, image = (tf.Variable(tf.fill([2, 1, 1, 1], value)) for value in (logit, x))
    with tf.GradientTape() as tape:
        log_prob = likelihoods.get("bernoulli").of_images(logits).log_prob(image)
    in_logits, in_image = (gradient.numpy() for gradient in tape.gradient(log_prob, (logits, image)))
    x64, logit64 = float(np.float32(x)), float(np.float32(logit))
    np.testing.assert_allclose(log_prob, x64 * logit64 - np.logaddexp(0, logit64), rtol=1e-6, atol=1.2e-7)
    np.testing.assert_allclose(in_logits, x64 - 1 / (1 + np.exp(-logit64)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(in_image, logit64, rtol=1e-6)


def test_normal_is_the_density_in_pixel_units():
    outputs = RNG.normal(size=(3, 2, 2, 2)).astype(np.float32)
    loc = 1 / (1 + np.exp(-outputs[..., :1]))
    scale = 0.01 + np.log1p(np.exp(outputs[..., 1:]))
    expected = normal(IMAGES, loc, scale).sum(axis=(1, 2, 3))
    distribution = likelihoods.get("normal").of_images(tf.constant(outputs))
    np.testing.assert_allclose(distribution.log_prob(IMAGES), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_an_image_s_log_prob_is_the_sum_over_its_pixels_and_channels(name):
    likelihood = likelihoods.get(name)
    outputs = tf.constant(RNG.normal(size=(4, 3, 5, 3 * len(likelihood.parameters))).astype(np.float32))
    images = RNG.random((4, 3, 5, 3), dtype=np.float32)
    expected = likelihood.distribution(outputs).log_prob(images).numpy().sum(axis=(1, 2, 3))
    found = likelihood.of_images(outputs)
    assert (found.batch_shape, found.event_shape) == ((4,), (3, 5, 3))
    np.testing.assert_allclose(found.log_prob(images), expected, rtol=1e-5)


@pytest.mark.parametrize("logits", [0.0, 0.004, -0.1, 1.0, 5.0, -50.0, 200.0])
def test_the_continuous_bernoulli_integrates_to_one(logits):
    """By the trapezoid rule on 100,000 intervals of [0, 1]; the logarithm of its normaliser is right to 1e-5."""
    x = np.linspace(0, 1, 100_001)
    log_prob = (
        likelihoods.get("continuous_bernoulli").distribution(tf.constant(logits)).log_prob(tf.constant(x, tf.float32))
    )
    density = np.exp(log_prob.numpy().astype(np.float64))
    assert (density[1:] + density[:-1]).mean() / 2 == pytest.approx(1, abs=2e-5)


# Cases that could break float32


@pytest.mark.parametrize("shade", [0.0, 1 / 255, 77 / 255, 0.5, 1.0])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_and_gradients_are_finite_whatever_the_decoder_returns(name, shade):
    """For constant images, including all-black and all-white, at logits up to 1000 and scales at their bounds."""
    outputs = every_extreme(name, pixels=2)
    log_prob, gradient = log_prob_and_gradient(name, outputs, np.full((len(outputs), 2, 1, 1), shade))
    assert np.all(np.isfinite(log_prob))
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_log_prob_is_the_closed_form_whatever_the_decoder_returns(name):
    """Within float32's rounding: 1e-6 of the value, plus a location's last bits in units of the scale."""
    outputs = every_extreme(name, pixels=1)
    parameters = np.moveaxis(outputs.astype(np.float64), -1, 0)
    for shade in np.float32([0, 1 / 255, 77 / 255, 0.5, 1]):
        images = np.full((len(outputs), 1, 1), shade)
        expected = REFERENCES[name](images.astype(np.float64), *parameters)
        found = likelihoods.get(name).distribution(tf.constant(outputs)).log_prob(images[..., None]).numpy()[..., 0]
        rounding = 1e-6
        if name == "discretized_logistic":
            rounding = 1e-6 + 2.0**-22 * (1 + np.abs(parameters[0])) / np.minimum(
                1 / 2040 + softplus(parameters[1]), 10
            )
        if name == "normal":  # (x - loc) / scale is squared
            scale = 0.01 + softplus(parameters[1])
            rounding = 1e-6 + 2.0**-22 / scale * (1 + 1 / scale)
        assert np.all(np.abs(found - expected) < rounding + 1e-6 * np.abs(expected)), shade


@pytest.mark.parametrize("logits", NEAR_HALF)
def test_the_continuous_bernoulli_near_one_half_has_the_gradient_of_its_closed_form(logits):
    """d log p / d logits = x - mean, and the mean is 1/2 + l/12 - l^3/720 + ...; within 1e-6."""
    exact = float(np.float32(logits))
    mean = 0.5 + exact / 12 - exact**3 / 720
    outputs = np.full((1, 1, 1, 1), logits, np.float32)
    for x in (0.0, 0.25, 0.5, 1.0):
        log_prob, gradient = log_prob_and_gradient("continuous_bernoulli", outputs, np.full((1, 1, 1, 1), x))
        assert log_prob[0] == pytest.approx(float(continuous_bernoulli(x, exact)), abs=2e-7)
        assert gradient.item() == pytest.approx(x - mean, abs=1e-6)


@pytest.mark.parametrize("logits", ENDS[1:])
def test_a_saturated_continuous_bernoulli_has_the_gradient_of_its_closed_form(logits):
    """d log p / d logits = x - mean, where the mean is 1 - 1/l for large l, 1/|l| for large -l; within 1e-6."""
    mean = 1 - 1 / logits if logits > 0 else -1 / logits
    outputs = np.full((1, 1, 1, 1), logits, np.float32)
    for x in (0.0, 0.25, 1.0):
        _, gradient = log_prob_and_gradient("continuous_bernoulli", outputs, np.full((1, 1, 1, 1), x))
        assert gradient.item() == pytest.approx(x - mean, abs=1e-6)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_match_finite_differences(name):
    """Finite differences of the float64 closed forms, at all 256 levels: within 2e-4 of the largest, 1e-3 of each."""
    combinations = itertools.product(*[[-3.0, -0.7, 0.2, 2.0]] * len(likelihoods.get(name).parameters))
    for raw in combinations:
        outputs = np.tile(np.float32(raw), (1, 256, 1, 1))
        images = LEVELS.astype(np.float32).reshape(1, 256, 1, 1)
        _, gradient = log_prob_and_gradient(name, outputs, images)
        exact = np.float64(np.float32(raw))
        for index in range(len(raw)):
            step = 1e-6 * np.eye(len(raw))[index]
            above, below = (REFERENCES[name](images.ravel().astype(np.float64), *(exact + s)) for s in (step, -step))
            expected = (above - below) / 2e-6
            found = gradient[0, :, 0, index]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-4 * max(1, np.abs(expected).max()))


def test_the_normal_s_scale_stops_at_its_floor():
    """A constant pixel predicted exactly has the density at scale 0.01, and no more, however low the raw scale is."""
    outputs = np.array([[[[0.0, raw]]] for raw in (-30.0, -100.0, -1000.0)], np.float32)
    log_prob, gradient = log_prob_and_gradient("normal", outputs, np.full((3, 1, 1, 1), 0.5))
    np.testing.assert_allclose(log_prob, -np.log(0.01) - 0.5 * np.log(2 * np.pi), rtol=1e-6)
    np.testing.assert_allclose(gradient, 0, atol=1e-10)


def test_the_discretised_logistic_s_scale_stops_at_an_eighth_of_a_level():
    """A level can hold the mass tanh(2) = 96 %, and no more, however low the raw scale is."""
    outputs = np.array([[[[100 / 255, raw]]] for raw in (-30.0, -100.0, -1000.0)], np.float32)
    log_prob, _ = log_prob_and_gradient("discretized_logistic", outputs, np.full((3, 1, 1, 1), 100 / 255))
    np.testing.assert_allclose(np.exp(log_prob), np.tanh(2), atol=1e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_training_on_constant_images_stays_finite(name):
    """Forty steps of Adam at 0.1 on images that are all black, white or one grey: the ELBO rises, nothing breaks."""
    vae = make_vae(likelihood=name)
    vae.compile(optimizer=keras.optimizers.Adam(0.1))
    start = vae.get_weights()
    for shade in (0.0, 1.0, 0.2):
        vae.set_weights(start)
        images = np.full((16 * 40, *IMAGE_SHAPE), shade, np.float32)
        before = np.mean(vae.elbo(images[:16]))
        history = vae.fit(images, batch_size=16, verbose=0).history
        assert all(np.isfinite(values).all() for values in history.values()), shade
        assert all(np.isfinite(weight).all() for weight in vae.get_weights()), shade
        assert np.mean(vae.elbo(images[:16])) > before + 1


# The discretised logistic

# Scales from the floor to ten times the image's range, locations inside and outside it.
SCALES = np.float32([1 / 2040, 1 / 1020, 1 / 255, 0.01, 0.1, 1.0, 10.0])
LOCS = np.concatenate([np.linspace(-0.5, 1.5, 301), np.linspace(-0.01, 0.01, 101), np.linspace(0.99, 1.01, 101)])


@pytest.mark.parametrize("scale", SCALES)
def test_the_levels_probabilities_sum_to_one(scale):
    """log_prob is float32: its rounding of a location in units of the scale shifts the sum by less than this."""
    locs = np.float32(LOCS[::5, None])
    log_prob = DiscretizedLogistic(locs, scale).log_prob(LEVELS.astype(np.float32)).numpy()
    total = np.exp(log_prob.astype(np.float64)).sum(axis=1)
    np.testing.assert_allclose(total, 1, atol=2e-6 + 2.0**-22 / scale)


def test_the_float64_reference_sums_to_one():
    """Within 1e-12: the closed form that these tests compare with is itself a probability."""
    locs = LOCS[:, None, None]
    total = np.exp(discretized_logistic(LEVELS, locs, SCALES[:, None].astype(np.float64))).sum(axis=-1)
    np.testing.assert_allclose(total, 1, atol=1e-12)


def test_log_prob_is_tfp_s_quantized_distribution_over_a_logistic():
    """TFP's levels are half-open from below, hence the shift by a half; compared in float64 where that is accurate,
    i.e. if the probability is above 1e-6."""
    for scale in (1 / 255, 0.02, 0.3):
        for loc in (-0.1, 0.0, 0.37, 1.0, 1.2):
            logistic = tfd.Logistic(tf.constant(255 * loc - 0.5, tf.float64), tf.constant(255 * scale, tf.float64))
            quantized = tfd.QuantizedDistribution(logistic, low=0.0, high=255.0)
            expected = quantized.prob(np.arange(256.0)).numpy()
            found = DiscretizedLogistic(loc, scale).log_prob(LEVELS.astype(np.float32)).numpy()
            likely = expected > 1e-6
            assert likely.any()
            np.testing.assert_allclose(found[likely], np.log(expected[likely]), rtol=1e-5, atol=2e-4)


def test_a_value_between_two_levels_counts_as_the_nearer_one():
    distribution = DiscretizedLogistic(0.4, 0.05)
    between = np.float32([(100 - 0.49) / 255, 100 / 255, (100 + 0.49) / 255])
    assert len(set(distribution.log_prob(between).numpy())) == 1
    assert distribution.log_prob((100 + 0.51) / 255) == distribution.log_prob(101 / 255)


@pytest.mark.parametrize("scale", SCALES)
def test_the_mean_is_the_sum_over_levels(scale):
    """As its docstring says: within 1e-4 if the scale is a level or more, and always within half a level."""
    exact = np.exp(discretized_logistic(LEVELS, np.float64(np.float32(LOCS))[:, None], np.float64(scale))) @ LEVELS
    found = DiscretizedLogistic(np.float32(LOCS), scale).mean().numpy()
    assert np.abs(found - exact).max() < (1e-4 if scale >= np.float32(1 / 255) else 0.5 / 255)
    assert np.all((found >= 0) & (found <= 1))


def test_the_mean_is_in_the_range_of_pixels_whatever_the_decoder_returns():
    outputs = tf.constant(every_extreme("discretized_logistic", pixels=1))
    mean = likelihoods.get("discretized_logistic").distribution(outputs).mean().numpy()
    assert np.all((mean >= 0) & (mean <= 1))


@pytest.mark.parametrize(("loc", "scale"), [(0.4, 0.01), (-0.02, 0.05), (0.98, 0.02), (0.5, 1 / 2040), (0.5, 3.0)])
def test_samples_are_levels_with_their_probabilities(loc, scale):
    """50,000 draws: each level's count is within 6 standard deviations of its expectation, and the mean within 5."""
    draws = DiscretizedLogistic(loc, scale).sample(50_000, seed=1).numpy().astype(np.float64)
    levels = np.rint(draws * 255)
    np.testing.assert_allclose(draws * 255, levels, atol=1e-4)
    assert levels.min() >= 0 and levels.max() <= 255
    probabilities = np.exp(discretized_logistic(LEVELS, np.float64(np.float32(loc)), np.float64(np.float32(scale))))
    counts = np.bincount(levels.astype(int), minlength=256)
    expected = 50_000 * probabilities
    assert np.all(np.abs(counts - expected) < 6 * np.sqrt(expected) + 6)
    spread = np.sqrt(probabilities @ LEVELS**2 - (probabilities @ LEVELS) ** 2)
    assert abs(draws.mean() - probabilities @ LEVELS) < 5 * spread / np.sqrt(50_000) + 1e-6


def test_shapes_are_as_for_any_tfp_distribution():
    distribution = DiscretizedLogistic(tf.zeros((4, 1)), tf.ones(3))
    assert (distribution.batch_shape, distribution.event_shape) == ((4, 3), ())
    assert distribution.sample((2, 5), seed=0).shape == (2, 5, 4, 3)
    assert distribution.log_prob(tf.zeros((7, 4, 3))).shape == (7, 4, 3)
    assert distribution.copy(scale=2.0).batch_shape == (4, 1)


# The exported tensors


def rebuilt(name, parameters):
    """The family's distribution from the tensor of parameters, built by TFP's own constructors."""
    families = {
        "bernoulli": lambda logits: tfd.Bernoulli(logits, dtype=tf.float32),
        "continuous_bernoulli": tfd.ContinuousBernoulli,
        "discretized_logistic": DiscretizedLogistic,
        "normal": tfd.Normal,
    }
    return families[name](*np.split(parameters, len(likelihoods.get(name).parameters), axis=-1))


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_exported_tensors_describe_the_distribution(name):
    """The mean is the distribution's, and the parameters rebuild its log-probability."""
    likelihood = likelihoods.get(name)
    outputs = tf.constant(RNG.normal(size=(3, 2, 2, 3 * len(likelihood.parameters))).astype(np.float32))
    distribution = likelihood.of_images(outputs)
    found = of_likelihood(distribution)
    assert found.name == name
    np.testing.assert_allclose(found.mean, distribution.mean(), rtol=1e-5)
    assert found.parameters.shape == outputs.shape
    images = RNG.random((3, 2, 2, 3), dtype=np.float32)
    expected = rebuilt(name, found.parameters.numpy()).log_prob(images).numpy().sum(axis=(1, 2, 3))
    np.testing.assert_allclose(distribution.log_prob(images), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_exported_mean_is_the_distribution_s_at_its_extremes(name):
    distribution = likelihoods.get(name).of_images(tf.constant(every_extreme(name, pixels=1)))
    mean = of_likelihood(distribution).mean.numpy()
    np.testing.assert_allclose(mean, distribution.mean(), atol=2e-6)
    assert np.all((mean >= 0) & (mean <= 1))


def test_the_continuous_bernoulli_s_mean_matches_its_closed_form():
    """1/2 + (coth(l/2) - 2/l) / 2, and its series 1/2 + l/12 - l^3/720 below 0.05; within 2e-6."""
    logits = np.float32(EXTREMES["continuous_bernoulli"][0] + [0.0159, -0.0161, 0.5, -2.0, 5.0])
    exact = logits.astype(np.float64)
    large = np.where(np.abs(exact) < 0.05, 1, exact)
    expected = np.where(
        np.abs(exact) < 0.05, 0.5 + exact / 12 - exact**3 / 720, 0.5 + 0.5 / np.tanh(large / 2) - 1 / large
    )
    distribution = likelihoods.get("continuous_bernoulli").of_images(tf.constant(logits.reshape(-1, 1, 1, 1)))
    np.testing.assert_allclose(of_likelihood(distribution).mean.numpy().ravel(), expected, atol=2e-6)


def test_a_scalar_scale_is_broadcast_to_the_image():
    distribution = tfd.Independent(tfd.Normal(tf.zeros((3, 2, 2, 1)), 0.5), 3)
    np.testing.assert_array_equal(of_likelihood(distribution).parameters[..., 1], np.full((3, 2, 2), 0.5))


def test_the_error_names_a_distribution_that_a_bundle_cannot_hold():
    with pytest.raises(KvaeError, match="Poisson"):
        of_likelihood(tfd.Independent(tfd.Poisson(tf.ones((1, 2, 2, 1))), 3))
    with pytest.raises(KvaeError, match=r"Bernoulli\(logits=...\)"):
        of_likelihood(tfd.Independent(tfd.Bernoulli(probs=tf.ones((1, 2, 2, 1))), 3))
    with pytest.raises(ConfigError, match="poisson.*bernoulli"):
        likelihoods.get("poisson")


DRAWN = {
    "bernoulli": [[-2.0, 0.0, 0.3, 3.0]],
    "continuous_bernoulli": [[-40.0, -2.0, 0.0, 1e-7, 3.0, 60.0]],
    "discretized_logistic": [[0.3, 0.001, 0.7, 1.2], [0.05, 0.01, 0.001, 0.2]],
    "normal": [[0.3, -0.5, 0.9], [0.05, 1.0, 0.01]],
}


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_draws_have_the_moments_of_the_density(name):
    """Mean and variance of 40,000 draws of each pixel within 5 standard errors of the density's own, by quadrature."""
    count, found = 40_000, likelihoods.get(name)
    parameters = [np.tile(np.float32(values), (count, 1)) for values in DRAWN[name]]
    draws = found.draw(Stream(0, CHAINS, 1), *parameters)
    assert draws.dtype == np.float32 and draws.shape == parameters[0].shape
    grid = {"bernoulli": np.array([0.0, 1.0]), "discretized_logistic": LEVELS, "normal": np.linspace(-8, 8, 400_001)}
    x, reference = grid.get(name, np.linspace(0, 1, 400_001)), globals()[name]
    for column, values in zip(draws.T.astype(np.float64), np.array(DRAWN[name]).T, strict=True):
        p = np.exp(reference(x, *values))
        p /= p.sum()
        mean = p @ x
        variance, fourth = p @ (x - mean) ** 2, p @ (x - mean) ** 4
        assert abs(column.mean() - mean) < 5 * np.sqrt(variance / count) + 1e-5
        assert abs(column.var() - variance) < 5 * np.sqrt(max(fourth - variance**2, 0) / count) + 1e-6


def test_levels_and_bits_are_drawn_as_such():
    ends = np.float32([[-50.0, 50.0]])
    assert likelihoods.get("bernoulli").draw(Stream(0, CHAINS), ends).tolist() == [[0, 1]]
    loc, scale = np.full((1000, 1), 0.5, np.float32), np.full((1000, 1), 2.0, np.float32)
    drawn = likelihoods.get("discretized_logistic").draw(Stream(0, CHAINS), loc, scale)
    assert np.isin(drawn, LEVELS.astype(np.float32)).all() and {0.0, 1.0} < set(drawn.ravel().tolist())


def test_a_likelihood_without_draws_says_so():
    class Own(type(likelihoods.get("normal"))):
        draw = Likelihood.draw

    with pytest.raises(KvaeError, match="Own defines no draws"):
        Own().draw(Stream(0, CHAINS), np.zeros(1), np.ones(1))
