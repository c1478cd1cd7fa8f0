"""What a model is to the modules that measure it: graphs that run, a manifest and a prior. A `Bundle` is one."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from numpy.typing import ArrayLike, NDArray

from kvae.bundle.manifest import Manifest
from kvae.runtime.class_labels import Label, Labels
from kvae.runtime.latents import Doubles, Floats, Posterior


class Prior(Protocol):
    """The distribution p(z), or p(z|y), of codes; see `kvae.runtime.priors`."""

    @property
    def has_closed_rate(self) -> bool:
        """Whether KL(q(z|x) || p(z)) is `latents.rates`; else it is the mean of log q - log p over draws from q."""

    def inputs(
        self, seed: int, start: int, count: int, temperature: float | Floats = 1.0, label: Labels | None = None
    ) -> dict[str, NDArray[Any]]:
        """What the draws are made from: `z` itself, or the inputs of the graph "prior"; and `label` if it is given."""

    def draws(
        self, seed: int, start: int, count: int, temperature: float | Floats = 1.0, label: Labels | None = None
    ) -> Floats:
        """Draws, `(count, latent_dim)`: number i depends only on (seed, i) and its label.

        Args:
            seed: seed of the noise and of the components; see `kvae.bundle.noise`.
            start: number of the first draw.
            count: how many.
            temperature: factor on the noise: a number, or one for each latent dimension.
            label: the label of each draw, `(count,)`, if the model has labels.
        """

    def log_prob(self, z: Floats, label: Labels | None = None) -> Doubles:
        """log p(z|y) in nats, `(n,)`, of codes `(n, latent_dim)` with labels `(n,)`."""

    def log_ratio(self, z: Floats, epsilon: Floats, scale: Floats, label: Labels | None = None) -> Doubles:
        """log p(z|y) - log q(z|x, y), `(n, draws)`, of draws from posteriors.

        Args:
            z: the draws, `(n, draws, latent_dim)`.
            epsilon: the noise that they were made from, in the same shape.
            scale: standard deviations of the posteriors, `(n, latent_dim)`, or of each draw, in the shape of z.
            label: the images' labels, `(n,)`, if the model has labels.
        """

    def mean(self, label: int | None = None) -> Floats:
        """The mean, `(latent_dim,)`; over all labels if the model has labels and none is given."""

    def scale(self, label: int | None = None) -> Floats:
        """The standard deviation of each latent dimension, `(latent_dim,)`; `label` as for `mean`."""


class Model(Protocol):
    """A bundle, for what measures it."""

    @property
    def manifest(self) -> Manifest:
        """What the model is."""

    @property
    def prior(self) -> Prior:
        """Its prior."""

    def run(
        self, graph: str, inputs: Mapping[str, ArrayLike], outputs: Iterable[str] | None = None
    ) -> dict[str, Floats]:
        """Run a graph; see `Bundle.run`."""

    def encode(self, images: ArrayLike, label: Label | None = None, noise: ArrayLike | None = None) -> Posterior:
        """The posterior of each image; see `Bundle.encode`."""
