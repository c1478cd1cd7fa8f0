"""Codes under the prior p(z), or p(z|y): N(0, I), and mixtures of Gaussians with independent dimensions.

Under a mixture, the dimensions of z are independent only given the component c. So c is coded too, with bits back: it
is taken from the stack by p(c|z), which gives back log2 of that, and z costs -log2 p(z), as it should.

p(c|z) is the one probability that is computed in floats while coding, by the log of a machine, and then rounded. So
files of mixtures are not portable.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.compression.codes import Gaussians, Grid
from kvae.compression.rounding import Nearest
from kvae.compression.stack import COMPONENT, Stack, shifts
from kvae.compression.tables import Tabled
from kvae.errors import KvaeError
from kvae.runtime.bundle import Bundle

Integers = NDArray[np.int64]
Labels = NDArray[np.int64]
BITS = 18
STEPS = 64
"""Steps of a nat in which log p(c|z) is rounded."""
DEEPEST = 16
"""The nats below the likeliest component at which log p(c|z) ends."""

FINER = 8
"""By how much components are rounded less than posteriors."""
MAX_NUMBERS = 2**24
"""The most means of components, for all labels."""


class Components(NamedTuple):
    """The components of a prior: of each label, or of one if there are none."""

    loc: NDArray[np.float64]
    """`(labels, components, latent_dim)`."""
    scale: NDArray[np.float64]
    """In the same shape."""
    weights: Integers
    """Integers in proportion to their probabilities, `(components,)`."""

    @property
    def log_weights(self) -> NDArray[np.float64]:
        """The logarithms of the probabilities."""
        return np.log(np.maximum(self.weights / self.weights.sum(), 1e-300))

    @property
    def farthest(self) -> float:
        """How far from 0 the prior reaches."""
        return float(np.max(np.abs(self.loc) + 8 * self.scale))


def components(bundle: Bundle) -> Components:
    """The components of a bundle's prior.

    They are read off its draws: of a Gaussian with independent dimensions, a draw is loc + scale * noise. That the
    prior is such a mixture is checked on its density.

    Raises:
        KvaeError: it is not.
    """
    manifest = bundle.manifest
    latent_dim, labels = manifest.latent_dim, len(manifest.labels or [0])
    if not manifest.has_own_prior:
        return Components(np.zeros((1, 1, latent_dim)), np.ones((1, 1, latent_dim)), np.array([2**53]))
    cumulative = np.array(manifest.components or [2**53], np.int64)
    weights = np.diff(cumulative, prepend=0)
    count = len(weights)
    if labels * count * latent_dim > MAX_NUMBERS:
        raise KvaeError(f"this model's prior has {labels * count:,} components for its labels, too many to be coded.")
    component, label = np.tile(np.arange(count), labels), np.repeat(np.arange(labels), count)

    def draws(noise: NDArray[np.float64]) -> NDArray[np.float64]:
        inputs: dict[str, NDArray[np.generic]] = {"noise": np.tile(noise.astype(np.float32), (len(component), 1))}
        if manifest.components is not None:
            inputs["component"] = component
        if manifest.labels is not None:
            inputs["label"] = label
        return bundle.run("prior", inputs, ["z"])["z"].astype(np.float64).reshape(labels, count, latent_dim)

    loc = draws(np.zeros(latent_dim))
    scale = draws(np.ones(latent_dim)) - loc
    found = Components(loc, np.abs(scale), weights)
    noise = np.random.Generator(np.random.Philox(key=0)).normal(size=latent_dim)
    drawn = draws(noise)
    is_affine = np.allclose(drawn, loc + scale * noise, rtol=1e-3, atol=1e-3) and np.all(found.scale > 0)
    if not is_affine or not _has_density(bundle, found, drawn):
        raise KvaeError(
            f"this model's prior, {manifest.prior}, cannot be coded: only N(0, I) and mixtures of Gaussians with "
            f"independent dimensions (mixture, vamp) can. Fit one of these: kvae fit-prior RUN --prior mixture."
        )
    return found


def _has_density(bundle: Bundle, found: Components, drawn: NDArray[np.float64]) -> bool:
    """Whether a prior's density is that of its components, at one draw of each."""
    labels, count, latent_dim = drawn.shape
    z = drawn.astype(np.float32)
    of_rows = np.repeat(np.arange(labels), count) if bundle.labels is not None else None
    given = bundle.prior.log_prob(z.reshape(-1, latent_dim), of_rows).reshape(labels, count)
    shares = found.log_weights
    for label in range(labels):
        for index in range(count):
            apart = (z[label, index] - found.loc[label]) / found.scale[label]
            terms = shares - np.sum(apart**2 / 2 + np.log(found.scale[label]) + 0.5 * np.log(2 * np.pi), axis=1)
            top = terms.max()
            if abs(top + np.log(np.sum(np.exp(terms - top))) - given[label, index]) > 0.01 * (1 + abs(top)):
                return False
    return True


class Prior:
    """A prior on a grid.

    Args:
        grid: the grid.
        found: the components.
    """

    def __init__(self, grid: Grid, found: Components) -> None:
        is_standard = np.all(found.loc == 0) and np.all(found.scale == 1)  # which any table has
        gaussians = Gaussians(grid, float(found.scale.max()), least=1, finer=1 if is_standard else FINER)
        self._gaussians = gaussians
        self._loc, self._scale = gaussians.rounded(Nearest(), found.loc, found.scale)
        self._means, self._deviations = gaussians.values(self._loc, self._scale)
        self._offsets = found.log_weights - np.sum(np.log(self._deviations), axis=2)
        self._weights = found.weights[None] >> 29  # those of a manifest add up to 2^53, which is more than needed
        self._powers = np.floor(2.0**24 * np.exp(-np.arange(STEPS * DEEPEST + 1) / STEPS)).astype(np.int64)

    def push(self, stack: Stack, symbols: Integers, labels: Labels | None, index: int) -> None:
        """Add codes to a stack.

        Args:
            stack: the stack.
            symbols: the bins of the codes, `(n, latent_dim)`.
            labels: their labels, `(n,)`, if the model has labels.
            index: the number of the first image, by which components are drawn.
        """
        rows = self._rows(len(symbols), labels)
        component = np.zeros_like(rows)
        if self._weights.shape[1] > 1:
            component = stack.pop(self._given(symbols, rows), shifts(index, COMPONENT, len(rows), BITS))
        stack.push(symbols.ravel(), self._gaussians.at(self._loc[rows, component], self._scale[rows, component]))
        if self._weights.shape[1] > 1:
            stack.push(component, self._before(len(symbols)))

    def pop(self, stack: Stack, count: int, labels: Labels | None, index: int) -> Integers:
        """Take codes from a stack, `(count, latent_dim)`; arguments as for `push`."""
        rows = self._rows(count, labels)
        component = np.zeros_like(rows)
        if self._weights.shape[1] > 1:
            component = stack.pop(self._before(count))
        located = self._gaussians.at(self._loc[rows, component], self._scale[rows, component])
        symbols = stack.pop(located).reshape(count, -1)
        if self._weights.shape[1] > 1:
            stack.push(component, self._given(symbols, rows), shifts(index, COMPONENT, len(rows), BITS))
        return symbols

    def _rows(self, count: int, labels: Labels | None) -> Integers:
        """The first index of `self._loc` for each code."""
        return np.zeros(count, np.int64) if labels is None or len(self._loc) == 1 else labels

    def _before(self, count: int) -> Tabled:
        """p(c)."""
        return Tabled.of_weights(np.repeat(self._weights, count, axis=0), BITS)

    def _given(self, symbols: Integers, rows: Integers) -> Tabled:
        """p(c|z)."""
        logs = self._offsets[rows]
        for dimension, z in enumerate(self._gaussians.grid.codes(symbols).astype(np.float64).T):
            apart = (z[:, None] - self._means[rows, :, dimension]) / self._deviations[rows, :, dimension]
            logs = logs - 0.5 * apart * apart
        below = np.rint(STEPS * np.minimum(logs.max(axis=1, keepdims=True) - logs, DEEPEST)).astype(np.int64)
        return Tabled.of_weights(self._powers[below], BITS)
