"""Images to a stack of bits and back: bits-back coding, or the same without bits back.

To code x, a z is taken from the stack by q(z|x), which gives back -log2 q(z|x); then x is added by p(x|z), and z by
p(z). Whoever decodes takes z, then x, and adds z again by q(z|x): the stack is as it was. In all, x costs log2 q(z|x) -
log2 p(z) - log2 p(x|z), whose mean is the -ELBO. Without bits back, z is drawn from other random bits, and costs
-log2 p(z): the cross-entropy.

The groups of a ladder's posterior are taken one after the other, each by the posterior after the draws of those before
it. Its prior is N(0, I) for all of them, so z is added at once.

Images are coded in batches of one size, the last one padded, so that each call of a graph is the same in both
directions.

References: Townsend, Bird & Barber, Practical lossless compression with latent variables using bits back coding,
arXiv 1901.04866; Kingma, Abbeel & Ho, Bit-Swap, arXiv 1905.06845.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import densities
from kvae.compression import codes, pixels, priors
from kvae.compression.codes import Gaussians, Grid
from kvae.compression.rounding import Nearest, Noted, Told
from kvae.compression.stack import INITIAL_KEY, Empty, Stack, Words, initial_words, shifts
from kvae.compression.tables import Tabled
from kvae.files import pictures
from kvae.runtime import latents
from kvae.runtime.bundle import Bundle

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Labels = NDArray[np.int64]
CODINGS = ("bits-back", "cross-entropy")
DRAWS_KEY = 5
"""The Philox key of the bits that z is drawn from without bits back."""
LABEL_BITS = 16


@dataclass
class Terms:
    """What images cost, each a sum over them."""

    distortion: float = 0.0
    """-log p(x|z) in nats, of the model itself."""
    rate: float = 0.0
    """KL(q(z|x) || p(z)) in nats, likewise; the value at the draw if it has no closed form."""
    pixel_bits: float = 0.0
    """-log2 p(x|z) as coded."""
    prior_bits: float = 0.0
    """-log2 p(z) as coded."""
    posterior_bits: float = 0.0
    """-log2 q(z|x) as coded: what comes back, unless the coding is "cross-entropy"."""
    label_bits: float = 0.0
    """-log2 p(y) as coded, of a model with labels."""
    note_bits: float = 0.0
    """What is said about rounding, in the portable coding."""

    def __add__(self, other: "Terms") -> "Terms":
        return Terms(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(Terms)))


class Coder:
    """Codes images with a model.

    Args:
        bundle: the model, opened on the CPU with `threads=1`.
        grid: the bins of codes.
        coding: one of `CODINGS`.
        portable: whether to say where rounding was close; see `kvae.compression.rounding`.
        batch: images of a call of a graph.
    """

    def __init__(self, bundle: Bundle, grid: Grid, coding: str, portable: bool, batch: int) -> None:
        manifest = bundle.manifest
        found = priors.components(bundle)
        self._bundle, self._coding, self._portable, self._batch = bundle, coding, portable, batch
        self._gaussians = Gaussians(grid, float(found.scale.max()))
        self._prior = priors.Prior(grid, found)
        self._pixels = pixels.of(manifest.likelihood)
        self._parts = list(codes.parts(manifest.groups, manifest.latent_dim))
        self._label_weights = np.diff(np.array([0, *(manifest.label_weights or [])]))[None] >> 29

    def encode(self, stack: Stack, images: Bytes, labels: Labels | None) -> Iterator[Terms]:
        """Add images to a stack, batch by batch, and give the terms of each batch.

        Args:
            stack: an empty one, with the key `INITIAL_KEY`.
            images: `(n, height, width, channels)`.
            labels: their labels, `(n,)`, if the model has labels.
        """
        draws = Stack(key=DRAWS_KEY)
        for first in range(0, len(images), self._batch):
            part = slice(first, first + self._batch)
            source = stack if self._coding == "bits-back" else draws
            yield self._push(stack, source, first, images[part], None if labels is None else labels[part])

    def _push(self, stack: Stack, source: Stack, first: int, images: Bytes, labels: Labels | None) -> Terms:
        terms, count = Terms(), len(images)
        floats = pictures.to_float32(images)
        symbols = np.empty((count, self._bundle.manifest.latent_dim), np.int64)
        loc, scale = np.empty((2, *symbols.shape), np.float32)
        for part, *outputs in self._posteriors(floats, labels, symbols):
            rounding = self._noting()
            at = self._gaussians.at(*self._gaussians.rounded(rounding, *outputs))
            start = source.information
            symbols[:, part] = source.pop(at, shifts(first, part.start, at.count, at.bits)).reshape(count, -1)
            terms.posterior_bits += start - source.information
            loc[:, part], scale[:, part] = outputs
            if source is stack:  # else whoever decodes needs no posterior
                start = stack.information
                rounding.push(stack)
                terms.note_bits += stack.information - start
        z = self._gaussians.grid.codes(symbols)
        parameters = self._decoded(z, labels)
        terms.distortion, terms.rate = self._exact(floats, z, loc, scale, parameters, labels)

        rounding = self._noting()
        intervals = self._pixels.intervals(parameters, rounding)
        start = stack.information
        stack.push(self._pixels.symbols(images), intervals)
        terms.pixel_bits, start = stack.information - start, stack.information
        rounding.push(stack)
        terms.note_bits, start = terms.note_bits + stack.information - start, stack.information
        self._prior.push(stack, symbols, labels, first)
        terms.prior_bits, start = stack.information - start, stack.information
        if labels is not None:
            stack.push(labels, self._labels(count))
            terms.label_bits = stack.information - start
        return terms

    def decode(self, words: Words, initial: int, count: int) -> Iterator[tuple[slice, Bytes, Labels | None]]:
        """The images on a stack, the last batch first: which they are, the images, and their labels.

        Args:
            words: the stack.
            initial: how many words it had before.
            count: the number of images.

        Raises:
            Empty: so many images are not on it, or something is besides the initial words.
        """
        stack = Stack(words)
        for first in reversed(range(0, count, self._batch)):
            part = slice(first, min(first + self._batch, count))
            yield part, *self._pop(stack, first, part.stop - part.start)
        left = stack.words()
        if len(left) != initial or not np.array_equal(left, initial_words(INITIAL_KEY, initial)):
            raise Empty("the stack does not end with the words that it began with.")

    def _pop(self, stack: Stack, first: int, count: int) -> tuple[Bytes, Labels | None]:
        manifest = self._bundle.manifest
        labels = stack.pop(self._labels(count)) if manifest.labels is not None else None
        symbols = self._prior.pop(stack, count, labels, first)
        z = self._gaussians.grid.codes(symbols)
        rounding: Any = Told(stack) if self._portable else Nearest()
        intervals = self._pixels.intervals(self._decoded(z, labels), rounding)
        images = self._pixels.images(stack.pop(intervals)).reshape(count, *manifest.image_shape)
        if self._coding == "bits-back":
            self._give_back(stack, first, images, symbols, labels)
        return images, labels

    def _give_back(self, stack: Stack, first: int, images: Bytes, symbols: Integers, labels: Labels | None) -> None:
        """Add codes by q(z|x), group by group: the inverse of how they were taken."""
        for part, *outputs in reversed(list(self._posteriors(pictures.to_float32(images), labels, symbols))):
            rounding = Told(stack) if self._portable else Nearest()
            at = self._gaussians.at(*self._gaussians.rounded(rounding, *outputs))
            stack.push(symbols[:, part].ravel(), at, shifts(first, part.start, at.count, at.bits))

    def _posteriors(
        self, images: Floats, labels: Labels | None, symbols: Integers
    ) -> Iterator[tuple[slice, Floats, Floats]]:
        """The dimensions of each group, and its posterior's loc and scale, `(n, dimensions)`, given the groups before.

        Args:
            images: the images as floats.
            labels: their labels.
            symbols: the bins of their codes, `(n, latent_dim)`. Those of a group are read when the next is asked for.
        """
        inputs: dict[str, Any] = {"images": images}
        has_groups = self._bundle.manifest.groups is not None
        if has_groups:
            inputs["noise"] = np.zeros(symbols.shape, np.float32)
        for part in self._parts:
            found = self._run("encoder", inputs, labels, ["loc", "scale"])
            loc, scale = found["loc"][:, part], found["scale"][:, part]
            yield part, loc, scale
            if has_groups:
                inputs["noise"][:, part] = (self._gaussians.grid.codes(symbols[:, part]) - loc) / scale

    def _noting(self) -> Nearest:
        return Noted() if self._portable else Nearest()

    def _exact(
        self, images: Floats, z: Floats, loc: Floats, scale: Floats, parameters: Floats, labels: Labels | None
    ) -> tuple[float, float]:
        """The distortion and the rate of these codes under the model itself."""
        likelihood, prior = self._bundle.manifest.likelihood, self._bundle.prior
        pairs = zip(np.array(parameters), images, strict=True)  # a copy, because the density overwrites
        distortion = -sum(float(densities.log_density(likelihood, one[None], image)[0]) for one, image in pairs)
        if prior.has_closed_rate:
            return distortion, float(latents.rates(loc, scale).sum())
        noise = (z - loc) / scale
        return distortion, -float(prior.log_ratio(z[:, None], noise[:, None], scale, labels).sum())

    def _decoded(self, z: Floats, labels: Labels | None) -> Floats:
        return self._run("decoder", {"z": z}, labels, ["likelihood_parameters"])["likelihood_parameters"]

    def _run(self, graph: str, inputs: dict[str, Any], labels: Labels | None, outputs: list[str]) -> dict[str, Floats]:
        """A call of a graph for at most a batch of rows, padded to a whole one."""
        if labels is not None:
            inputs = inputs | {"label": labels}
        count = len(next(iter(inputs.values())))
        padded = {}
        for name, values in inputs.items():
            padded[name] = np.zeros((self._batch, *values.shape[1:]), values.dtype)
            padded[name][:count] = values
        return {name: found[:count] for name, found in self._bundle.run(graph, padded, outputs).items()}

    def _labels(self, count: int) -> Tabled:
        """p(y)."""
        return Tabled.of_weights(np.repeat(self._label_weights, count, axis=0), LABEL_BITS)
