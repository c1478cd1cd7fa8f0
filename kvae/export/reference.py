"""What Keras itself computes for a few inputs: a file in the bundle, to test any runtime and any program with."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from kvae.bundle import noise
from kvae.bundle.folder import REFERENCE
from kvae.export.tensors import of_likelihood
from kvae.files import arrays
from kvae.model.vae import VAE
from kvae.runtime import information, scoring

NUM_CODES = 4
SEED = 0


def write(vae: VAE, bits: bool, folder: Path) -> None:
    """Write `reference.npz` into a bundle's folder: float32 arrays, `NUM_CODES` rows each.

    `z` is noise (of `SEED`), `mean` and `likelihood_parameters` are what the decoder says of it; `images` are those
    means, `loc` and `scale` what the encoder says of them. These are read off the distributions, as
    `kvae.export.proof.check_parity` does. `elbo` (float64) is the score of each image, with
    `kvae.runtime.scoring.DRAWS` draws of `kvae.runtime.scoring.SEED`, by TFP.

    Args:
        vae: the model.
        bits: whether it is one of images of 0 and 1; `images` are rounded then.
        folder: where to write.
    """
    z = noise.standard_normal(SEED, 0, NUM_CODES, vae.latent_dim)
    likelihood = vae.decoder(tf.constant(z), training=False)
    mean = likelihood.mean().numpy()
    images = np.rint(mean) if bits else mean
    posterior = vae.encoder(tf.constant(images), training=False)
    loc, scale = (np.broadcast_to(part.numpy(), z.shape) for part in (posterior.mean(), posterior.stddev()))
    draws = noise.standard_normal(scoring.SEED, 0, scoring.DRAWS, vae.latent_dim)
    log_prob = [vae.decoder(tf.constant(loc + scale * draw), training=False).log_prob(images).numpy() for draw in draws]
    values = {
        "z": z,
        "mean": mean,
        "likelihood_parameters": of_likelihood(likelihood).parameters.numpy(),
        "images": images,
        "loc": loc,
        "scale": scale,
        "elbo": np.mean(log_prob, axis=0, dtype=np.float64) - information.rates(loc, scale).sum(axis=1),
    }
    arrays.write_arrays(values, folder / REFERENCE)
