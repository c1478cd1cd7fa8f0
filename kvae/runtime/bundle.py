"""A bundle as an object: sample, decode, encode and reconstruct with only numpy and onnxruntime.

from kvae.runtime import Bundle

bundle = Bundle.open("exported/fashion_mnist")
images = bundle.sample(64, seed=0)  # float32 (64, 28, 28, 1) in [0, 1]
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kvae.bundle import caveats
from kvae.bundle import noise as noises
from kvae.bundle.manifest import Manifest
from kvae.errors import BundleError, KvaeError
from kvae.files.text import printable
from kvae.machine import cores
from kvae.runtime import arguments, class_labels, outputs, priors, sources
from kvae.runtime.arguments import Temperature
from kvae.runtime.class_labels import Label, Labels
from kvae.runtime.latents import Floats, Posterior
from kvae.runtime.sessions import DEVICES, Graph, Sessions, check_tensors, role, start_session
from kvae.runtime.sources import Held, Source

if TYPE_CHECKING:
    from kvae.runtime.inpainting import Inpainted

Inputs = Mapping[str, NDArray[Any]]
Result = TypeVar("Result")
BATCH_SIZE = 256
"""Images per call of onnxruntime; results do not depend on it. Several batches run in parallel, one per core, which is
faster than running one call on several cores, because no core waits for another."""
NOISE_BATCHES = 4
"""Batches whose noise is drawn at once. Drawing noise takes many short numpy calls, which wait for Python's lock while
other threads call onnxruntime; fewer, longer calls, in the one thread that hands out the batches, wait less. That
thread draws some 40 million numbers a second, which is the limit for a large latent_dim or very many cores."""


class Bundle:
    """An exported VAE. Make one with `Bundle.open`.

    It may be used from several threads at once, and in processes that are forked later. It can be pickled, to be opened
    again in another process (see `__reduce__`), and copied.
    """

    def __init__(
        self,
        manifest: Manifest,
        graphs: Mapping[str, Graph],
        device: str,
        threads: int = 0,
        source: Path | Held | None = None,
    ) -> None:
        self.manifest = manifest
        self._graphs = dict(graphs)
        self._device = device
        self._threads = threads
        self._source = source
        self._sessions = Sessions()
        self.prior = priors.of(self)
        """The prior, as draws and a density; see `kvae.runtime.priors.Prior`."""

    @classmethod
    def open(cls, source: Source, device: str = "auto", threads: int = 0) -> "Bundle":
        """Open a bundle, or a lone `decoder.onnx`.

        Args:
            source: a folder, the zip of one, or a graph that kvae exported (a decoder can decode, and sample if the
                prior is N(0, I), but not encode): a path, the bytes of such a file, a file open for reading bytes, or a
                resource of a package (`importlib.resources.files`). All but a folder or a graph at a path is read into
                memory.
            device: "cpu", "cuda", or "auto" (the default) for CUDA if it works, else the CPU. "cuda" is strict.
            threads: CPU threads; 0, the default, is one per core that this process may use (`kvae.machine.cores`).
                Programs that call from their own threads, as `kvae.evaluation.evaluation` does, are faster with 1.

        Raises:
            BundleError: there is no bundle, it has a later format, or a file does not have the sha256 in the manifest.
            KvaeError: the device is unknown, or is "cuda" and CUDA does not work; or `threads` is out of range.
        """
        if device not in DEVICES:
            raise KvaeError(f"device must be one of {', '.join(DEVICES)}; got '{device}'.")
        if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= cores.MAX:
            raise KvaeError(f"threads must be an integer from 0 to {cores.MAX}; got {threads!r}.")
        held = sources.hold(source)
        origin = Path(source).absolute() if isinstance(source, (str, os.PathLike)) else held
        manifest, graphs = sources.files(held)
        if manifest is None:
            return cls._lone(graphs[sources.LONE], device, threads, origin)
        bundle = cls(manifest, graphs, device, threads, origin)
        for name in ("decoder", "prior") if manifest.has_own_prior else ("decoder",):
            bundle._session(name, threads)  # here, so that any bundle that opens can be sampled
        return bundle

    @classmethod
    def _lone(cls, graph: Graph, device: str, threads: int, source: Path | Held) -> "Bundle":
        session = start_session(graph, device, threads)
        manifest = Manifest.of_graph(session.get_modelmeta().custom_metadata_map, graph)
        name = role(session)
        name = name if name in manifest.tensors else "decoder"
        check_tensors(graph, session, manifest.tensors[name])
        bundle = cls(manifest, {name: graph}, device, threads, source)
        bundle._sessions.started[name, threads] = session
        return bundle

    def __reduce__(self) -> tuple[Any, ...]:
        """A pickle holds the absolute path of the bundle, or its files if it has none, device and threads.

        Where it is loaded, the bundle is opened again, with all checks; if another bundle is at that path now, that is
        a BundleError.
        """
        if self._source is None:
            raise KvaeError("this bundle was not made by Bundle.open, and cannot be pickled.")
        return _reopened, (self._source, self._device, self._threads, self._identity())

    def _identity(self) -> list[str]:
        """What tells this bundle from another one: its manifest, which has the hash of each graph unless it is lone."""
        alone = not self.manifest.files
        return [self.manifest.to_json(), *(sources.digest(graph) for graph in self._graphs.values() if alone)]

    def __copy__(self) -> "Bundle":
        copy = Bundle(self.manifest, self._graphs, self._device, self._threads, self._source)
        copy._sessions.started.update(self._sessions.started)
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> "Bundle":
        copy = self.__copy__()
        copy.manifest = deepcopy(self.manifest, memo)
        return copy

    @property
    def labels(self) -> list[str] | None:
        """The names of the classes of a conditional model, in order; None for any other."""
        return self.manifest.labels

    @property
    def graphs(self) -> dict[str, Graph]:
        """The files of the graphs by name: "decoder", "encoder", and "prior" and "prior_density" for a prior other than
        N(0, I). Only one for a lone graph.

        Paths, or files in memory (with `name` and `read_bytes`) if the bundle was not opened from a folder.
        """
        return dict(self._graphs)

    @property
    def device(self) -> str:
        """Where the graphs run: "cpu" or "cuda"."""
        name = next(iter(self._graphs))
        session = self._session(name, self._threads)
        return "cuda" if session.get_providers()[0] == "CUDAExecutionProvider" else "cpu"

    def sample(
        self,
        n: int,
        seed: int = 0,
        temperature: Temperature = 1.0,
        start: int = 0,
        label: Label | None = None,
        draw: bool = False,
    ) -> Floats:
        """Decode `n` draws from the prior.

        Args:
            n: number of images, at least 1.
            seed: seed of the noise; image i depends only on (seed, i) and its label (see `kvae.bundle.noise`).
            temperature: factor on the prior's noise, which for N(0, I) is its standard deviation; below 1, images are
                more typical and less varied. For a model with groups, it may be one for each group.
            start: index of the first image.
            label: the images' class, if the model has labels: a label by name or number, or one for each image.
                Without it, labels are drawn too, as often as they are among the training images.
            draw: draw each pixel from the likelihood p(x|z), in place of its mean: bits for a model of bits, and the
                grain of 8-bit images. Draws from `normal` may leave [0, 1]. Not for a surrogate, a Bernoulli of grey
                intensities, whose draws would be bits.

        Returns:
            Expected images, or with `draw` images, `(n, height, width, channels)` float32 in [0, 1].

        Raises:
            KvaeError: an argument out of range, or a label that the model does not have.
        """
        inputs = self._drawn(n, seed, temperature, start, label, draw)
        images = np.empty((n, *self.manifest.image_shape), np.float32)

        def fill(part: slice, batch: Inputs, threads: int) -> None:
            self._decode(batch, images[part], threads, (seed, start + part.start) if draw else None)

        for _ in self._batch_by_batch(n, inputs, fill):
            pass
        return images

    def sample_batches(
        self,
        n: int,
        seed: int = 0,
        temperature: Temperature = 1.0,
        start: int = 0,
        label: Label | None = None,
        draw: bool = False,
    ) -> Iterator[Floats]:
        """The images of `sample`, in batches of `BATCH_SIZE`, so that memory does not grow with `n`."""
        inputs = self._drawn(
            n, seed, temperature, start, label, draw
        )  # which checks them now, not with the first batch

        def batch(part: slice, given: Inputs, threads: int) -> Floats:
            images = np.empty((part.stop - part.start, *self.manifest.image_shape), np.float32)
            self._decode(given, images, threads, (seed, start + part.start) if draw else None)
            return images

        return self._batch_by_batch(n, inputs, batch)

    @property
    def is_surrogate(self) -> bool:
        """Whether log p(x|z) is that of bits, though the images are grey; see `kvae.bundle.caveats`."""
        return caveats.kind(self.manifest.likelihood, self.manifest.binarize) == caveats.SURROGATE

    def _drawn(
        self, n: int, seed: int, temperature: Temperature, start: int, label: Label | None, draw: bool
    ) -> Iterator[Inputs]:
        """What `_decode` makes images from, batch by batch, for `n` draws from the prior."""
        if draw and self.is_surrogate:
            raise KvaeError(
                "this model is a Bernoulli of grey intensities, a surrogate: drawn pixels would be bits, not greys. "
                "Leave draw out; a model trained with --likelihood discretized_logistic draws greys."
            )
        n = arguments.count(n, seed, start)
        factor = arguments.temperatures(temperature, self.manifest.groups)
        weights = self.manifest.label_weights if label is None else None
        labels = class_labels.resolve(self.manifest, label, n) if weights is None else None
        stretch = NOISE_BATCHES * BATCH_SIZE

        def batches() -> Iterator[Inputs]:
            for first in range(0, n, stretch):
                count = min(stretch, n - first)
                if weights is not None:
                    part: Labels | None = noises.choices(seed, start + first, count, weights, noises.LABELS)
                else:
                    part = None if labels is None else labels[first : first + count]
                yield from _split(self.prior.inputs(seed, start + first, count, factor, part))

        return batches()

    def sample_labels(self, n: int, seed: int = 0, start: int = 0, label: Label | None = None) -> Labels | None:
        """The labels of the images of `sample` with these arguments, int64 `(n,)`; None for a model without labels."""
        if label is None and self.manifest.label_weights is not None:
            return noises.choices(seed, start, n, self.manifest.label_weights, noises.LABELS)
        return class_labels.resolve(self.manifest, label, n)

    def _decode(self, inputs: Inputs, images: Floats, threads: int, pixels: tuple[int, int] | None = None) -> None:
        """Write the images of one batch of draws from the prior into `images`: their means.

        With `pixels`, the seed and the number of the first image, each pixel is drawn from the likelihood.
        """
        if "z" not in inputs:  # the prior's graph has the codes
            z = np.empty((len(images), self.manifest.latent_dim), np.float32)
            self._call("prior", inputs, {"z": z}, threads)
            inputs = {"z": z} | ({"label": inputs["label"]} if "label" in inputs else {})
        if pixels is None:
            self._call("decoder", inputs, {"mean": images}, threads)
            return
        from kvae.bundle import densities  # here, because means do not need it

        names, likelihood = self.manifest.likelihood_parameters, self.manifest.likelihood
        parameters = np.empty((*images.shape[:-1], images.shape[-1] * len(names)), np.float32)
        self._call("decoder", inputs, {"likelihood_parameters": parameters}, threads)
        seed, first = pixels
        for row in range(len(images)):
            stream = noises.Stream(seed, noises.PIXELS, first + row)
            images[row] = densities.draw(likelihood, parameters[row : row + 1], images.shape[-1], stream)[0]

    def decode(self, z: ArrayLike, label: Label | None = None) -> Floats:
        """The expected images of codes.

        Args:
            z: codes, `(batch, latent_dim)`.
            label: the images' class, if the model has labels: a label by name or number, or one for each code.

        Returns:
            `(batch, height, width, channels)`, in [0, 1].
        """
        codes = arguments.batch(z, (self.manifest.latent_dim,), "z")
        if not np.isfinite(codes).all():
            raise KvaeError(f"codes must be finite float32 numbers; got {codes[~np.isfinite(codes)][0]:g}.")
        return self.run("decoder", self._labelled({"z": codes}, label), ["mean"])["mean"]

    def encode(self, images: ArrayLike, label: Label | None = None, noise: ArrayLike | None = None) -> Posterior:
        """The posterior of each image.

        Args:
            images: `(batch, height, width, channels)` in [0, 1].
            label: the images' class, if the model has labels: a label by name or number, or one for each image;
                or "best", for the label with the highest ELBO.
            noise: for a model with groups, standard normal noise `(batch, latent_dim)`: each group's posterior is that
                after the draws loc + scale * noise of the groups before it. By default it is 0.
        """
        pixels = self._pixels(images)
        inputs = self._labelled({"images": pixels}, self._given_or_best(pixels, label))
        if self.manifest.groups is not None:
            shape = (len(pixels), self.manifest.latent_dim)
            inputs["noise"] = np.zeros(shape, np.float32) if noise is None else np.asarray(noise)
        elif noise is not None:
            raise KvaeError("this model's encoder takes no noise, because its latent dimensions have no groups.")
        return Posterior(**self.run("encoder", inputs, ["loc", "scale"]))

    def reconstruct(self, images: ArrayLike, label: Label | None = None) -> Floats:
        """Each image encoded to the mean of its posterior, and decoded again; arguments as for `encode`.

        In a model with groups, this mean is the code of noise 0.
        """
        pixels = self._pixels(images)
        labels = self._given_or_best(pixels, label)
        return self.decode(self.encode(pixels, labels).loc, labels)

    def inpaint(
        self,
        images: ArrayLike,
        n: int = 8,
        seed: int = 0,
        steps: int = 200,
        burn_in: int = 100,
        label: Label | None = None,
        start: int = 0,
    ) -> "Inpainted":
        """Draw pixels that are missing from p(x_missing | x_seen), by Metropolis-within-Gibbs.

        Args:
            images: `(batch, height, width, channels)` in [0, 1], with NaN for each pixel that is missing; of 0 and 1
                for a model of bits.
            n: draws of each image.
            seed: seed of the draws; those of image i depend only on the seed, on start + i, on the image and label, and
                on steps and burn_in.
            steps: sweeps of each chain that are kept, at least 4.
            burn_in: sweeps before them.
            label: the images' class, if the model has labels: a label by name or number, or one for each image.
            start: number of the first image.

        Returns:
            The draws, their mean, and whether the chains mixed; see `kvae.runtime.inpainting`, which has the method.

        Raises:
            KvaeError: an argument out of range, or a label that is missing or not one of the model's.
            BundleError: the model has no encoder, or kvae cannot draw from its likelihood.
        """
        from kvae.runtime import inpainting  # not needed for sampling

        pixels = arguments.batch(images, tuple(self.manifest.image_shape), "images")
        labels = class_labels.resolve(self.manifest, label, len(pixels))
        settings = inpainting.Settings(n, steps, burn_in, seed)
        noises.check(seed, start, len(pixels))
        numbers = [start + index for index in range(len(pixels))]
        return inpainting.joined(list(inpainting.inpaint(self, pixels, settings, labels, numbers)))

    def _pixels(self, images: ArrayLike) -> Floats:
        """Images as the encoder takes them; raises KvaeError if they are not images of the model."""
        pixels = arguments.batch(images, tuple(self.manifest.image_shape), "images")
        if not (pixels.min() >= 0.0 and pixels.max() <= 1.0):
            raise KvaeError(f"images must be in [0, 1]; got [{pixels.min():g}, {pixels.max():g}].")
        return pixels

    def _given_or_best(self, pixels: Floats, label: Label | None) -> Label | None:
        """The label as it was given; but if it is "best", the labels with the highest ELBO."""
        if not class_labels.is_best(self.manifest, label):
            return label
        from kvae.runtime import labelling  # not needed for sampling

        return labelling.of_images(self, pixels, label)

    def _labelled(self, inputs: dict[str, ArrayLike], label: Label | None) -> dict[str, ArrayLike]:
        """The inputs of a graph with their labels, if the model has labels."""
        labels = class_labels.resolve(self.manifest, label, len(np.asarray(next(iter(inputs.values())))))
        return inputs if labels is None else inputs | {"label": labels}

    def run(
        self, graph: str, inputs: Mapping[str, ArrayLike], outputs: Iterable[str] | None = None
    ) -> dict[str, Floats]:
        """Run a graph as it is, without checking the values of its inputs.

        Args:
            graph: "decoder", "encoder", "prior" or "prior_density".
            inputs: the graph's inputs by name, such as `z`, with the same number of rows, at least one.
            outputs: names of the outputs to compute, at least one; by default all of them.

        Returns:
            The outputs by name, float32, with one row per row of the inputs.

        Raises:
            BundleError: this model has no such graph, or the graph fails on these values, or what it computes is not
                what its contract allows.
            KvaeError: the inputs or their shapes are not those of the graph, or it has no such output.
        """
        self._check_has(graph)
        ends = self.manifest.tensors[graph]
        values = arguments.inputs(graph, inputs, ends["inputs"])
        n = len(next(iter(values.values())))
        shapes = {tensor["name"]: tensor["shape"][1:] for tensor in ends["outputs"]}
        wanted = arguments.outputs(graph, outputs, list(shapes))
        results = {name: np.empty((n, *shapes[name]), np.float32) for name in wanted}

        def fill(part: slice, batch: Inputs, threads: int) -> None:
            self._call(graph, batch, {name: result[part] for name, result in results.items()}, threads)

        for _ in self._batch_by_batch(n, _split(values), fill):
            pass
        return results

    def _batch_by_batch(
        self, n: int, inputs: Iterable[Inputs], work: Callable[[slice, Inputs, int], Result]
    ) -> Iterator[Result]:
        """The results of `work(part, inputs, threads)` for each batch of `n` images in all, in order.

        On a CPU several batches are processed at a time; `inputs` is advanced in the caller's thread meanwhile.
        """
        firsts = range(0, n, BATCH_SIZE)
        parts = (slice(first, min(first + BATCH_SIZE, n)) for first in firsts)
        workers = min(self._threads or cores.threads(), len(firsts))
        if workers == 1 or self.device != "cpu":
            for part, batch in zip(parts, inputs, strict=True):
                yield work(part, batch, self._threads)
            return
        from concurrent.futures import Future  # takes 3 ms, and one batch does not need it

        from kvae.machine.pool import Pool

        with Pool(workers) as pool:
            pending: deque[Future[Result]] = deque()
            try:
                for part, batch in zip(parts, inputs, strict=True):
                    pending.append(pool.submit(work, part, batch, 1))
                    if len(pending) > 2 * workers:  # enough for no worker to wait, with bounded memory
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _call(self, graph: str, inputs: Inputs, results: dict[str, Floats], threads: int) -> None:
        """Run a graph on one batch; onnxruntime writes directly into `results`."""
        session = self._session(graph, threads)
        binding = session.io_binding()
        for name, values in inputs.items():
            binding.bind_cpu_input(name, values)
        for name, result in results.items():
            binding.bind_output(name, "cpu", 0, np.float32, result.shape, result.ctypes.data)
        try:
            session.run_with_iobinding(binding)
        except Exception as error:  # onnxruntime's exceptions share no narrower base
            raise BundleError(f"onnxruntime cannot run {self._graphs[graph]}: {printable(error)}") from None
        outputs.check(self._graphs[graph], self.manifest, results)

    def _check_has(self, graph: str) -> None:
        if graph not in self._graphs:
            raise BundleError(f"this model has no graph '{graph}'; open the whole bundle folder.")

    def _session(self, name: str, threads: int) -> Any:
        self._check_has(name)

        def start() -> Any:
            graph = self._graphs[name]
            session = start_session(graph, self._device, threads)
            check_tensors(graph, session, self.manifest.tensors[name])
            self.manifest.check_inside(session.get_modelmeta().custom_metadata_map, graph)
            return session

        return self._sessions.get((name, threads), start)


def _reopened(source: Path | Held, device: str, threads: int, identity: list[str]) -> Bundle:
    """The bundle of a pickle."""
    bundle = Bundle.open(source, device, threads)
    if bundle._identity() != identity:
        raise BundleError(f"{source} is not the bundle that was pickled: it was replaced. Open it again.")
    return bundle


def _split(inputs: Inputs) -> Iterator[Inputs]:
    """The inputs of each batch; contiguous, also those that are one value for all."""
    n = len(next(iter(inputs.values())))
    for first in range(0, n, BATCH_SIZE):
        yield {name: np.ascontiguousarray(values[first : first + BATCH_SIZE]) for name, values in inputs.items()}
