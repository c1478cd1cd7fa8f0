"""What Keras computes for a few inputs: a file in the bundle, for testing any runtime or program."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.bundle import noise
from kvae.bundle.folder import REFERENCE
from kvae.bundle.manifest import Manifest
from kvae.export.functions import at, called
from kvae.export.parity_cases import Keras
from kvae.export.tensors import is_standard_normal
from kvae.files import arrays
from kvae.model.posteriors import Hierarchical
from kvae.model.vae import VAE
from kvae.runtime import latents, scoring

NUM_CODES = 4
SEED = 0


def write(vae: VAE, manifest: Manifest, folder: Path) -> None:
    """Write `reference.npz` into a bundle's folder: `NUM_CODES` rows each, float32 if not said otherwise.

    `z` are draws from the prior with `SEED`, of which `noise`, `component` and `label` (int64) are the noise and the
    choices, if they are inputs of a graph, and `log_prob` the density, if that is a graph. `mean` and
    `likelihood_parameters` are what the decoder returns for them; `images` are those means, `loc` and `scale` what the
    encoder returns for them, with that noise if it takes noise. These are read from the distributions, as in
    `kvae.export.proof.check_parity`. `elbo` (float64) is the score of each image, computed by TFP with
    `kvae.runtime.scoring.DRAWS` draws from `kvae.runtime.scoring.SEED`.

    Args:
        vae: the model.
        manifest: the bundle's manifest; images are rounded to 0 and 1 for a model of binarised images.
        folder: where to write.
    """
    keras = Keras(vae)
    values: dict[str, NDArray[Any]] = {}
    label: dict[str, NDArray[Any]] = {}
    component: dict[str, NDArray[Any]] = {}
    z = noise.standard_normal(SEED, 0, NUM_CODES, vae.latent_dim)
    if manifest.label_weights is not None:
        label = {"label": noise.choices(SEED, 0, NUM_CODES, manifest.label_weights, noise.LABELS)}
    if manifest.components is not None:
        component = {"component": noise.choices(SEED, 0, NUM_CODES, manifest.components, noise.COMPONENTS)}
    epsilon = z
    if manifest.has_own_prior or manifest.groups is not None:
        values["noise"] = epsilon
    if manifest.has_own_prior:
        z = keras.prior(epsilon, component, label).expected["z"]
        values |= keras.density(z, label).expected
    decoded = keras.decoder(z, label).expected
    images = np.rint(decoded["mean"]) if manifest.is_of_bits else decoded["mean"]
    values |= label | component | {"z": z} | decoded | {"images": images}
    values |= keras.encoder(images, label, epsilon).expected
    arrays.write_arrays(values | {"elbo": _elbo(vae, images, **label)}, folder / REFERENCE)


def _elbo(vae: VAE, images: NDArray[np.float32], label: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """The score of each image by TFP, `(n,)`: the rate in closed form if the prior is N(0, I)."""
    draws = noise.standard_normal(scoring.SEED, 0, scoring.DRAWS, vae.latent_dim)
    encoded, prior = called(vae.encoder, tf.constant(images), label=label), called(vae.prior, label=label)
    grouped, closed = isinstance(encoded, Hierarchical), is_standard_normal(vae.prior)
    log_likelihood, rate = [], []
    for row in draws:
        epsilon = np.tile(row, (len(images), 1))
        posterior = at(encoded, tf.constant(epsilon)) if grouped else encoded
        loc, scale = (np.broadcast_to(part.numpy(), epsilon.shape) for part in (posterior.mean(), posterior.stddev()))
        z = tf.constant(latents.posterior_draws(loc, scale, epsilon))
        log_likelihood.append(called(vae.decoder, z, label=label).log_prob(tf.constant(images)).numpy())
        if not closed:
            rate.append(np.float64(posterior.log_prob(z)) - np.float64(prior.log_prob(z)))
        elif grouped or not rate:  # otherwise it is the same for all draws
            rate.append(latents.rates(loc, scale).sum(axis=1))
    found: NDArray[np.float64] = np.mean(log_likelihood, axis=0, dtype=np.float64) - np.mean(rate, axis=0)
    return found
