"""Where in an image the nats are: the negative log-likelihood of each of its pixels, under its own posterior."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kvae.bundle import binarization, densities
from kvae.data.images import Batch, Images
from kvae.errors import KvaeError
from kvae.files import arrays
from kvae.machine import cores
from kvae.machine.pool import Pool
from kvae.runtime import class_labels, importance, labelling, proposals, scoring
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Label
from kvae.runtime.latents import Doubles, Floats, Posterior
from kvae.runtime.model import Model


def nats(bundle: Model, images: Floats, label: Label | None = None, threads: int | None = None) -> Doubles:
    """-E_q log p of each pixel, summed over its channels, `(n, height, width)`: the mean over draws from the posterior.

    The draws are those of `kvae score`, so the sum of an image's map is its distortion.

    Args:
        bundle: the model, with its encoder.
        images: `(n, height, width, channels)` in [0, 1]. For a model of bits, grey ones are binarised.
        label: the images' class, if the model has labels: a label by name or number, one for each image, or "best".
        threads: groups of images to process at a time; None, the default, is one per core.

    Raises:
        KvaeError: the images have the wrong shape or range, or a label is missing or not one of the model's.
    """
    manifest = bundle.manifest
    encoded = binarization.as_encoded(manifest, np.asarray(images, np.float32))
    labels = labelling.of_images(bundle, encoded, label)
    loc, scale = bundle.encode(encoded, labels)
    draws, seed = scoring.recorded_settings(manifest)
    epsilon = importance.draws(seed, [0], 0, draws, manifest.latent_dim)  # the same for each image, as in a score
    group = max(1, importance.GROUP // draws)

    def measured(first: int) -> Doubles:
        part = slice(first, first + group)
        pixels, label = encoded[part], None if labels is None else labels[part]
        noise = np.repeat(epsilon, len(pixels), axis=0)
        drawn = proposals.draw(bundle, pixels, Posterior(loc[part], scale[part]), noise, label)
        inputs: dict[str, Any] = {"z": drawn.z.reshape(-1, manifest.latent_dim)}
        if label is not None:
            inputs["label"] = np.repeat(label, draws)
        found = bundle.run("decoder", inputs, ["likelihood_parameters"])["likelihood_parameters"]
        of_images = zip(found.reshape(len(pixels), draws, *found.shape[1:]), pixels, strict=True)
        return -np.stack([densities.log_densities(manifest.likelihood, *pair).mean(axis=0) for pair in of_images])

    with Pool(threads or cores.threads()) as pool:
        return np.concatenate(list(pool.map(measured, range(0, len(encoded), group))))


def write(bundle: Bundle, images: Images, batches: Iterator[Batch], path: Path, label: Label | None = None) -> None:
    """Write the map of each image to an .npz: `maps` `(n, height, width)` float32, and `names`.

    Args:
        bundle: the model.
        images: the images. Those that are skipped have no map; `names` says which image a map is of.
        batches: the batches of `images`; a separate argument, so that a caller can show progress.
        path: the file, which is replaced if it exists.
        label: the images' class, if the model has labels; see `kvae.runtime.scores.score`.

    Raises:
        KvaeError: the file name does not end in .npz, or the file cannot be written.
    """
    check(path)
    labels = labelling.OfStream(bundle, images, label)
    best = class_labels.is_best(bundle.manifest, label)

    def mapped() -> Iterator[dict[str, Any]]:
        for names, pixels in batches:
            known = class_labels.BEST if best else labels.of_batch(names, pixels)
            yield {"maps": nats(bundle, pixels, known), "names": names}

    height, width, _ = bundle.manifest.image_shape
    rows = {"maps": ((height, width), "<f4"), "names": ((), f"<U{images.longest_name}")}
    arrays.write_npz(mapped(), images.count, rows, path)


def check(path: Path) -> None:
    """Raise KvaeError if maps cannot have this name."""
    if path.suffix.lower() != ".npz":
        raise KvaeError(f"{path}: maps are written to an .npz; the name must end in .npz.")
