"""Draws from the posterior q(z|x, y) of each image, or from one that is wider: the same function for every model.

The posterior of a ladder has groups of latent dimensions, each of which depends on the draws of the groups before it,
so its encoder takes the noise, and gives loc and scale of each draw. To widen it is to multiply the noise.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.runtime import latents
from kvae.runtime.class_labels import Labels
from kvae.runtime.latents import Doubles, Floats, Posterior
from kvae.runtime.model import Model


class Drawn(NamedTuple):
    """Draws, and the Gaussians that they are from."""

    z: Floats
    """`(n, draws, latent_dim)`."""
    loc: Floats
    """Means: `(n, latent_dim)`, of all draws of an image, or `(n, draws, latent_dim)`, of each."""
    scale: Floats
    """Standard deviations, in the shape of loc."""


def draw(
    model: Model,
    pixels: Floats,
    posterior: Posterior,
    epsilon: Floats,
    label: Labels | None = None,
    factors: Floats | None = None,
) -> Drawn:
    """Draws z = loc + scale * epsilon for several images.

    Args:
        model: the model.
        pixels: the images, `(n, height, width, channels)` in [0, 1].
        posterior: their posteriors, or wider Gaussians, as `Bundle.encode` gives them. A ladder's are not read.
        epsilon: standard normal noise, `(n, draws, latent_dim)`.
        label: the images' labels, `(n,)`, if the model has labels.
        factors: for a ladder, by how much each dimension of its posterior is widened, `(n, latent_dim)`; None for 1.
    """
    if model.manifest.groups is None:
        loc, scale = posterior
        return Drawn(latents.posterior_draws(loc[:, None], scale[:, None], epsilon), loc, scale)
    num_draws, latent_dim = epsilon.shape[1:]
    wide = np.ones((len(pixels), 1), np.float32) if factors is None else factors
    noise = wide[:, None] * epsilon
    inputs = {"images": np.repeat(pixels, num_draws, axis=0), "noise": noise.reshape(-1, latent_dim)}
    if label is not None:
        inputs["label"] = np.repeat(label, num_draws)
    found = model.run("encoder", inputs, ["loc", "scale"])
    loc, scale = (found[name].reshape(epsilon.shape) for name in ("loc", "scale"))
    return Drawn(loc + scale * noise, loc, wide[:, None] * scale)


def gaussian_at(model: Model, pixels: Floats, z: Floats, label: Labels | None = None) -> Posterior:
    """The Gaussian that has the density of q(z|x, y) at given codes, one for each image.

    A ladder's encoder takes the noise of a draw, not its code. The noise of a code is found group by group, because
    that of the groups before it is all that the loc and the scale of a group depend on: a call for each group.

    Args:
        model: the model.
        pixels: the images, `(n, height, width, channels)`.
        z: a code for each, `(n, latent_dim)`.
        label: the images' labels, `(n,)`, if the model has labels.
    """
    inputs: dict[str, NDArray[Any]] = {"images": pixels}
    if label is not None:
        inputs["label"] = label
    groups = model.manifest.groups
    if groups is None:
        return Posterior(**model.run("encoder", inputs, ["loc", "scale"]))
    inputs["noise"] = noise = np.zeros_like(z)
    found = Posterior(**model.run("encoder", inputs, ["loc", "scale"]))
    first = 0
    for size in groups[:-1]:
        part = slice(first, first + size)
        noise[:, part] = (z[:, part] - found.loc[:, part]) / found.scale[:, part]
        found = Posterior(**model.run("encoder", inputs, ["loc", "scale"]))
        first += size
    return found


def group_rates(drawn: Drawn, groups: Sequence[int]) -> Doubles:
    """KL(q || N(0, I)) of each group of latent dimensions of a ladder, `(n, groups)`: a mean over the draws."""
    rates = latents.rates(drawn.loc, drawn.scale).mean(axis=1)
    return np.add.reduceat(rates, np.cumsum([0, *groups[:-1]]), axis=1)
