"""The prior p(z), or p(z|y), of a bundle's model: draws from it and its density.

N(0, I) is computed in numpy; any other prior by its two graphs, of which "prior" turns standard normal noise into
codes, and "prior_density" has their log density. A draw depends only on the seed and its number, in every case.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import noise
from kvae.runtime import latents
from kvae.runtime.class_labels import Labels
from kvae.runtime.latents import Doubles, Floats
from kvae.runtime.model import Model, Prior

MEASURED = 4096
"""Draws, of seed 0, from which the mean and the standard deviation of a prior other than N(0, I) are measured."""


class StandardNormal:
    """N(0, I)."""

    has_closed_rate = True

    def __init__(self, latent_dim: int) -> None:
        self._latent_dim = latent_dim

    def inputs(
        self, seed: int, start: int, count: int, temperature: float | Floats = 1.0, label: Labels | None = None
    ) -> dict[str, NDArray[Any]]:
        z = self.draws(seed, start, count, temperature)
        return {"z": z} if label is None else {"z": z, "label": label}

    def draws(
        self, seed: int, start: int, count: int, temperature: float | Floats = 1.0, label: Labels | None = None
    ) -> Floats:
        return latents.prior_draws(seed, start, count, self._latent_dim, temperature)

    def log_prob(self, z: Floats, label: Labels | None = None) -> Doubles:
        return latents.log_prior(z)

    def log_ratio(self, z: Floats, epsilon: Floats, scale: Floats, label: Labels | None = None) -> Doubles:
        return latents.log_ratio(z, epsilon, scale)

    def mean(self, label: int | None = None) -> Floats:
        return latents.prior_mean(self._latent_dim)

    def scale(self, label: int | None = None) -> Floats:
        return np.full(self._latent_dim, latents.PRIOR_SCALE, np.float32)


class OfGraphs:
    """A prior that is two graphs of a model."""

    has_closed_rate = False

    def __init__(self, model: Model) -> None:
        self._model = model
        self._moments = cache(self._measured)

    def inputs(
        self, seed: int, start: int, count: int, temperature: float | Floats = 1.0, label: Labels | None = None
    ) -> dict[str, NDArray[Any]]:
        manifest = self._model.manifest
        found: dict[str, NDArray[Any]] = {
            "noise": latents.prior_draws(seed, start, count, manifest.latent_dim, temperature)
        }
        if manifest.components is not None:
            found["component"] = noise.choices(seed, start, count, manifest.components, noise.COMPONENTS)
        return found if label is None else found | {"label": label}

    def draws(
        self, seed: int, start: int, count: int, temperature: float | Floats = 1.0, label: Labels | None = None
    ) -> Floats:
        return self._run("prior", self.inputs(seed, start, count, temperature, label), "z")

    def log_prob(self, z: Floats, label: Labels | None = None) -> Doubles:
        inputs: dict[str, NDArray[Any]] = {"z": z} if label is None else {"z": z, "label": label}
        return self._run("prior_density", inputs, "log_prob").astype(np.float64)

    def log_ratio(self, z: Floats, epsilon: Floats, scale: Floats, label: Labels | None = None) -> Doubles:
        num_images, num_draws, latent_dim = z.shape
        labels = None if label is None else np.repeat(label, num_draws)
        log_prior = self.log_prob(z.reshape(-1, latent_dim), labels).reshape(num_images, num_draws)
        return log_prior - latents.log_posterior_of_noise(epsilon, scale)

    def mean(self, label: int | None = None) -> Floats:
        return self._moments(label)[0]

    def scale(self, label: int | None = None) -> Floats:
        return self._moments(label)[1]

    def _measured(self, label: int | None) -> tuple[Floats, Floats]:
        manifest = self._model.manifest
        labels = None
        if manifest.label_weights is not None and label is None:
            labels = noise.choices(0, 0, MEASURED, manifest.label_weights, noise.LABELS)
        elif manifest.label_weights is not None:
            labels = np.full(MEASURED, label, np.int64)
        z = self.draws(0, 0, MEASURED, label=labels).astype(np.float64)
        return z.mean(axis=0).astype(np.float32), z.std(axis=0).astype(np.float32)

    def _run(self, graph: str, inputs: Mapping[str, NDArray[Any]], output: str) -> Floats:
        return self._model.run(graph, inputs, [output])[output]


def of(model: Model) -> Prior:
    """The prior of a model, according to its manifest."""
    return OfGraphs(model) if model.manifest.has_own_prior else StandardNormal(model.manifest.latent_dim)
