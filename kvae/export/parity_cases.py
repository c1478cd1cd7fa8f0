"""Inputs of each graph, and what Keras computes for them: what a bundle is compared with."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.export import functions
from kvae.export.tensors import is_standard_normal, of_likelihood
from kvae.model.calls import takes_label
from kvae.model.posteriors import Hierarchical
from kvae.model.vae import VAE
from kvae.runtime import latents
from kvae.steps.keras_private import in_float32

PARITY_BATCHES = (1, 7, 64)
"""Images per call, in the comparison of a bundle with its model."""
FURTHER_ROWS = 64
"""Most rows of the further batches, in which the labels and components are compared for which there was no row."""
Floats = NDArray[np.float32]
Inputs = dict[str, NDArray[Any]]


class Case(NamedTuple):
    """Inputs of one graph, and what Keras computes for them."""

    graph: str
    """"decoder", "encoder", "prior" or "prior_density"."""
    inputs: dict[str, NDArray[Any]]
    """The graph's inputs by name: codes, images, noise, labels and components."""
    expected: dict[str, Floats]
    """The graph's outputs by name."""


def cases(vae: VAE, batch_sizes: Sequence[int] = PARITY_BATCHES, images: Floats | None = None) -> Iterator[Case]:
    """The inputs and expected outputs to compare a bundle with.

    Codes are drawn from the prior; images are the decoded codes, and as many of white noise. Each label and component
    occurs, if need be in further batches. The expected outputs are the distributions' own `mean()`, `stddev()` and
    `log_prob()`, not the tensors that were exported, in float32 even for a model of mixed precision.

    Args:
        vae: a built model.
        batch_sizes: images per call; each size gives one case for the decoder and two for the encoder.
        images: further images for the encoder, `(n, height, width, channels)` in [0, 1]; none by default.
    """
    keras = Keras(vae)
    white_noise = np.random.default_rng(0)
    for rows in _batches(keras.num_labels, batch_sizes):
        label, noise = keras.label(rows), keras.noise(len(rows))
        z = noise
        if keras.own_prior:
            drawn = keras.prior(noise, keras.component(rows), label)
            z = drawn.expected["z"]
            yield drawn
            yield keras.density(z, label)
        decoded = keras.decoder(z, label)
        yield decoded
        mean = decoded.expected["mean"]
        for pixels in (_as_images(mean), white_noise.random(mean.shape, dtype=np.float32)):
            yield keras.encoder(pixels, label, noise)
    if images is not None:
        rows = np.arange(len(images))
        yield keras.encoder(images, keras.label(rows), keras.noise(len(rows)))
    if keras.own_prior:  # the components that had no row
        for rows in _batches(keras.num_components, batch_sizes)[len(_batches(keras.num_labels, batch_sizes)) :]:
            yield keras.prior(keras.noise(len(rows)), keras.component(rows), keras.label(rows))


def _batches(count: int, sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Batches of these sizes, whose rows are numbered on from 0, and further ones until there are `count` rows."""
    done = sum(sizes)
    further = [min(FURTHER_ROWS, count - first) for first in range(done, count, FURTHER_ROWS)]
    ends = np.cumsum([*sizes, *further])
    return [np.arange(end - size, end) for end, size in zip(ends, [*sizes, *further], strict=True)]


def _as_images(mean: Floats) -> Floats:
    """Images for the encoder, even if the decoder is broken."""
    return np.clip(np.nan_to_num(mean), 0.0, 1.0)


class Keras:
    """What Keras computes for the inputs of each graph."""

    def __init__(self, vae: VAE) -> None:
        self._vae = vae
        self.own_prior = not is_standard_normal(vae.prior)
        probs = vae.prior.component_probs() if self.own_prior else None
        self.num_labels = vae.num_labels or 0
        self.num_components = 0 if probs is None else len(probs)

    def noise(self, count: int) -> Floats:
        return latents.prior_draws(0, 0, count, self._vae.latent_dim)

    def label(self, rows: NDArray[np.int64]) -> Inputs:
        """The input `label`, if the model takes one: the classes in turn."""
        return {"label": rows % self.num_labels} if self.num_labels else {}

    def component(self, rows: NDArray[np.int64]) -> Inputs:
        """The input `component`, if the prior is a mixture: the components in turn."""
        return {"component": rows % self.num_components} if self.num_components else {}

    def prior(self, noise: Floats, component: Inputs, label: Inputs) -> Case:
        prior = self._vae.prior
        known = component | (label if takes_label(prior) else {})
        with in_float32(self._vae):
            z = prior.from_noise(tf.constant(noise), **{name: tf.constant(value) for name, value in known.items()})
        return Case("prior", {"noise": noise} | component | label, {"z": np.asarray(z)})

    def density(self, z: Floats, label: Inputs) -> Case:
        with in_float32(self._vae):
            log_prob = functions.called(self._vae.prior, **label).log_prob(tf.constant(z))
        return Case("prior_density", {"z": z} | label, {"log_prob": np.asarray(log_prob)})

    def decoder(self, z: Floats, label: Inputs) -> Case:
        with in_float32(self._vae):
            likelihood = functions.called(self._vae.decoder, tf.constant(z), **label)
            mean, parameters = likelihood.mean().numpy(), of_likelihood(likelihood).parameters.numpy()
        return Case("decoder", {"z": z} | label, {"mean": mean, "likelihood_parameters": parameters})

    def encoder(self, images: Floats, label: Inputs, noise: Floats) -> Case:
        """The encoder's, which takes the noise if its posterior is one in groups."""
        with in_float32(self._vae):
            posterior = functions.called(self._vae.encoder, tf.constant(images), **label)
            grouped = isinstance(posterior, Hierarchical)
            posterior = functions.at(posterior, tf.constant(noise)) if grouped else posterior
            loc, scale = posterior.mean().numpy(), posterior.stddev().numpy()
        inputs = {"images": images} | label | ({"noise": noise} if grouped else {})
        return Case("encoder", inputs, {"loc": loc, "scale": np.broadcast_to(scale, loc.shape)})  # it may be shared
