"""A linear Gaussian model, whose log-likelihood and posterior have closed forms."""

from types import SimpleNamespace

import numpy as np

from kvae.runtime.priors import StandardNormal

IMAGE_SHAPE = (3, 4, 1)


NOISE = 0.3


class LinearGaussian:
    """A bundle's decoder with p(x|z) = N(W z + b, 0.3^2): the columns of W are orthogonal, so that the true posterior
    is a diagonal Gaussian, and log p(x) has a closed form."""

    manifest = SimpleNamespace(likelihood="normal", binarize="none", is_of_bits=False, groups=None, labels=None)

    def __init__(self, latent_dim: int = 2) -> None:
        rng = np.random.default_rng(0)
        self.prior = StandardNormal(latent_dim)
        self.weights = np.linalg.qr(rng.normal(size=(12, latent_dim)))[0] * np.linspace(1.5, 0.7, latent_dim)
        self.offset = rng.random(12)
        self.calls: list[int] = []

    def run(self, graph, inputs, outputs):
        assert (graph, list(inputs), outputs) == ("decoder", ["z"], ["likelihood_parameters"])
        z = inputs["z"]
        assert z.dtype == np.float32
        self.calls.append(len(z))
        loc = (z @ self.weights.T + self.offset).reshape(-1, *IMAGE_SHAPE)
        return {"likelihood_parameters": np.concatenate([loc, np.full_like(loc, NOISE)], axis=-1).astype(np.float32)}

    def log_p(self, pixels):
        covariance = self.weights @ self.weights.T + NOISE**2 * np.eye(12)
        difference = pixels.ravel() - self.offset
        _, log_determinant = np.linalg.slogdet(2 * np.pi * covariance)
        return -0.5 * (log_determinant + difference @ np.linalg.solve(covariance, difference))

    def posterior(self, pixels):
        precision = 1 + np.sum(self.weights**2, axis=0) / NOISE**2
        loc = self.weights.T @ (pixels.ravel() - self.offset) / NOISE**2 / precision
        return loc.astype(np.float32), np.sqrt(1 / precision).astype(np.float32)
