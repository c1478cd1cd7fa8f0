"""The terms of the ELBO, its variants and the log weights."""

from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class Terms(NamedTuple):
    """The terms of each image of a batch, in nats."""

    log_likelihood: tf.Tensor
    """log p(x|z) at each draw z of the posterior, `(draws, batch)`."""
    log_prior: tf.Tensor
    """log p(z), `(draws, batch)`."""
    log_posterior: tf.Tensor
    """log q(z|x), `(draws, batch)`."""
    rate: tf.Tensor
    """KL(q(z|x) || p(z)), `(batch,)`."""
    entropy: tf.Tensor
    """H(q(z|x)), `(batch,)`."""
    dimension_rates: tf.Tensor | None = None
    """The KL of each latent dimension, `(latent_dim, batch)`; `(0, batch)` if q or p does not factorise over them."""

    @property
    def distortion(self) -> tf.Tensor:
        """An unbiased estimate of -E_q log p(x|z), `(batch,)`."""
        # Not the mean of a single draw: for that, XLA would sum the pixels of all images again, in one thread.
        single = self.log_likelihood.shape[0] == 1
        return -self.log_likelihood[0] if single else -tf.reduce_mean(self.log_likelihood, axis=0)

    @property
    def elbo(self) -> tf.Tensor:
        """Evidence lower bound log p(x) >= -distortion - rate, `(batch,)`, whatever the weights in the loss."""
        return -self.distortion - self.rate

    @property
    def log_weights(self) -> tf.Tensor:
        """log p(x|z) + log p(z) - log q(z|x), `(draws, batch)`; its exp is an unbiased estimate of p(x)."""
        return self.log_likelihood + self.log_prior - self.log_posterior


def rate(posterior: Any, prior: Any, log_posterior: tf.Tensor, log_prior: tf.Tensor) -> tf.Tensor:
    """KL(q || p), `(batch,)`: in closed form if there is one, else the mean of log q - log p over the step's own draws.

    The latter is unbiased, and makes no draws of its own, so what a step draws depends on its seed alone. So is, for a
    hierarchical posterior, the mean of the closed form over the draws that each group depends on.
    """
    try:
        return _over_draws(tfd.kl_divergence(posterior, prior))
    except NotImplementedError:
        return tf.reduce_mean(log_posterior - log_prior, axis=0)


def entropy(posterior: Any, log_posterior: tf.Tensor) -> tf.Tensor:
    """H(q), `(batch,)`: in closed form if there is one, else the mean of -log q over the step's own draws."""
    try:
        return _over_draws(posterior.entropy())
    except NotImplementedError:
        return -tf.reduce_mean(log_posterior, axis=0)


def dimension_rates(posterior: Any, prior: Any, rate: tf.Tensor) -> tf.Tensor:
    """The KL of each latent dimension, `(latent_dim, batch)`, if both are diagonal Gaussians; else `(0, batch)`."""
    pair = [_marginals(distribution) for distribution in (posterior, prior)]
    if None in pair:
        return tf.zeros_like(rate)[None][:0]
    found = tfd.kl_divergence(*pair)  # (batch, latent_dim), of a hierarchical posterior (draws, batch, latent_dim)
    return tf.transpose(found if found.shape.rank == 2 else tf.reduce_mean(found, axis=0))


def _over_draws(values: tf.Tensor) -> tf.Tensor:
    """The mean over the draws, `(batch,)`, of what a hierarchical posterior gives for each."""
    return values if values.shape.rank == 1 else tf.reduce_mean(values, axis=0)


def _marginals(distribution: Any) -> Any:
    """A diagonal Gaussian's dimensions as independent normals; None for any other distribution."""
    if isinstance(distribution, tfd.MultivariateNormalDiag):
        return tfd.Normal(distribution.mean(), distribution.stddev())
    base = getattr(distribution, "distribution", None)
    return base if isinstance(distribution, tfd.Independent) and isinstance(base, tfd.Normal) else None
