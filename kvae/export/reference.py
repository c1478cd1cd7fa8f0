"""What Keras computes for a few inputs: a file in the bundle, for testing any runtime or program."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from kvae.bundle import noise
from kvae.bundle.folder import REFERENCE
from kvae.export.tensors import of_likelihood
from kvae.files import arrays
from kvae.model.vae import VAE
from kvae.runtime import latents, scoring

NUM_CODES = 4
SEED = 0


def write(vae: VAE, bits: bool, folder: Path) -> None:
    """Write `reference.npz` into a bundle's folder: float32 arrays, `NUM_CODES` rows each.

    `z` is noise (from `SEED`), `mean` and `likelihood_parameters` are what the decoder returns for it; `images` are
    those means, `loc` and `scale` what the encoder returns for them. These are read from the distributions, as in
    `kvae.export.proof.check_parity`. `elbo` (float64) is the score of each image, computed by TFP with
    `kvae.runtime.scoring.DRAWS` draws from `kvae.runtime.scoring.SEED`.

    Args:
        vae: the model.
        bits: whether it is a model of binarised images; if so, `images` are rounded to 0 and 1.
        folder: where to write.
    """
    z = latents.prior_draws(SEED, 0, NUM_CODES, vae.latent_dim)
    likelihood = vae.decoder(tf.constant(z), training=False)
    mean = likelihood.mean().numpy()
    images = np.rint(mean) if bits else mean
    posterior = vae.encoder(tf.constant(images), training=False)
    loc, scale = (np.broadcast_to(part.numpy(), z.shape) for part in (posterior.mean(), posterior.stddev()))
    epsilon = noise.standard_normal(scoring.SEED, 0, scoring.DRAWS, vae.latent_dim)
    draws = (tf.constant(latents.posterior_draws(loc, scale, row)) for row in epsilon)
    log_prob = [vae.decoder(draw, training=False).log_prob(images).numpy() for draw in draws]
    values = {
        "z": z,
        "mean": mean,
        "likelihood_parameters": of_likelihood(likelihood).parameters.numpy(),
        "images": images,
        "loc": loc,
        "scale": scale,
        "elbo": np.mean(log_prob, axis=0, dtype=np.float64) - latents.rates(loc, scale).sum(axis=1),
    }
    arrays.write_arrays(values, folder / REFERENCE)
