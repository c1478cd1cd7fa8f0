"""What a service computes: several requests of a kind joined to one call of the bundle, and its result taken apart."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.errors import KvaeError
from kvae.runtime import arguments, class_labels, scoring
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Labels
from kvae.runtime.latents import Floats


class Sampling(NamedTuple):
    """A request for images drawn from the prior; fields as for `kvae.runtime.Bundle.sample`."""

    n: int
    seed: int
    start: int
    temperature: float
    label: str | None


class Given(NamedTuple):
    """Images, or codes, with their labels if the model has labels."""

    values: Floats
    label: Any


class Work:
    """Answers batches of requests by a bundle.

    Args:
        bundle: the model; calls come from one thread at a time.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._kinds: dict[str, Callable[[Floats, Labels | None], tuple[NDArray[Any], ...]]] = {
            "decode": self._decoded,
            "encode": lambda images, labels: tuple(bundle.encode(images, labels)),
            "reconstruct": lambda images, labels: (bundle.reconstruct(images, labels),),
            "score": self._scored,
        }

    def __call__(self, kind: str, requests: list[Any]) -> Sequence[Any]:
        """The answer to each request of a kind: a tuple of arrays with its rows, or an error of its own."""
        prepared: list[Any] = []
        for request in requests:
            try:
                prepared.append(self._prepared(request))
            except KvaeError as error:
                prepared.append(error)
        good = [item for item in prepared if not isinstance(item, Exception)]
        answers = iter(self._joined(kind, good) if good else ())
        return [item if isinstance(item, Exception) else next(answers) for item in prepared]

    def _joined(self, kind: str, given: list[Given]) -> list[Any]:
        """The answer to each, by one call for all; if it is refused, by one call for each, as one is at fault."""
        values = np.concatenate([item.values for item in given])
        labels = None if given[0].label is None else np.concatenate([item.label for item in given])
        try:
            arrays = self._kinds[kind](values, labels)
        except KvaeError as error:
            return [error] if len(given) == 1 else [self._joined(kind, [item])[0] for item in given]
        ends = np.cumsum([len(item.values) for item in given])[:-1]
        return list(zip(*(np.split(array, ends) for array in arrays), strict=True))

    def _prepared(self, request: Sampling | Given) -> Given:
        manifest = self._bundle.manifest
        if class_labels.is_best(manifest, request.label):
            raise KvaeError("a service does not search for the best label: name one of the model's, see /v1/model.")
        if isinstance(request, Given):
            return Given(request.values, class_labels.resolve(manifest, request.label, len(request.values)))
        n = arguments.count(request.n, request.seed, request.start)
        temperature = arguments.temperatures(request.temperature, manifest.groups)
        labels = self._bundle.sample_labels(n, request.seed, request.start, request.label)
        return Given(self._bundle.prior.draws(request.seed, request.start, n, temperature, labels), labels)

    def _decoded(self, z: Floats, labels: Labels | None) -> tuple[Floats]:
        return (self._bundle.decode(z, labels),)

    def _scored(self, images: Floats, labels: Labels | None) -> tuple[NDArray[Any], ...]:
        draws, seed = scoring.recorded_settings(self._bundle.manifest)
        found = scoring.score(self._bundle, images, draws, seed, label=labels)
        if self._bundle.manifest.scoring is None:
            percentile = np.full(len(images), np.nan)
        else:
            percentile = scoring.percentile(self._bundle.manifest, found.elbo)
        return found.elbo, found.rate, found.distortion, percentile
