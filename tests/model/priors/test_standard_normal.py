"""N(0, I) against its closed form."""

import numpy as np

from kvae.model.priors import StandardNormal


def test_its_density_equals_that_of_independent_standard_normals():
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    prior = StandardNormal(3)
    prior.build()
    expected = np.sum(-0.5 * z.astype(np.float64) ** 2 - 0.5 * np.log(2 * np.pi), axis=1)
    np.testing.assert_allclose(prior().log_prob(z), expected, rtol=1e-5)
    assert prior.weights == []
