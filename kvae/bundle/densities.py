"""log p(x|z) in numpy, from the likelihood's parameters that an exported decoder returns.

The densities are those of `kvae.likelihoods`. They are computed for one image under many codes, as importance sampling
requires.
"""

import numpy as np
from numpy.typing import NDArray

from kvae import likelihoods
from kvae.errors import BundleError, ConfigError
from kvae.likelihoods import Noise

Floats = NDArray[np.float32]


def log_density(likelihood: str, parameters: Floats, image: Floats) -> NDArray[np.float64]:
    """log p(x|z) of one image under each of n codes, in nats.

    Args:
        likelihood: a bundle's likelihood, a name in `kvae.config.LIKELIHOODS`.
        parameters: the decoder's `likelihood_parameters`, `(n, height, width, channels * k)` float32. The call may
            overwrite them.
        image: `(height, width, channels)` float32 in [0, 1].

    Returns:
        `(n,)` float64, a log-probability or a log-density: see `kvae.likelihoods.Likelihood.kind`.

    Raises:
        BundleError: this kvae knows no density for the likelihood.
    """
    return check(likelihood).log_density(image.ravel(), *_parts(parameters, image.shape[-1]))


def log_densities(likelihood: str, parameters: Floats, image: Floats) -> NDArray[np.float64]:
    """log p of each pixel, summed over its channels, `(n, height, width)`; arguments and errors as for `log_density`.

    Their sum over pixels is `log_density`.
    """
    of_values = check(likelihood).log_densities(image.ravel(), *_parts(parameters, image.shape[-1]))
    return of_values.reshape(len(parameters), *image.shape).sum(axis=-1)


def log_density_of(
    likelihood: str, parameters: Floats, image: Floats, pixels: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """`log_density` of some pixels of the image alone; `parameters` are not overwritten.

    Args:
        likelihood: as for `log_density`.
        parameters: likewise.
        image: likewise; only the pixels are read.
        pixels: which, in the shape of the image.
    """
    chosen = pixels.ravel()
    if not chosen.any():
        return np.zeros(len(parameters))
    parts = (part[:, chosen] for part in _parts(parameters, image.shape[-1]))
    return check(likelihood).log_density(image.ravel()[chosen], *parts)


def draw(likelihood: str, parameters: Floats, channels: int, noise: Noise) -> Floats:
    """An image `(height, width, channels)` for each code, drawn from p(x|z), not its mean; `(n, ...)`.

    Args:
        likelihood: as for `log_density`.
        parameters: likewise.
        channels: the number of the image's channels.
        noise: the random numbers.

    Raises:
        BundleError: this kvae knows no density for the likelihood, or it defines no draws.
    """
    shape = (*parameters.shape[:-1], channels)
    return check(likelihood).draw(noise, *_parts(parameters, channels)).reshape(shape)


def _parts(parameters: Floats, channels: int) -> list[Floats]:
    """The values of each parameter, `(n, values)`."""
    num = len(parameters)
    by_name = parameters.reshape(num, -1, parameters.shape[-1] // channels, channels)
    return [by_name[:, :, index].reshape(num, -1) for index in range(by_name.shape[2])]


def check(likelihood: str) -> likelihoods.Likelihood:
    """The likelihood with this name; BundleError if this kvae knows no density for it."""
    try:
        return likelihoods.get(likelihood)
    except ConfigError as error:
        raise BundleError(f"no density is known: {error}") from None
