"""The tensors that describe a VAE's distributions: a graph can return these, but not a distribution object."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from kvae import likelihoods
from kvae.config import LIKELIHOODS
from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.likelihoods import Likelihood
from kvae.model.calls import takes_label
from kvae.model.priors import Prior

tfd = tfp.distributions


class LikelihoodTensors(NamedTuple):
    """What an exported decoder returns to describe its distribution."""

    name: str
    """The likelihood's name in `kvae.config.LIKELIHOODS`."""
    mean: tf.Tensor
    """Expected image, `(batch, height, width, channels)`."""
    parameters: tf.Tensor
    """The parameters, concatenated over the last axis: `(batch, height, width, channels * number of parameters)`."""


def of_likelihood(distribution: Any) -> LikelihoodTensors:
    """The tensors of a likelihood.

    Args:
        distribution: `tfd.Independent` over the family of a likelihood of `kvae.likelihoods`, as a decoder returns it.

    Raises:
        KvaeError: any other distribution; the bundle format has no name for it.
    """
    # Not isinstance(..., tfd.Independent): if the family is not a CompositeTensor, TFP returns its base class.
    is_independent = "reinterpreted_batch_ndims" in getattr(distribution, "parameters", {})
    pixels = distribution.distribution if is_independent else None
    known = {name: likelihoods.get(name) for name in LIKELIHOODS}
    for name, likelihood in known.items():
        if isinstance(pixels, likelihood.family()):
            parameters = [getattr(pixels, parameter) for parameter in likelihood.parameters]
            if any(parameter is None for parameter in parameters):  # e.g. a Bernoulli defined by probs
                break
            mean = likelihood.mean(pixels)
            spread = [tf.ones_like(mean) * parameter for parameter in parameters]  # a scale that all pixels share
            return LikelihoodTensors(name, mean, tf.concat(spread, axis=-1))
    raise KvaeError(
        f"the decoder returns {printable(distribution)}, which a bundle cannot describe. "
        f"Return tfd.Independent over one of: {', '.join(map(_signature, known.values()))}."
    )


def _signature(likelihood: Likelihood) -> str:
    return f"{likelihood.family().__name__}({', '.join(f'{name}=...' for name in likelihood.parameters)})"


def of_posterior(posterior: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """loc and scale, read from the distribution, because its mean() and stddev() broadcast with an op tf2onnx lacks.

    Raises:
        KvaeError: it is not a diagonal Gaussian.
    """
    base = posterior
    while isinstance(base, tfd.Independent):
        base = base.distribution
    if isinstance(base, tfd.Normal) and posterior.event_shape.rank == 1:
        loc, scale = base.loc, base.scale
    elif isinstance(base, tfd.MultivariateNormalDiag) and base.loc is not None:
        scale = base.parameters["scale_diag"]
        loc, scale = base.loc, 1.0 if scale is None else scale
    else:
        raise KvaeError(
            f"the encoder returns {printable(posterior)}, which a bundle cannot describe. Return "
            f"tfd.MultivariateNormalDiag(loc=..., scale_diag=...) or tfd.Independent over tfd.Normal."
        )
    return loc, tf.ones_like(loc) * scale  # gives a scale that all images share a batch axis


def diagonal(loc: tf.Tensor, scale: tf.Tensor) -> Any:
    """A diagonal Gaussian with event `(latent_dim,)`."""
    return tfd.Independent(tfd.Normal(loc, scale), 1)


def is_standard_normal(prior: Prior) -> bool:
    """Whether a prior is N(0, I) for all labels, by what it returns, however it is put together.

    Raises:
        KvaeError: it cannot be called.
    """
    if takes_label(prior):
        return False
    try:
        distribution = prior()
    except Exception as error:  # a user's own code: one that needs a label, say
        raise KvaeError(
            f"the prior cannot be called without labels: {printable(error)}; give it the attribute num_labels if it "
            f"needs them."
        ) from None
    return _is_gaussian(distribution) and _is_standard(distribution, prior.latent_dim)


def _is_gaussian(distribution: Any) -> bool:
    """Whether a distribution is normal by its family, however it is put together."""
    if isinstance(distribution, tfd.Normal | tfd.MultivariateNormalLinearOperator):
        return True
    is_of_normals = {"reinterpreted_batch_ndims", "sample_shape"} & getattr(distribution, "parameters", {}).keys()
    return bool(is_of_normals) and _is_gaussian(distribution.distribution)


def _is_standard(gaussian: Any, latent_dim: int) -> bool:
    """Whether a normal distribution has mean 0 and covariance I, by its density at 0 and at random points."""
    z = np.concatenate(
        [np.zeros((1, latent_dim)), np.random.default_rng(0).normal(size=(4 * latent_dim + 60, latent_dim))]
    )
    expected = -0.5 * (np.square(z).sum(axis=1) + latent_dim * np.log(2 * np.pi))
    found = np.asarray(gaussian.log_prob(z.astype(np.float32)), np.float64)
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max())
