"""A posterior of groups against closed forms: a linear Gaussian ladder, whose log p(x) is known."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.model import VAE, StandardNormal
from kvae.model.ladder import HierarchicalPosterior
from kvae.model.objectives import ELBO
from kvae.model.posteriors import Hierarchical
from kvae.steps.example import Example

tfd = tfp.distributions
SEED = (3, 4)
TOP, LOW, SIGMA = 2, 3, 0.4


@dataclass(frozen=True)
class Linear:
    """z1 = e1, z2 = W z1 + s e2, x = A z1 + B z2 + sigma n, with standard normal e1, e2 and n."""

    w: np.ndarray  # (LOW, TOP)
    s: float
    a: np.ndarray  # (pixels, TOP)
    b: np.ndarray  # (pixels, LOW)

    @classmethod
    def random(cls, top: int = TOP, low: int = LOW, pixels: int = 6) -> "Linear":
        rng = np.random.default_rng(0)
        w, a, b = (rng.normal(size=shape) for shape in ((low, top), (pixels, top), (pixels, low)))
        return cls(w, 0.7, 0.5 * a, 0.5 * b)

    @property
    def jacobian(self) -> np.ndarray:
        """Of the mean of x by (e1, e2)."""
        return np.concatenate([self.a + self.b @ self.w, self.s * self.b], axis=1)

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """log p(x) of x `(n, pixels)`, in closed form: x is Gaussian with covariance J J^T + sigma^2 I."""
        covariance = self.jacobian @ self.jacobian.T + SIGMA**2 * np.eye(x.shape[1])
        _, logdet = np.linalg.slogdet(covariance)
        distance = np.sum(x * np.linalg.solve(covariance, x.T).T, axis=1)
        return -0.5 * (distance + logdet + x.shape[1] * np.log(2 * np.pi))

    def posterior(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """q(e1|x) = N(K1 x, v1) and q(e2|x, e1) = N(K2 (x - L e1), v2), the true ones but for correlations."""
        top = self.w.shape[1]
        j1, j2 = self.jacobian[:, :top], self.jacobian[:, top:]
        noise = j2 @ j2.T + SIGMA**2 * np.eye(len(j1))
        precision = np.eye(top) + j1.T @ np.linalg.solve(noise, j1)
        k1 = np.linalg.solve(precision, np.linalg.solve(noise, j1).T)
        inner = np.eye(j2.shape[1]) + j2.T @ j2 / SIGMA**2
        k2 = np.linalg.solve(inner, j2.T) / SIGMA**2
        v1, v2 = np.diag(np.linalg.inv(precision)), np.diag(np.linalg.inv(inner))
        return k1, np.sqrt(v1), k2, np.sqrt(v2), j1

    def sample(self, count: int) -> np.ndarray:
        rng = np.random.default_rng(1)
        codes = rng.normal(size=(count, self.jacobian.shape[1]))
        return codes @ self.jacobian.T + SIGMA * rng.normal(size=(count, len(self.a)))


class LinearEncoder(keras.Model):
    """The posterior of a linear ladder, group by group."""

    def __init__(self, model: Linear) -> None:
        super().__init__()
        self._parts = [tf.constant(part, tf.float32) for part in model.posterior()]
        self._groups = [model.w.shape[1], model.w.shape[0]]

    def build(self, input_shape):
        self.built = True

    def call(self, images):
        k1, scale1, k2, scale2, j1 = self._parts
        x = tf.reshape(images, [-1, k1.shape[1]])

        def descend(choose, draws):
            rows = tf.tile(x, [draws, 1])
            top = choose(rows @ tf.transpose(k1), tf.zeros_like(rows[:, :1]) + scale1)
            rest = rows - top @ tf.transpose(j1)
            choose(rest @ tf.transpose(k2), tf.zeros_like(rows[:, :1]) + scale2)

        return HierarchicalPosterior(descend, self._groups, images.shape[0])


class LinearDecoder(keras.Model):
    """The mean J (e1, e2), with a normal likelihood."""

    def __init__(self, model: Linear) -> None:
        super().__init__()
        self._jacobian = tf.constant(model.jacobian.T, tf.float32)

    def build(self, input_shape):
        self.built = True

    def call(self, z):
        mean = tf.reshape(z @ self._jacobian, [-1, 1, self._jacobian.shape[1], 1])
        return tfd.Independent(tfd.Normal(mean, SIGMA), 3)


def linear_vae(model: Linear, draws: int) -> VAE:
    sizes = sum(model.w.shape)
    return VAE(LinearEncoder(model), LinearDecoder(model), StandardNormal(sizes), ELBO(num_draws=draws), seed=0)


def images_of(x: np.ndarray) -> np.ndarray:
    return x[:, None, :, None].astype(np.float32)


def built(vae: VAE, x: np.ndarray) -> VAE:
    vae.build((None, *images_of(x).shape[1:]))
    return vae


def test_with_the_true_posterior_every_log_weight_is_log_p_of_x():
    """With one dimension in each group nothing is left out of the posterior."""
    model = Linear.random(top=1, low=1)
    x = model.sample(5)
    terms = built(linear_vae(model, 4), x).terms(_example(x), SEED)
    expected = np.broadcast_to(model.log_prob(x), (4, 5))
    np.testing.assert_allclose(terms.log_weights, expected, atol=1e-3)
    assert terms.rate.shape == (5,) and terms.dimension_rates.shape == (2, 5)


def test_the_importance_sampled_nll_is_that_in_closed_form():
    """Within 0.5 % for a posterior that misses the correlations within each group."""
    model = Linear.random()
    x = model.sample(50)
    weights = built(linear_vae(model, 4000), x).terms(_example(x), SEED).log_weights.numpy().astype(np.float64)
    assert weights.std(axis=0).min() > 0.05  # the posterior is not the true one
    nll = -(np.logaddexp.reduce(weights, axis=0) - np.log(len(weights))).mean()
    assert nll == pytest.approx(-model.log_prob(x).mean(), rel=0.005)


def test_the_rate_is_the_mean_of_log_q_minus_log_p():
    """In closed form given each draw of the groups above; both are unbiased, so they agree within 4 standard errors."""
    model = Linear.random()
    x = model.sample(4)
    terms = built(linear_vae(model, 4000), x).terms(_example(x), SEED)
    gaps = (terms.log_posterior - terms.log_prior).numpy()
    error = gaps.std(axis=0) / np.sqrt(len(gaps))
    assert np.all(np.abs(gaps.mean(axis=0) - terms.rate.numpy()) < 4 * error)
    np.testing.assert_allclose(tf.reduce_sum(terms.dimension_rates, axis=0), terms.rate, rtol=1e-4)
    entropies = -terms.log_posterior.numpy()
    assert np.all(np.abs(entropies.mean(axis=0) - terms.entropy.numpy()) < 4 * entropies.std(axis=0) / np.sqrt(4000))


def posterior_of(x: np.ndarray) -> HierarchicalPosterior:
    encoder = LinearEncoder(Linear.random())
    return encoder(tf.constant(images_of(x)))


def test_its_density_is_the_product_over_groups():
    """In numpy, from the formulas of the linear ladder; for draws of its own, and for any code."""
    model = Linear.random()
    x = model.sample(3)
    posterior = posterior_of(x)
    k1, scale1, k2, scale2, j1 = model.posterior()
    z = np.random.default_rng(2).normal(size=(4, 3, TOP + LOW))
    top, low = z[..., :TOP], z[..., TOP:]
    gaps = [(top - x @ k1.T) / scale1, (low - (x - top @ j1.T) @ k2.T) / scale2]
    expected = sum(-0.5 * np.sum(gap**2 + np.log(2 * np.pi), axis=-1) for gap in gaps)
    expected -= np.log(scale1).sum() + np.log(scale2).sum()
    np.testing.assert_allclose(posterior.log_prob(z.astype(np.float32)), expected, rtol=1e-4)
    assert posterior.log_prob(z[0].astype(np.float32)).shape == (3,)


def test_at_gives_codes_and_the_posterior_at_them():
    posterior = posterior_of(Linear.random().sample(3))
    assert isinstance(posterior, Hierarchical) and not isinstance(tfd.Normal(0.0, 1.0), Hierarchical)
    noise = np.random.default_rng(5).normal(size=(2, 3, TOP + LOW)).astype(np.float32)
    codes, at_them = posterior.at(noise)
    z = tf.reshape(codes, noise.shape)
    assert codes.shape == (6, TOP + LOW) and at_them.batch_shape == (2, 3)
    np.testing.assert_allclose(at_them.loc + at_them.scale.diag * noise, z, atol=1e-6)
    np.testing.assert_allclose(at_them.log_prob(z), posterior.log_prob(z), rtol=1e-5)
    for draw in (0, 1):  # each draw is the same as alone
        np.testing.assert_allclose(posterior.at(noise[draw : draw + 1])[0], z[draw], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(posterior.mean(), posterior.at(0 * noise[:1])[0])


def test_draws_have_the_moments_of_the_joint_distribution():
    """E e1 = K1 x and E e2 = K2 (x - J1 K1 x), within 4 standard errors; a seed repeats its draws."""
    model = Linear.random()
    x = model.sample(2)
    posterior = posterior_of(x)
    draws = posterior.sample(20_000, seed=SEED).numpy()
    k1, _, k2, _, j1 = model.posterior()
    top = x @ k1.T
    expected = np.concatenate([top, (x - top @ j1.T) @ k2.T], axis=1)
    error = draws.std(axis=0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(axis=0) - expected) < 4 * error)
    np.testing.assert_array_equal(posterior.sample(2, seed=SEED), posterior.sample(2, seed=SEED))


def _example(x: np.ndarray) -> Example:
    return Example(tf.constant(images_of(x)))
