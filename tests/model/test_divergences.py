"""KLs registered with TFP, against TFP's own closed form, and its error for unknown pairs."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions
RNG = np.random.default_rng(0)
LOC, SCALE = RNG.normal(size=(4, 3)).astype(np.float32), RNG.random((4, 3)).astype(np.float32) + 0.1
PRIOR = tfd.MultivariateNormalDiag(tf.constant([0.0, 1.0, -1.0]), tf.constant([1.0, 2.0, 0.5]))


def test_independent_normals_count_as_a_diagonal_normal():
    """Whichever of the two is written that way."""
    posterior = tfd.MultivariateNormalDiag(LOC, SCALE)
    expected = tfd.kl_divergence(posterior, PRIOR)
    assert expected.shape == (4,)
    respelled = tfd.Independent(tfd.Normal(LOC, SCALE), 1)
    np.testing.assert_allclose(tfd.kl_divergence(respelled, PRIOR), expected, rtol=1e-5)
    prior = tfd.Independent(tfd.Normal(PRIOR.mean(), PRIOR.stddev()), 1)
    np.testing.assert_allclose(tfd.kl_divergence(posterior, prior), expected, rtol=1e-5)


def test_another_base_distribution_is_refused():
    with pytest.raises(NotImplementedError, match="Laplace"):
        tfd.kl_divergence(tfd.Independent(tfd.Laplace(LOC, SCALE), 1), PRIOR)
