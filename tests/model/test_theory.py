"""Theory against what kvae computes: cross-entropy and KL, and how the entropy weight and beta affect a trained model.

The oracles are closed forms, which linear models have for everything, numerical integration, and numpy in float64.
"""

from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from tiny import DATASET, make_vae, random_images

from kvae import likelihoods
from kvae.bundle import densities
from kvae.config import ModelConfig
from kvae.data import datasets
from kvae.data.held_out_split import held_out
from kvae.evaluation import evaluation
from kvae.export import bundles
from kvae.likelihoods import normal
from kvae.model.networks import MIN_POSTERIOR_SCALE, Encoder, build_decoder, build_encoder
from kvae.model.objectives import ELBO
from kvae.model.priors import Prior, StandardNormal
from kvae.model.vae import VAE
from kvae.runtime import information
from kvae.runtime.bundle import Bundle

tfd = tfp.distributions
SEED = tf.constant([1, 2], tf.int32)
SHAPE = (3, 4, 1)
"""Shape of the linear models' images: 12 pixels."""


class LinearEncoder(keras.Model):
    """Posterior N(K x + c, diag(sigma^2)), with one sigma per latent dimension."""

    def __init__(self, latent_dim: int, image_shape: tuple[int, int, int] = SHAPE) -> None:
        super().__init__()
        small = keras.initializers.RandomNormal(0.1, seed=1)
        self.kernel = self.add_weight(shape=(np.prod(image_shape), latent_dim), initializer=small, name="kernel")
        self.bias = self.add_weight(shape=(latent_dim,), initializer="zeros", name="bias")
        self.log_variance = self.add_weight(shape=(latent_dim,), initializer="zeros", name="log_variance")
        self.built = True

    def call(self, images):
        loc = tf.reshape(images, (-1, self.kernel.shape[0])) @ self.kernel + self.bias
        return tfd.MultivariateNormalDiag(loc, tf.ones_like(loc) * tf.exp(self.log_variance / 2))


class LinearDecoder(keras.Model):
    """Likelihood N(W z + b, s^2 I)."""

    def __init__(
        self, latent_dim: int, scale: float, learned: bool = False, image_shape: tuple[int, int, int] = SHAPE
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        small = keras.initializers.RandomNormal(0.3, seed=2)
        start = keras.initializers.Constant(np.log(scale))
        self.kernel = self.add_weight(shape=(latent_dim, np.prod(image_shape)), initializer=small, name="kernel")
        self.bias = self.add_weight(shape=(np.prod(image_shape),), initializer="zeros", name="bias")
        self.log_scale = self.add_weight(shape=(), initializer=start, trainable=learned, name="log_scale")
        self.built = True

    def call(self, z):
        mean = tf.reshape(z @ self.kernel + self.bias, (-1, *self.image_shape))
        return tfd.Independent(tfd.Normal(mean, tf.exp(self.log_scale)), 3)


class FreeEncoder(keras.Model):
    """A separate mean and log-variance for each image, whatever its pixels."""

    def __init__(self, loc: np.ndarray, log_variance: np.ndarray) -> None:
        super().__init__()
        self.loc = self.add_weight(shape=loc.shape, initializer="zeros", name="loc")
        self.log_variance = self.add_weight(shape=loc.shape, initializer="zeros", name="log_variance")
        self.loc.assign(loc)
        self.log_variance.assign(log_variance)
        self.built = True

    def call(self, images):
        count = tf.shape(images)[0]
        return tfd.MultivariateNormalDiag(self.loc[:count], tf.exp(self.log_variance[:count] / 2))


def free_vae(num: int, latent_dim: int, prior) -> VAE:
    """A VAE with the usual decoder and a free posterior for each of `num` images, with random mean and variance."""
    rng = np.random.default_rng(4)
    loc, log_variance = rng.normal(size=(num, latent_dim)), rng.normal(-1.0, 1.0, size=(num, latent_dim))
    return VAE(FreeEncoder(loc, log_variance), make_vae(latent_dim=latent_dim).decoder, prior)


class LearnedGaussian(Prior):
    """A Gaussian prior whose loc and log scale are weights, random at first."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        rng = np.random.default_rng(0)
        self.loc = self.add_weight(shape=(latent_dim,), name="loc")
        self.log_scale = self.add_weight(shape=(latent_dim,), name="log_scale")
        self.loc.assign(rng.normal(size=latent_dim))
        self.log_scale.assign(rng.normal(scale=0.5, size=latent_dim))

    def call(self, label=None):
        return tfd.MultivariateNormalDiag(self.loc, tf.exp(self.log_scale))


def variable_prior(latent_dim: int):
    """A learned prior, and its variables."""
    prior = LearnedGaussian(latent_dim)
    return prior, prior.loc.value, prior.log_scale.value


def gaussian_images(spectrum: list[float], num: int = 256, mean: float = 0.0, seed: int = 0) -> np.ndarray:
    """Images whose sample mean is `mean` and whose sample covariance has exactly these eigenvalues, in random axes."""
    rng = np.random.default_rng(seed)
    draws = rng.standard_normal((num, len(spectrum)))
    white = np.linalg.svd(draws - draws.mean(axis=0), full_matrices=False)[0] * np.sqrt(num)
    axes = np.linalg.qr(rng.standard_normal((len(spectrum), len(spectrum))))[0]
    return (mean + (white * np.sqrt(spectrum)) @ axes.T).reshape(num, *SHAPE).astype(np.float32)


def minimise(loss: Callable, variables: list, steps: int, learning_rate: float, beta_2: float = 0.999) -> None:
    """Run Adam with a learning rate that falls to 0; `loss` is a function of the step."""
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule, beta_2=beta_2)
    optimizer.build(variables)

    @tf.function
    def loop():
        for step in tf.range(steps):
            with tf.GradientTape() as tape:
                value = loss(step)
            optimizer.apply(tape.gradient(value, variables), variables)

    loop()


def train(vae: VAE, images: np.ndarray, steps: int, beta_2: float = 0.999) -> VAE:
    """Minimise the VAE's own loss on all images at once, with new draws in each step."""
    images = tf.constant(images)
    vae.build(images.shape)
    minimise(
        lambda step: vae.weighted_loss(vae.terms(images, tf.stack([step, 0]))),
        vae.trainable_variables,
        steps,
        0.05,
        beta_2,
    )
    return vae


def linear_vae(latent_dim: int, scale: float, learned: bool = False, **settings) -> VAE:
    decoder = LinearDecoder(latent_dim, scale, learned)
    return VAE(LinearEncoder(latent_dim), decoder, StandardNormal(latent_dim), **settings)


class LinearModel(NamedTuple):
    """A linear VAE in float64, and its closed-form results for images."""

    w: np.ndarray
    b: np.ndarray
    noise: float
    """s^2."""
    loc: np.ndarray
    sigma2: np.ndarray
    residual: np.ndarray
    """x - W mu - b."""

    @classmethod
    def of(cls, vae: VAE, images: np.ndarray) -> "LinearModel":
        encoder, decoder = vae.encoder, vae.decoder
        variables = (decoder.kernel, decoder.bias, decoder.log_scale, encoder.kernel, encoder.bias)
        w, b, log_scale, kernel, offset = (variable.numpy().astype(np.float64) for variable in variables)
        flat = images.reshape(len(images), -1).astype(np.float64)
        loc = flat @ kernel + offset
        sigma2 = np.exp(encoder.log_variance.numpy().astype(np.float64))
        return cls(w, b, float(np.exp(2 * log_scale)), loc, sigma2, flat - loc @ w - b)

    @property
    def squares(self) -> np.ndarray:
        """J^2, the squared norm of the decoder's column for each latent dimension."""
        return np.sum(self.w**2, axis=1)

    @property
    def distortion(self) -> float:
        """-E_q log p(x|z), the mean over images."""
        square = np.sum(self.residual**2, axis=1).mean() + np.sum(self.sigma2 * self.squares)
        return 0.5 * (square / self.noise + len(self.b) * np.log(2 * np.pi * self.noise))

    @property
    def cross_entropy(self) -> float:
        """H(q, N(0, I)), the mean over images."""
        return 0.5 * np.sum(np.mean(self.loc**2, axis=0) + self.sigma2 + np.log(2 * np.pi))

    @property
    def rate(self) -> float:
        """KL(q || N(0, I)), the mean over images."""
        return self.cross_entropy - 0.5 * np.sum(np.log(2 * np.pi * self.sigma2) + 1)

    def nll(self, images: np.ndarray) -> float:
        """-log N(x; b, W^T W + s^2 I), the mean over images."""
        return -gaussian_log_density(images, self.b, self.w.T @ self.w + self.noise * np.eye(len(self.b))).mean()


def gradients(vae: VAE, images: np.ndarray, variables: list, entropy_weight: float) -> list[np.ndarray]:
    """The gradient of the loss with this entropy weight, at the single draw that all these tests share."""
    vae.objective = ELBO(entropy_weight=entropy_weight)
    with tf.GradientTape() as tape:
        loss = vae.weighted_loss(vae.terms(images, SEED))
    return [gradient.numpy() for gradient in tape.gradient(loss, variables)]


def gaussian_log_density(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """log N(x; mean, covariance) of each row, in float64."""
    centred = x.reshape(len(x), -1).astype(np.float64) - mean
    _, log_determinant = np.linalg.slogdet(covariance)
    square = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    return -0.5 * (square + log_determinant + centred.shape[1] * np.log(2 * np.pi))


# E1: the two losses and their gradients.


@pytest.mark.parametrize("entropy_weight", [0.0, 0.3, 1.0, 2.0])
def test_the_regulariser_is_cross_entropy_minus_the_weighted_entropy(entropy_weight):
    """H(q, p) - lambda H(q) of two diagonal Gaussians matches numpy in float64, for each image within 1e-4 nats."""
    prior, prior_loc, prior_log_scale = variable_prior(3)
    vae = free_vae(5, 3, prior)
    vae.objective = ELBO(entropy_weight=entropy_weight)
    m, log_v = (variable.numpy().astype(np.float64) for variable in (vae.encoder.loc, vae.encoder.log_variance))
    a, log_b = prior_loc.numpy().astype(np.float64), prior_log_scale.numpy().astype(np.float64)
    cross = 0.5 * ((m - a) ** 2 + np.exp(log_v)) / np.exp(2 * log_b) + log_b + 0.5 * np.log(2 * np.pi)
    entropy = 0.5 * (log_v + np.log(2 * np.pi) + 1)
    expected = np.sum(cross - entropy_weight * entropy, axis=1)
    regularizer = vae.objective.regularizer(vae.terms(random_images(5)))
    assert regularizer.shape == (5,)
    np.testing.assert_allclose(regularizer, expected, rtol=1e-5, atol=1e-4)


def test_the_regulariser_is_tfp_s_kl_at_weight_1_and_its_cross_entropy_at_0(vae):
    images = random_images(6)
    posterior = vae.encoder(images)
    np.testing.assert_array_equal(
        vae.objective.regularizer(vae.terms(images)), tfd.kl_divergence(posterior, vae.prior())
    )
    vae.objective = ELBO(entropy_weight=0.0)
    np.testing.assert_allclose(
        vae.objective.regularizer(vae.terms(images)), posterior.cross_entropy(vae.prior()), rtol=1e-6
    )


def test_the_cross_entropy_is_the_mean_of_minus_log_p_under_q(vae):
    """By Monte-Carlo, within 4 standard errors."""
    vae.objective = ELBO(entropy_weight=0.0)
    images = random_images(3)
    draws = -vae.prior().log_prob(vae.encoder(images).sample(20_000, seed=SEED)).numpy()
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - vae.objective.regularizer(vae.terms(images)).numpy()) < 4 * error)


def test_gradients_of_kl_and_cross_entropy_differ_only_by_a_half_in_each_log_variance():
    """-1/2 per image, so -1/(2 batch) of the mean; 0 in every mean, in the decoder and in the prior. Within 1e-6."""
    prior, prior_loc, prior_log_scale = variable_prior(3)
    vae = free_vae(5, 3, prior)
    variables = [
        vae.encoder.log_variance,
        vae.encoder.loc,
        prior_loc,
        prior_log_scale,
        *vae.decoder.trainable_variables,
    ]
    images = random_images(5)
    kl, cross_entropy = (gradients(vae, images, variables, weight) for weight in (1.0, 0.0))
    np.testing.assert_allclose(kl[0] - cross_entropy[0], np.full((5, 3), -0.5 / 5), atol=1e-6)
    for one, other in zip(kl[1:], cross_entropy[1:], strict=True):
        assert np.abs(one).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    for one, other in zip(kl[4:], cross_entropy[4:], strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("entropy_weight", [0.0, 0.5])
def test_the_difference_reaches_an_encoder_s_weights_only_through_its_scales(vae, entropy_weight):
    """-(1 - lambda)/2 in each log variance, propagated by hand through softplus, dense layer and body, within 1e-5."""
    images = random_images(4)
    encoder = vae.encoder
    head, body = encoder.raw_scale, encoder.body.layers[-1]
    variables = [head.kernel, head.bias, body.kernel, body.bias]
    same = [encoder.loc.kernel, encoder.loc.bias, *vae.decoder.trainable_variables]
    kl = gradients(vae, images, variables + same, 1.0)
    other = gradients(vae, images, variables + same, entropy_weight)

    flat = images.reshape(4, -1).astype(np.float64)
    w, c = (variable.numpy().astype(np.float64) for variable in (body.kernel, body.bias))
    hidden = np.maximum(flat @ w + c, 0)
    raw = hidden @ head.kernel.numpy().astype(np.float64) + head.bias.numpy()
    scale = MIN_POSTERIOR_SCALE + np.log1p(np.exp(raw))
    # d log sigma^2 / d raw = 2 sigmoid(raw) / sigma
    by_raw = -0.5 * (1 - entropy_weight) / 4 * 2 / (1 + np.exp(-raw)) / scale
    by_hidden = (by_raw @ head.kernel.numpy().T) * (hidden > 0)
    expected = [hidden.T @ by_raw, by_raw.sum(axis=0), flat.T @ by_hidden, by_hidden.sum(axis=0)]
    for one, two, difference in zip(kl[:4], other[:4], expected, strict=True):
        assert np.abs(difference).max() > 1e-2
        np.testing.assert_allclose(one - two, difference, atol=1e-5)
    for one, two in zip(kl[4:], other[4:], strict=True):
        np.testing.assert_array_equal(one, two)


# E2: how the entropy weight determines the posterior's variance. E3: what that does to the likelihood.


@pytest.mark.parametrize("entropy_weight", [0.25, 0.5, 1.0, 2.0])
def test_unused_dimensions_have_the_entropy_weight_as_their_variance(entropy_weight):
    """sigma^2 = lambda if the decoder ignores the dimension, else lambda / (1 + J^2 / s^2), within 2 % and 5 %.

    The data have rank 2, the code 4 dimensions.
    """
    images = gaussian_images([2.0, 1.0, *[0.0] * 10])
    model = LinearModel.of(
        train(linear_vae(4, 0.5, objective=ELBO(entropy_weight=entropy_weight)), images, 2000), images
    )
    unused, used = np.split(np.argsort(model.squares), 2)
    assert np.all(model.squares[unused] < 1e-3) and np.all(model.squares[used] > 0.2)
    np.testing.assert_allclose(model.sigma2[unused], entropy_weight, rtol=0.02)
    np.testing.assert_allclose(model.sigma2[used], entropy_weight / (1 + model.squares[used] / 0.25), rtol=0.05)


def test_without_the_entropy_the_scale_runs_into_its_floor():
    """kvae's encoder on data of rank 2: at lambda = 0 all scales end below twice the floor, used or not; at 1 none."""
    images = gaussian_images([2.0, 1.0, *[0.0] * 10])
    scales = {}
    for entropy_weight in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        body = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten()])
        prior = StandardNormal(4)
        vae = VAE(Encoder(body, 4), LinearDecoder(4, 0.5), prior, ELBO(entropy_weight=entropy_weight))
        # The gradient vanishes with sigma, so Adam must forget the large ones from the start, hence beta_2. (With 0.9
        # some scale is still at 1.2 to 2.9 times the floor, depending on the processor's rounding; with 0.5 all reach
        # it.)
        scales[entropy_weight] = train(vae, images, 2000, beta_2=0.5).encoder(images).stddev().numpy()
    assert MIN_POSTERIOR_SCALE <= scales[0.0].min() <= scales[0.0].max() < 2 * MIN_POSTERIOR_SCALE
    assert scales[1.0].min() > 1000 * MIN_POSTERIOR_SCALE


def test_without_the_entropy_nothing_pushes_a_scale_up():
    """d loss / d log sigma^2 at lambda = 0 is sigma^2 (1 + J^2 / s^2) / 2, however small sigma is, within 5 %.

    At lambda = 1 it is 1/2 less. The images are the decoder's b and mu is 0, so the loss depends only on the draws.
    """
    images = np.zeros((20_000, *SHAPE), np.float32)
    vae = linear_vae(3, 0.5)
    squares = LinearModel.of(vae, images).squares
    for log_variance in (0.0, -4.0, -12.0):
        vae.encoder.log_variance.assign([log_variance] * 3)
        kl, cross_entropy = (gradients(vae, images, [vae.encoder.log_variance], weight)[0] for weight in (1.0, 0.0))
        np.testing.assert_allclose(cross_entropy, 0.5 * np.exp(log_variance) * (1 + squares / 0.25), rtol=0.05)
        np.testing.assert_allclose(kl, cross_entropy - 0.5, atol=1e-4)


def test_without_the_entropy_the_loss_is_not_a_bound_and_the_model_is_worse():
    """E3: at lambda = 0 the loss falls below the lowest NLL of any such model, while the model's own exact NLL rises.

    The lowest NLL at noise s^2 is Tipping & Bishop's, with a variance v along each of the axes of the data.
    """
    variances, s2 = np.array([4.0, 2.0]), 0.09
    images = gaussian_images([*variances, *[0.0] * 10])
    least = 0.5 * (12 * np.log(2 * np.pi) + np.log(variances).sum() + 10 * np.log(s2) + 2)
    models = [
        LinearModel.of(train(linear_vae(2, 0.3, objective=ELBO(entropy_weight=w)), images, 2000), images)
        for w in (0.0, 1.0)
    ]
    losses = models[0].distortion + models[0].cross_entropy, models[1].distortion + models[1].rate
    nlls = [model.nll(images) for model in models]
    assert losses[0] < least - 1
    assert least - 1e-4 < nlls[1] < losses[1] < least + 0.1
    assert nlls[0] > nlls[1] + 0.5


# E4: without the entropy a VAE is an autoencoder with a penalty.


def pooled(images: np.ndarray) -> np.ndarray:
    """28 x 28 bytes as 14 x 14 intensities."""
    return (images.reshape(len(images), 14, 2, 14, 2, 1).mean(axis=(2, 4)) / 255).astype(np.float32)


def autoencoder_loss(vae: VAE, images: tf.Tensor) -> tf.Tensor:
    """-log p(x|mu) + |mu|^2 / 2: no draws, no scales."""
    codes = vae.encoder(images).mean()
    return tf.reduce_mean(-vae.decoder(codes).log_prob(images) + 0.5 * tf.reduce_sum(codes**2, axis=-1))


def image_vae(entropy_weight: float) -> VAE:
    """kvae's own dense networks for 14 x 14 images, from one seed."""
    keras.utils.set_random_seed(0)
    config = ModelConfig(architecture="mlp", latent_dim=4, hidden_units=64)
    shape = (14, 14, 1)
    networks = build_encoder(config, shape), build_decoder(config, shape)
    vae = VAE(*networks, StandardNormal(4), ELBO(entropy_weight=entropy_weight))
    vae.build((None, *shape))
    return vae


@pytest.fixture(scope="module")
def mini() -> datasets.Dataset:
    return datasets.load("fashion_mnist_mini")


def test_at_the_floor_the_loss_and_its_gradients_are_an_autoencoder_s():
    """D + H(q, p) = D + |mu|^2 / 2 + (latent_dim / 2) ln 2 pi, within 1e-3 nats; gradients within 0.1 % in norm."""
    vae = image_vae(0.0)
    vae.encoder.raw_scale.kernel.assign(tf.zeros((64, 4)))
    vae.encoder.raw_scale.bias.assign(tf.fill([4], -20.0))
    images = tf.constant(random_images(16, (14, 14, 1)))
    variables = [variable for variable in vae.trainable_variables if "raw_scale" not in variable.path]
    with tf.GradientTape() as tape:
        plain = autoencoder_loss(vae, images)
    expected = tape.gradient(plain, variables)
    assert float(vae.weighted_loss(vae.terms(images, SEED)) - plain) == pytest.approx(2 * np.log(2 * np.pi), abs=1e-3)
    for one, other in zip(gradients(vae, images, variables, 0.0), expected, strict=True):
        assert np.linalg.norm(one - other) < 1e-3 * np.linalg.norm(other)


def test_trained_without_the_entropy_a_linear_vae_reconstructs_like_an_autoencoder():
    """From the usual start, sigma = 1: rms difference of the reconstructions below 2 % of their rms; with KL, 10 %."""
    images = tf.constant(gaussian_images([2.0, 1.0, *[0.0] * 10]))
    plain = linear_vae(3, 0.5)
    variables = [plain.encoder.kernel, plain.encoder.bias, plain.decoder.kernel, plain.decoder.bias]
    minimise(lambda step: autoencoder_loss(plain, images), variables, 2000, 0.05)
    expected = plain(images).numpy()
    differences = []
    for entropy_weight in (0.0, 1.0):
        vae = train(linear_vae(3, 0.5, objective=ELBO(entropy_weight=entropy_weight)), images, 2000)
        differences.append(np.sqrt(np.mean((vae(images).numpy() - expected) ** 2) / np.mean(expected**2)))
    assert differences[0] < 0.02
    assert differences[1] > 0.10


def test_trained_without_the_entropy_a_vae_ends_at_an_autoencoder_s_loss(mini):
    """kvae's networks on real images, 1,000 batches in one order: D + |mu|^2 / 2 within 0.5 nats, with KL 1 nat above.

    The same holds on test images, and the root mean square error of the mean reconstructions agrees within 1 %.
    """
    train_images, test_images = (tf.constant(pooled(split.images)) for split in (mini.train, mini.test))
    order = tf.constant(np.random.default_rng(0).integers(0, len(train_images), (1000, 64)))
    losses, errors = {}, {}
    for name, entropy_weight in (("autoencoder", 0.0), ("cross-entropy", 0.0), ("kl", 1.0)):
        vae = image_vae(entropy_weight)
        variables = vae.trainable_variables
        if name == "autoencoder":
            variables = [variable for variable in variables if "raw_scale" not in variable.path]

        def loss(step, vae=vae, name=name):
            batch = tf.gather(train_images, order[step])
            if name == "autoencoder":
                return autoencoder_loss(vae, batch)
            return vae.weighted_loss(vae.terms(batch, tf.stack([step, 0])))

        minimise(loss, variables, 1000, 3e-3)
        losses[name] = np.array([float(autoencoder_loss(vae, images)) for images in (train_images, test_images)])
        errors[name] = float(tf.sqrt(tf.reduce_mean((vae(test_images) - test_images) ** 2)))
    np.testing.assert_allclose(losses["cross-entropy"], losses["autoencoder"], atol=0.5)
    assert np.all(losses["kl"] > losses["autoencoder"] + 1.0)
    assert errors["cross-entropy"] == pytest.approx(errors["autoencoder"], rel=0.01)


# E5: the rate is mutual information and marginal KL.


def measured(loc: np.ndarray, scale: np.ndarray, draws: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Mutual information and marginal KL of every image and draw."""
    rng = np.random.default_rng(0)
    found = [information.measure(loc, scale, loc + scale * rng.standard_normal(loc.shape)) for _ in range(draws)]
    return np.stack([one.mutual_information for one in found]), np.stack([one.marginal_kl for one in found])


def test_the_rate_is_mutual_information_plus_marginal_kl():
    """Against the closed-form rate of 300 posteriors, 30 draws each, within 4 standard errors; I <= ln N throughout."""
    rng = np.random.default_rng(3)
    loc, scale = rng.normal(size=(300, 3)), np.exp(rng.normal(-1.0, 0.7, (300, 3)))
    rate = np.sum(0.5 * (loc**2 + scale**2 - 1) - np.log(scale), axis=1).mean()
    mutual, marginal = measured(loc, scale, draws=30)
    total = (mutual + marginal).mean(axis=1)
    error = total.std(ddof=1) / np.sqrt(30)  # the images are the same, the draws differ
    assert abs(total.mean() - rate) < 4 * error < 0.1
    assert mutual.max() <= np.log(300) + 1e-9  # for each draw, because q(z) contains q(z|x) with weight 1/N
    assert 1.0 < mutual.mean() < np.log(300) - 1.0


@pytest.mark.parametrize(
    "locs, scales", [((-0.5, 0.5), (1.0, 0.6)), ((-4.0, 3.0), (0.3, 0.5)), ((0.7, 0.7), (0.4, 0.4))]
)
def test_mutual_information_and_marginal_kl_match_numerical_integration(locs, scales):
    """Two posteriors in one dimension, overlapping, apart and equal; 4,000 draws, within 4 standard errors + 1e-6."""
    z, dz = np.linspace(-15, 15, 60_001, retstep=True)
    log_q = np.stack(
        [-0.5 * ((z - m) / s) ** 2 - np.log(s) - 0.5 * np.log(2 * np.pi) for m, s in zip(locs, scales, strict=True)]
    )
    log_mixture = np.logaddexp(*log_q) - np.log(2)
    log_prior = -0.5 * z**2 - 0.5 * np.log(2 * np.pi)
    mutual = np.sum(np.exp(log_q) * (log_q - log_mixture)) * dz / 2
    marginal = np.sum(np.exp(log_mixture) * (log_mixture - log_prior)) * dz
    # Each posterior is repeated 2,000 times: the mixture stays the same, and so do the means.
    found = measured(np.repeat(locs, 2000)[:, None], np.repeat(scales, 2000)[:, None])
    for expected, values in zip((mutual, marginal), found, strict=True):
        assert abs(values.mean() - expected) < 4 * values.std() / np.sqrt(values.size) + 1e-6


def test_mutual_information_of_a_gaussian_channel_is_its_closed_form():
    """Means spread as N(0, t^2), one sigma: I = ln(1 + t^2 / sigma^2) / 2, and q(z) = N(0, t^2 + sigma^2).

    The means are 2,000 quantiles; ten draws from each, within 4 standard errors + 0.005.
    """
    t, sigma, num = 1.5, 0.4, 2000
    loc = t * np.array([[NormalDist().inv_cdf((i + 0.5) / num)] for i in range(num)])
    variance = t**2 + sigma**2
    expected = 0.5 * np.log(variance / sigma**2), 0.5 * (variance - 1 - np.log(variance))
    for values, value in zip(measured(loc, np.full_like(loc, sigma), draws=10), expected, strict=True):
        assert values.mean() == pytest.approx(value, abs=4 * values.std() / np.sqrt(values.size) + 0.005)


def test_separate_posteriors_hold_ln_n_nats_and_equal_ones_none():
    """I = ln N exactly if no two posteriors overlap; if all are equal, I = 0 and the marginal KL is the rate."""
    apart = 100.0 * np.arange(50)[:, None]
    mutual, _ = measured(apart, np.ones_like(apart))
    np.testing.assert_allclose(mutual, np.log(50), atol=1e-9)
    mutual, marginal = measured(np.full((50, 1), 0.8), np.full((50, 1), 0.5), draws=400)
    np.testing.assert_allclose(mutual, 0.0, atol=1e-9)
    rate = 0.5 * (0.8**2 + 0.5**2 - 1) - np.log(0.5)
    assert abs(marginal.mean() - rate) < 4 * marginal.std() / np.sqrt(marginal.size)


# E6: beta moves a model along the rate-distortion curve.


def test_beta_trades_rate_for_distortion_along_a_convex_curve_of_slope_minus_beta():
    """Rate within 2 % of its closed form and distortion within 0.2 nats, at three betas; secants lie between -betas.

    With noise s^2 and data variances v, a dimension is used if v > beta s^2; its rate is ln(v / (beta s^2)) / 2 and it
    adds beta / 2 to the distortion; an unused one has rate 0 and adds v / (2 s^2).
    """
    s2, spectrum, betas = 0.1, np.array([4.0, 2.0, 1.0, 0.5, *[0.01] * 8]), np.array([0.5, 2.0, 8.0])
    images = gaussian_images(list(spectrum))
    curve = []
    for beta in betas:
        model = LinearModel.of(
            train(linear_vae(5, np.sqrt(s2), objective=ELBO(beta=float(beta))), images, 2000), images
        )
        used = spectrum > beta * s2
        left = np.where(used, beta * s2, spectrum).sum()
        assert model.rate == pytest.approx(0.5 * np.sum(np.log(spectrum[used] / (beta * s2))), rel=0.02)
        assert model.distortion == pytest.approx(0.5 * left / s2 + 6 * np.log(2 * np.pi * s2), abs=0.2)
        assert information.active_units(model.loc).sum() == used.sum()
        curve.append((model.rate, model.distortion))
    rates, distortions = np.array(curve).T
    assert np.all(np.diff(rates) < 0) and np.all(np.diff(distortions) > 0)
    slopes = np.diff(distortions) / np.diff(rates)
    assert np.all((-betas[1:] < slopes) & (slopes < -betas[:-1]))


# E7: a linear VAE is probabilistic PCA.


@pytest.mark.parametrize("latent_dim, num_used", [(5, 3), (2, 2)])
def test_a_linear_vae_with_learned_noise_is_probabilistic_pca(latent_dim, num_used):
    """The exact likelihood is Tipping & Bishop's maximum within 0.1 %, the ELBO within 0.02 nats of it.

    The noise is the mean of the variances that the code leaves out, within 2 %; a dimension is used if its variance v
    is above the noise s^2: its means then have the variance 1 - s^2 / v, within 0.02. Three variances are above the
    rest. Any further dimensions of the code decay only as a power of the number of steps, because the likelihood is
    flat there: 0.05 counts as 0.
    """
    spectrum = np.array([4.0, 2.0, 1.0, *[0.1] * 9])
    images = gaussian_images(list(spectrum), mean=0.5)
    model = LinearModel.of(train(linear_vae(latent_dim, 1.0, learned=True), images, 3000), images)
    kept, left = np.split(spectrum, [latent_dim])
    noise = left.mean()
    maximum = -0.5 * (12 * np.log(2 * np.pi) + np.log(kept).sum() + len(left) * np.log(noise) + 12)
    likelihood = -model.nll(images)
    assert likelihood == pytest.approx(maximum, rel=0.001)
    assert likelihood <= maximum + 1e-4
    assert likelihood - 0.02 < -model.distortion - model.rate <= likelihood
    assert model.noise == pytest.approx(noise, rel=0.02)
    np.testing.assert_allclose(model.b, 0.5, atol=0.02)
    spread = np.sort(np.var(model.loc, axis=0))[::-1]
    np.testing.assert_allclose(spread[:num_used], 1 - noise / spectrum[:num_used], atol=0.02)
    assert np.all(spread[num_used:] < 0.05)


# E8: a learned prior.


def test_a_learned_gaussian_prior_has_one_optimum_under_kl_and_cross_entropy():
    """With the encoder frozen: loc = mean of mu, variance = mean of mu^2 + sigma^2 minus loc^2, both within 1e-4.

    During training the two gradients are equal within 1e-6.
    """
    images = random_images(40)
    optima = []
    for entropy_weight in (1.0, 0.0):
        prior, loc, log_scale = variable_prior(3)
        vae = free_vae(40, 3, prior)
        on_the_way = [gradients(vae, images, [loc, log_scale], weight) for weight in (1.0, 0.0)]
        np.testing.assert_allclose(*on_the_way, atol=1e-6)
        assert np.abs(on_the_way).max() > 0.1
        vae.objective = ELBO(entropy_weight=entropy_weight)
        minimise(
            lambda step, vae=vae: tf.reduce_mean(vae.objective.regularizer(vae.terms(images, SEED))),
            [loc, log_scale],
            500,
            0.05,
        )
        m, v = (variable.numpy().astype(np.float64) for variable in (vae.encoder.loc, vae.encoder.log_variance))
        np.testing.assert_allclose(loc, m.mean(axis=0), atol=1e-4)
        np.testing.assert_allclose(np.exp(2 * log_scale), np.mean(m**2 + np.exp(v), axis=0) - m.mean(axis=0) ** 2, 1e-4)
        optima.append([loc.numpy(), log_scale.numpy()])
    np.testing.assert_allclose(*optima, atol=1e-6)


# E9: the lowest Bernoulli loss of grey images.


def perfect_logits(images: np.ndarray) -> np.ndarray:
    """logit(x), with 40 for infinity."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log(images) - np.log1p(-images), -40, 40).astype(np.float32)


def bernoulli_loss(logits: np.ndarray, images: np.ndarray) -> np.ndarray:
    """-log p(x|z) of each image, for a decoder that returns these logits."""
    return -likelihoods.get("bernoulli").of_images(tf.constant(logits)).log_prob(images).numpy()


def pixel_entropy(images: np.ndarray) -> np.ndarray:
    """The entropy of each image's pixels, taken as probabilities, summed; in float64."""
    x = images.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nansum(-x * np.log(x) - (1 - x) * np.log1p(-x), axis=(1, 2, 3))


def test_a_perfect_reconstruction_of_grey_images_costs_their_own_entropy(mini):
    """-log p(x) at logits logit(x) is the sum of the pixels' entropies, above 0, here and in `kvae.bundle.densities`:
    to 1e-5.

    On the real test images it is 191 nats on average, and none of it says anything about a model.
    """
    grey = mini.test.images / np.float32(255)
    logits = perfect_logits(grey)
    expected = pixel_entropy(grey)
    np.testing.assert_allclose(bernoulli_loss(logits, grey), expected, rtol=1e-5)
    in_numpy = [densities.log_density("bernoulli", logits[[i]].copy(), grey[i]).item() for i in range(50)]
    np.testing.assert_allclose(-np.array(in_numpy), expected[:50], rtol=1e-5)
    assert expected.min() > 10
    assert expected.mean() == pytest.approx(191.03, abs=0.01)


def test_the_entropy_of_grey_images_is_the_lowest_possible_bernoulli_loss():
    """The gradient in the logits vanishes at logit(x), within 1e-6; any step away from it raises the loss."""
    grey = 0.02 + 0.96 * random_images(8)
    perfect = tf.constant(perfect_logits(grey))
    with tf.GradientTape() as tape:
        tape.watch(perfect)
        loss = -likelihoods.get("bernoulli").of_images(perfect).log_prob(grey)
    np.testing.assert_allclose(tape.gradient(loss, perfect), np.zeros_like(grey), atol=1e-6)
    np.testing.assert_allclose(loss, pixel_entropy(grey), rtol=1e-5)
    for size in (0.1, 1.0, 10.0):
        step = size * np.random.default_rng(2).standard_normal(grey.shape).astype(np.float32)
        assert np.all(bernoulli_loss(perfect.numpy() + step, grey) > loss.numpy() + 0.01)


def test_a_perfect_reconstruction_of_bits_costs_nothing(mini):
    """The same real images, binarised, cost below 1e-6 nats each."""
    bits = held_out(mini, "test", True) / np.float32(255)
    assert np.abs(bernoulli_loss(perfect_logits(bits), bits)).max() < 1e-6


# Importance sampling, against a model whose log p(x) is known.

NOISE = 0.1
PIXELS = (4, 4, 1)


class Gaussian(NamedTuple):
    """A bundle of a linear VAE, images from it, and their exact NLL."""

    bundle: Bundle
    images: np.ndarray
    nll: np.ndarray

    def evaluate(self, num_samples: int) -> dict[str, np.ndarray]:
        return evaluation.evaluate(self.bundle, self.images, num_samples).per_image


@pytest.fixture(scope="module")
def gaussian(tmp_path_factory: pytest.TempPathFactory) -> Callable[[float, float], Gaussian]:
    """A function from a shift and a factor to a model whose posterior is wrong by them, in units of the exact scale.

    p(x) is N(1/2, W^T W + s^2 I). The columns of W are orthogonal: the exact posterior is diagonal.
    """
    signs = np.array([[1] * 16, [1, -1] * 8, [1, 1, -1, -1] * 4])
    w = signs / 4 * np.array([[0.3], [0.2], [0.1]])
    covariance = w.T @ w + NOISE**2 * np.eye(16)
    rng = np.random.default_rng(0)
    draws = 0.5 + rng.standard_normal((200, 3)) @ w + NOISE * rng.standard_normal((200, 16))
    images = np.clip(np.rint(255 * draws), 0, 255).astype(np.uint8).reshape(-1, *PIXELS)
    nll = -gaussian_log_density(images / np.float32(255), np.full(16, 0.5), covariance)

    def model(shift: float, factor: float) -> Gaussian:
        encoder, decoder = LinearEncoder(3, PIXELS), LinearDecoder(3, NOISE, image_shape=PIXELS)
        precision = 1 + np.sum(w**2, axis=1) / NOISE**2
        kernel = (w / NOISE**2).T / precision
        encoder.kernel.assign(kernel)
        encoder.bias.assign(shift / np.sqrt(precision) - 0.5 * kernel.sum(axis=0))
        encoder.log_variance.assign(2 * np.log(factor) - np.log(precision))
        decoder.kernel.assign(w)
        decoder.bias.assign(np.full(16, 0.5))
        vae = VAE(encoder, decoder, StandardNormal(3))
        vae.build((None, *PIXELS))
        with pytest.MonkeyPatch.context() as patch:  # a bundle's mean, which is only shown, must be in [0, 1]
            patch.setattr(normal.Normal, "mean", lambda self, pixels: tf.clip_by_value(pixels.loc, 0.0, 1.0))
            path = bundles.export(vae, tmp_path_factory.mktemp("gaussian") / "bundle", dataset=DATASET).path
        return Gaussian(Bundle.open(path, device="cpu"), images, nll)

    return model


def test_with_the_exact_posterior_the_nll_is_exact_at_any_number_of_samples(gaussian):
    """Each image within 1e-4 nats, one draw or many; all draws weigh the same, and the bound has no gap."""
    model = gaussian(0.0, 1.0)
    for num_samples in (1, 7, 600):
        found = model.evaluate(num_samples)
        np.testing.assert_allclose(found["nll"], model.nll, atol=1e-4)
        np.testing.assert_allclose(found["effective_sample_size"], num_samples, rtol=1e-6)
    # -ELBO includes the draws' noise in its distortion: the mean gap vanishes within 4 standard errors.
    assert abs(found["gap"].mean()) < 4 * found["gap"].std() / np.sqrt(len(model.nll))


def test_with_a_wrong_posterior_the_nll_is_exact_within_its_error(gaussian):
    """The mean over images within 4 standard errors and 0.02 nats at 2,000 samples, while the bound is off by 0.5.

    The error of one image's log mean weight is sqrt(1 / effective sample size - 1 / samples); none is off by 5 of them.
    """
    model = gaussian(0.5, 1.3)
    found = model.evaluate(2000)
    error = np.sqrt(1 / found["effective_sample_size"] - 1 / 2000)
    off = found["nll"] - model.nll
    assert np.all(np.abs(off) < 5 * error)
    assert abs(off.mean()) < 4 * np.sqrt(np.mean(error**2) / len(off)) < 0.02
    assert np.mean(-found["elbo"] - model.nll) > 0.5
    assert 100 < found["effective_sample_size"].mean() < 1900


def test_a_wrong_posterior_s_bound_is_off_by_its_kl_from_the_exact_one(gaussian):
    """-ELBO - NLL = KL(q || p(z|x)) = 3 (shift^2 + f^2 - 1 - ln f^2) / 2, within 4 standard errors."""
    model = gaussian(0.5, 1.3)
    gap = -model.evaluate(500)["elbo"] - model.nll
    expected = 1.5 * (0.5**2 + 1.3**2 - 1 - 2 * np.log(1.3))
    assert abs(gap.mean() - expected) < 4 * gap.std() / np.sqrt(len(gap)) < 0.1


def test_the_nll_falls_to_the_exact_one_as_samples_grow(gaussian):
    """From 1 to 4, 16, 64 and 256 samples the mean over images falls, each time by at least 2 standard errors of the
    paired difference, and stays above the exact NLL, in the end by less than 0.15 nats.
    """
    model = gaussian(0.5, 4.0)
    nll = np.stack([model.evaluate(num_samples)["nll"] for num_samples in (1, 4, 16, 64, 256)])
    falls = nll[:-1] - nll[1:]
    error = falls.std(axis=1) / np.sqrt(len(model.nll))
    assert np.all(falls.mean(axis=1) > 2 * error)
    assert 0 < nll[-1].mean() - model.nll.mean() < 0.15


def test_an_evaluation_s_rate_is_its_mutual_information_and_marginal_kl(gaussian):
    """On average over images, within 4 standard errors; -ELBO is distortion plus rate, and I is below ln N."""
    found = gaussian(0.5, 1.3).evaluate(200)
    off = found["mutual_information"] + found["marginal_kl"] - found["rate"]
    assert abs(off.mean()) < 4 * off.std() / np.sqrt(len(off))
    assert found["mutual_information"].max() <= np.log(len(off)) + 1e-9
    np.testing.assert_allclose(-found["elbo"], found["distortion"] + found["rate"], rtol=1e-12)
