"""Pixels that are missing, drawn from p(x_missing | x_seen) by Metropolis-within-Gibbs on encoder and decoder.

A chain holds a code z and an image x, whose seen pixels stay what they are. Its target is

    p(z, x_missing | x_seen)  proportional to  p(x_seen|z) p(x_missing|z) p(z),

of which it draws in turn

1. x_missing from p(x_missing|z), which is exact, because pixels are independent given z;
2. z' from the encoder's q(z|x), which is not p(z|x) but near it, taken with the probability min(1, w(z') / w(z)),
   where w(z) = p(x|z) p(z) / q(z|x) and x is the whole image, the missing pixels drawn in 1 included. So z is drawn
   from p(z|x) in the limit, whatever the encoder. This is Algorithm 1 of Mattei & Frellsen, Leveraging the Exact
   Likelihood of Deep Latent Variable Models, arXiv 1802.04826. Taking every z' is the pseudo-Gibbs sampler of Rezende
   et al., arXiv 1401.4082, whose limit is wrong unless q(z|x) is p(z|x). A chain begins with `PSEUDO` such sweeps.
3. `WALKS` times z' = m + sqrt(1 - b^2) (z - m) + b s e with standard normal e, m and s the prior's mean and standard
   deviations, and b from `LEAST_STEP` to 1, its logarithm uniform. It is reversible for N(m, s^2), so it is taken with
   the probability min(1, r(z') / r(z)), where r(z) = p(x_seen|z) p(z) / N(z; m, s^2): x_missing is summed out, and
   drawn anew in 1. In 2 the drawn pixels hold z near where it was; here they do not, and chains cross from one way to
   complete an image to another. For N(0, I) it is the preconditioned Crank-Nicolson proposal of Cotter et al., arXiv
   1202.0709.

Each of the three leaves the target as it is, and so does one after the other.

The chains of an image run in calls of `CHAINS` rows of their own, so that its result depends on the image, the seed,
its number and the settings alone, to the last bit. Other images and threads do not change it, nor does the number
of draws change a draw.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import caveats, densities, noise
from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.machine import cores
from kvae.machine.pool import Pool
from kvae.runtime import latents, mixing, proposals
from kvae.runtime.class_labels import Labels
from kvae.runtime.importance import MAX_SAMPLES
from kvae.runtime.latents import Doubles, Floats
from kvae.runtime.model import Model

CHAINS = 8
"""Chains that run side by side. There are never fewer, because one chain cannot tell whether it has mixed."""
PSEUDO = 10
"""Sweeps at the beginning in which every proposal of the encoder is taken, or all of the burn-in if it is shorter."""
WALKS = 3
"""Steps of the walk in a sweep."""
LEAST_STEP = 0.03
"""The shortest of them, in standard deviations of the prior."""
MIN_STEPS = 4
"""Fewest sweeps that are kept: two in each half of a chain."""
MAX_SWEEPS = 10**7
MAX_IMAGES = (noise.MAX_WORD + 1) // MAX_SAMPLES
"""The numbers of images are below this, because each has `MAX_SAMPLES` draws from the prior to itself."""
MAX_DRAWS = 10**6


class Settings(NamedTuple):
    """How images are inpainted."""

    n: int = 8
    """Draws of each image. Each is the end of a chain of its own, so that they are independent."""
    steps: int = 200
    """Sweeps of each chain that are kept, for the mean and for the numbers about mixing."""
    burn_in: int = 100
    """Sweeps before them, which are not."""
    seed: int = 0


class Inpainted(NamedTuple):
    """Completed images, in which each pixel that was seen is exactly what it was."""

    draws: Floats
    """Draws from p(x_missing | x_seen), `(images, n, height, width, channels)` in [0, 1]. Of a Bernoulli model of grey
    intensities, the expected pixels at a draw from p(z | x_seen)."""
    mean: Floats
    """The expected pixels, `(images, height, width, channels)`: the decoder's mean over all kept sweeps of all chains,
    which is nearer to the expectation than the mean of the draws."""
    acceptance: Doubles
    """The share of the encoder's proposals that were taken in the kept sweeps, `(images,)`; NaN if nothing is
    missing."""
    r_hat: Doubles
    """The larger split-R-hat, over all chains, of log p(x_seen, z) and of the mean of the missing pixels' expectations,
    `(images,)`; see `kvae.runtime.mixing`. NaN if nothing is missing."""


def check(settings: Settings) -> None:
    """Raise KvaeError if a setting is out of range."""
    bounds = {"n": (1, MAX_DRAWS), "steps": (MIN_STEPS, MAX_SWEEPS), "burn_in": (0, MAX_SWEEPS)}
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
            raise KvaeError(f"{name} must be an integer from {low} to {high:,}; got {printable(repr(value), 80)}.")
    noise.check(settings.seed, 0)


def inpaint(
    model: Model,
    images: Floats,
    settings: Settings,
    labels: Labels | None = None,
    numbers: Sequence[int] | None = None,
    threads: int | None = None,
) -> Iterator[Inpainted]:
    """Inpaint images side by side, and yield them one by one, in order.

    Args:
        model: the model, with its encoder; it is faster if opened with `threads=1`.
        images: `(images, height, width, channels)` in [0, 1], of 0 and 1 for a model of bits, and NaN for each pixel
            that is missing. If all of them are, the draws are from the prior.
        settings: how.
        labels: the images' labels, `(images,)`, if the model has labels.
        numbers: the number of each image, below `MAX_IMAGES`, on which its draws depend besides the seed; by default
            from 0.
        threads: images to work on at a time; None, the default, is one per core.

    Raises:
        KvaeError: a setting, a pixel, or an image's number is out of range.
        BundleError: the model has no encoder, or kvae cannot draw from its likelihood.
    """
    check(settings)
    densities.check(model.manifest.likelihood)
    seen = images[~np.isnan(images)]
    if not (seen >= 0).all() or not (seen <= 1).all():
        raise KvaeError(f"images must be in [0, 1], or NaN for what is missing; got {seen.min():g} to {seen.max():g}.")
    known = [int(number) for number in (range(len(images)) if numbers is None else numbers)]
    if max(known, default=0) >= MAX_IMAGES:
        raise KvaeError(
            f"start must be at most 2^32 - {len(known):,} to inpaint {len(known):,} images; got {known[0]:,}."
        )
    stopped = threading.Event()
    at_a_time = threads or cores.threads()

    def completed(index: int) -> Inpainted:
        label = None if labels is None else int(labels[index])
        return _complete(model, images[index], settings, known[index], label, stopped)

    with Pool(at_a_time) as pool:
        try:
            for first in range(0, len(images), 4 * at_a_time):
                yield from pool.map(completed, range(first, min(first + 4 * at_a_time, len(images))))
        finally:
            stopped.set()  # Ctrl-C need not wait for chains that are running


def joined(parts: list[Inpainted]) -> Inpainted:
    """Several results as one."""
    return Inpainted(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _complete(
    model: Model, image: Floats, settings: Settings, number: int, label: int | None, stopped: threading.Event
) -> Inpainted:
    """Inpaint one image, `(height, width, channels)`."""
    missing = np.isnan(image)
    if not missing.any():
        whole, unknown = image[None], np.full(1, np.nan)
        return Inpainted(np.repeat(whole[None], settings.n, axis=1), whole, unknown, unknown)
    blocks = range(-(-settings.n // CHAINS))
    found = [_run(_Chains(model, image, settings.seed, number, block, label), settings, stopped) for block in blocks]
    draws = np.concatenate([block.draws for block in found])[: settings.n]
    mean = np.mean([block.mean for block in found], axis=0)
    traces = np.concatenate([block.traces for block in found], axis=2)
    r_hat = max(mixing.split_r_hat(trace) for trace in traces)
    return Inpainted(
        np.where(missing, np.clip(draws, 0, 1), image)[None],
        np.where(missing, mean, image).astype(np.float32)[None],
        np.array([np.mean([block.acceptance for block in found])]),
        np.array([r_hat]),
    )


class _Block(NamedTuple):
    """What `CHAINS` chains of an image found."""

    draws: Floats
    mean: Doubles
    acceptance: float
    traces: Doubles
    """log p(x_seen, z) and the mean of the missing pixels' expectations, `(2, steps, CHAINS)`."""


def _run(chains: "_Chains", settings: Settings, stopped: threading.Event) -> _Block:
    total, taken, traces = np.zeros(chains.image.shape), 0, np.zeros((2, settings.steps, CHAINS))
    for sweep in range(settings.burn_in + settings.steps):
        if stopped.is_set():
            raise KeyboardInterrupt
        accepted = chains.sweep(metropolis=sweep >= min(PSEUDO, settings.burn_in))
        kept = sweep - settings.burn_in
        if kept >= 0:
            taken += accepted
            total += chains.at.mean.mean(axis=0, dtype=np.float64)
            traces[:, kept] = chains.at.log_joint, chains.at.mean[:, chains.missing].mean(axis=1)
    return _Block(chains.draws(), total / settings.steps, taken / (settings.steps * CHAINS), traces)


class _Chains:
    """`CHAINS` chains of one image: the code of each, and what the decoder and the densities say of it.

    They begin with draws from the prior, which are spread more widely than what they are to find.
    """

    def __init__(self, model: Model, image: Floats, seed: int, number: int, block: int, label: int | None) -> None:
        self.model = model
        self.image = image
        self.missing = np.isnan(image)
        self.label = None if label is None else np.full(CHAINS, label, np.int64)
        self.middle, self.width = model.prior.mean(label), model.prior.scale(label)
        self.noise = noise.Stream(seed, noise.CHAINS, number, block)
        first = number * MAX_SAMPLES + block * CHAINS
        self.at = self._state(model.prior.draws(seed, first, CHAINS, label=self.label))

    def sweep(self, metropolis: bool) -> int:
        """One sweep, and how many of the encoder's codes were taken; without `metropolis`, one of pseudo-Gibbs."""
        x = np.where(self.missing, self._drawn_pixels(), self.image)
        epsilon = self.noise.normals(CHAINS, 1, self.at.z.shape[1]).astype(np.float32)
        now = proposals.gaussian_at(self.model, x, self.at.z, self.label)
        drawn = proposals.draw(self.model, x, now, epsilon, self.label)
        new = self._state(drawn.z[:, 0])
        loc, scale = (values.reshape(new.z.shape) for values in (drawn.loc, drawn.scale))
        log_new = new.log_joint - _log_normal(new.z, loc, scale)
        log_now = self.at.log_joint - _log_normal(self.at.z, *now)
        log_ratio = log_new - log_now + self._log_missing_ratio(x, new)
        taken = self._accepted(log_ratio) if metropolis else np.ones(CHAINS, bool)
        self._move(taken, new)
        for _ in range(WALKS if metropolis else 0):
            self._walk()
        return int(taken.sum())

    def draws(self) -> Floats:
        """The image of each chain; only its missing pixels are meant."""
        manifest = self.model.manifest
        if caveats.kind(manifest.likelihood, manifest.binarize) == caveats.SURROGATE:
            return self.at.mean  # bits would be drawn for pixels that are grey
        return self._drawn_pixels()

    def _walk(self) -> None:
        """A step towards anywhere, judged by the seen pixels alone."""
        step = np.exp(np.log(LEAST_STEP) * self.noise.uniforms(CHAINS, 1))
        epsilon = self.noise.normals(*self.at.z.shape)
        away = np.sqrt(1 - step**2) * (self.at.z - self.middle) + step * self.width * epsilon
        new = self._state((self.middle + away).astype(np.float32))
        log_ratio = new.log_joint - _log_normal(new.z, self.middle, self.width)
        log_ratio -= self.at.log_joint - _log_normal(self.at.z, self.middle, self.width)
        self._move(self._accepted(log_ratio), new)

    def _state(self, z: Floats) -> "_State":
        inputs: dict[str, NDArray[Any]] = {"z": z} if self.label is None else {"z": z, "label": self.label}
        found = self.model.run("decoder", inputs, ["mean", "likelihood_parameters"])
        parameters, likelihood = found["likelihood_parameters"], self.model.manifest.likelihood
        log_seen = densities.log_density_of(likelihood, parameters, self.image, ~self.missing)
        return _State(z, found["mean"], parameters, log_seen + self.model.prior.log_prob(z, self.label))

    def _drawn_pixels(self) -> Floats:
        likelihood, channels = self.model.manifest.likelihood, self.image.shape[-1]
        return densities.draw(likelihood, self.at.parameters, channels, self.noise)

    def _log_missing_ratio(self, x: Floats, new: "_State") -> Doubles:
        """log p(x_missing|z') - log p(x_missing|z), `(CHAINS,)`: the missing pixels of each chain are its own."""
        likelihood = self.model.manifest.likelihood
        pairs = np.stack([new.parameters, self.at.parameters], axis=1)
        found = [densities.log_density_of(likelihood, *chain, self.missing) for chain in zip(pairs, x, strict=True)]
        return np.array([log_new - log_now for log_new, log_now in found])

    def _accepted(self, log_ratio: Doubles) -> NDArray[np.bool_]:
        return np.log(self.noise.uniforms(CHAINS)) < log_ratio

    def _move(self, taken: NDArray[np.bool_], new: "_State") -> None:
        pairs: Any = zip(self.at, new, strict=True)
        for old, values in pairs:
            old[taken] = values[taken]


class _State(NamedTuple):
    """Where chains are, a row each."""

    z: Floats
    mean: Floats
    parameters: Floats
    log_joint: Doubles
    """log p(x_seen|z) + log p(z)."""


def _log_normal(z: Floats, loc: Floats, scale: Floats) -> Doubles:
    return latents.log_posterior(*(values.astype(np.float64) for values in (z, loc, scale)))
