"""Measures how good a model's samples are: they are compared with real images on the features of a network."""

from collections.abc import Callable, Iterator
from os import PathLike
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kvae.bundle import binarization, noise
from kvae.data import Dataset, held_out, held_out_labels
from kvae.errors import DataError, KvaeError
from kvae.evaluation import copying, extractors, frechet, kernel_distance, neighbours
from kvae.evaluation.estimates import Estimate
from kvae.evaluation.extractors import Extractor
from kvae.evaluation.jackknife import NUM_GROUPS, Doubles, Jackknifed
from kvae.evaluation.quality import Quality
from kvae.files import pictures
from kvae.runtime.bundle import Bundle
from kvae.runtime.class_labels import Labels
from kvae.runtime.latents import Floats

MIN_IMAGES = 2 * NUM_GROUPS
"""The fewest samples or test images of which anything is measured: two in each group that is left out."""
MAX_SAMPLES = 100_000
"""The most samples, because time grows with their square."""
MAX_TRAINING = 50_000
"""The most training images among which the nearest is searched; of more, every second is used, or every third, ..."""
BATCH_SIZE = 1024
"""Images whose pixels are in memory at a time."""

Progress = Callable[[int], object]


def check_settings(num_samples: int, seed: int) -> None:
    """Raise KvaeError for settings that `sample_quality` rejects whatever the model."""
    noise.check(seed, 0)
    if isinstance(num_samples, bool) or not MIN_IMAGES <= num_samples <= MAX_SAMPLES:
        raise KvaeError(f"the number of samples must be between {MIN_IMAGES} and {MAX_SAMPLES:,}; got {num_samples}.")


def sample_quality(
    bundle: Bundle,
    data: Dataset,
    num_samples: int = 10_000,
    seed: int = 0,
    features: Extractor | str | PathLike[str] | None = None,
    progress: Progress = lambda count: None,
) -> Quality:
    """Measure how alike a model's samples are to the test images, and whether they copy training images.

    Samples are the mean images E[x|z] of `Bundle.sample`; a model with labels draws these as often as they are among
    its training images. They are compared with the grey test images, also if the model is one of bits. Distances are
    between features; see `kvae.evaluation.frechet`, `kernel_distance`, `neighbours` and `copying`. Standard errors are
    the jackknife's over samples and test images; they do not include how another training would have gone.

    Args:
        bundle: the model.
        data: the data set that it was trained on.
        num_samples: how many samples: from 100 to 100,000, and more than there are features. The bias of the Fréchet
            distance falls with it: compare only numbers of equally many samples.
        seed: seed of the samples, and of the choice of training images for the floor.
        features: the network, or its ONNX file; by default what `kvae.evaluation.choose_features` chooses.
        progress: called with the number of images done since the last call, of `num_seen` in all.

    Raises:
        BundleError: the network cannot be used; see `choose_features`.
        KvaeError: the number of samples is out of range, or the images are too few, or not of the model's shape, or
            features are not finite.
    """
    check_settings(num_samples, seed)
    if list(data.image_shape) != bundle.manifest.image_shape:
        raise DataError(f"the model takes images of shape {bundle.manifest.image_shape}; got {list(data.image_shape)}.")
    extractor = features if isinstance(features, Extractor) else extractors.choose(bundle, data, features)
    grey = held_out(data, "test", False)
    order = _shuffled(len(grey), seed)
    test = _described(extractor, "test images", _batches(grey, held_out_labels(data, "test"), bundle, order), progress)
    _check_counts(num_samples, *test.features.shape)
    samples = _described(extractor, "samples", _samples(bundle, num_samples, seed), progress)
    training = np.arange(len(data.train.images))[:: _stride(data)]
    in_floor = _shuffled(len(training), seed)[:num_samples]
    nearest, nearest_to_test = (np.full(len(found.features), np.inf) for found in (samples, test))
    floor = np.empty((len(in_floor), test.features.shape[1]))
    for first in range(0, len(training), BATCH_SIZE):
        rows = training[first : first + BATCH_SIZE]
        batches = _batches(data.train.images, data.train.labels, bundle, rows)
        found = _described(extractor, "training images", batches, progress).features
        copying.bring_nearer(nearest, samples.features, found)
        copying.bring_nearer(nearest_to_test, test.features, found)
        here = (in_floor >= first) & (in_floor < first + len(rows))
        floor[here] = found[in_floor[here] - first]
    return Quality(
        dataset=data.name,
        features=extractor.about,
        kind=extractor.kind,
        features_sha256=extractor.sha256,
        num_features=test.features.shape[1],
        num_samples=num_samples,
        seed=seed,
        num_images=len(grey),
        images_sha256=binarization.sha256(grey),
        num_training_images=len(training),
        num_floor=len(floor),
        is_of_bits=bundle.manifest.is_of_bits,
        numbers=between(samples.features, test.features) | copying.numbers(nearest, nearest_to_test),
        floor_numbers=between(floor, test.features) | copying.floor(nearest_to_test),
        classes=_shares(extractor, samples.classes, test.classes),
    )


def num_seen(data: Dataset, num_samples: int) -> int:
    """How many images `sample_quality` computes features of."""
    return num_samples + len(held_out(data, "test", False)) + len(range(0, len(data.train.images), _stride(data)))


def between(samples: Doubles, images: Doubles) -> dict[str, Jackknifed]:
    """What is measured between two sets of features, `(n, num_features)` and `(m, num_features)`, in random order."""
    density, coverage = neighbours.density_and_coverage(samples, images)
    return {
        "frechet_distance": frechet.distance(samples, images),
        "kernel_distance": kernel_distance.distance(samples, images),
        "density": density,
        "coverage": coverage,
    }


class _Described(NamedTuple):
    features: Doubles
    classes: tuple[Labels, int] | None
    """The class of each image, and how many there are."""


def _described(
    extractor: Extractor, what: str, batches: Iterator[tuple[Floats, Labels | None]], progress: Progress
) -> _Described:
    """The features of all images of some batches."""
    parts = []
    for images, labels in batches:
        parts.append(extractor.compute(images, labels))
        extractors.check_finite(parts[-1].features, what, extractor)
        progress(len(images))
    features = np.concatenate([part.features for part in parts]).astype(np.float64)
    scores = [part.scores for part in parts if part.scores is not None]
    classes = (np.concatenate([part.argmax(axis=1) for part in scores]), scores[0].shape[1]) if scores else None
    return _Described(features, classes)


def _batches(
    images: NDArray[np.uint8], labels: Labels | None, bundle: Bundle, rows: NDArray[np.intp]
) -> Iterator[tuple[Floats, Labels | None]]:
    """Real images, and their labels if the model has labels."""
    known = labels if bundle.labels is not None else None
    for first in range(0, len(rows), BATCH_SIZE):
        part = rows[first : first + BATCH_SIZE]
        yield pictures.to_float32(images[part]), None if known is None else known[part]


def _samples(bundle: Bundle, num_samples: int, seed: int) -> Iterator[tuple[Floats, Labels | None]]:
    """Samples, and the labels that `Bundle.sample` draws for them if the model has labels."""
    start = 0
    for images in bundle.sample_batches(num_samples, seed):
        yield images, bundle.sample_labels(len(images), seed, start)
        start += len(images)


def _shuffled(count: int, seed: int) -> NDArray[np.intp]:
    """The numbers below `count` in random order: files of real images are often sorted, and groups must not be."""
    return np.argsort(np.random.Philox(key=seed).random_raw(count), kind="stable")


def _stride(data: Dataset) -> int:
    return -(-len(data.train.images) // MAX_TRAINING)


def _check_counts(num_samples: int, num_images: int, num_features: int) -> None:
    """Raise KvaeError if images or samples are too few for a covariance of so many features."""
    if num_images < MIN_IMAGES:
        raise DataError(f"samples are compared with at least {MIN_IMAGES} test images; the data set has {num_images}.")
    if num_samples <= num_features:
        raise KvaeError(f"the number of samples must be above that of the features, {num_features}; got {num_samples}.")
    if num_images <= num_features:
        raise DataError(
            f"there must be more test images than features, {num_features}; the data set has {num_images}. Use a "
            f"network with fewer features."
        )


def _shares(
    extractor: Extractor, samples: tuple[Labels, int] | None, images: tuple[Labels, int] | None
) -> dict[str, tuple[Estimate, Estimate]] | None:
    if samples is None or images is None:
        return None
    known = extractor.class_names if len(extractor.class_names) == samples[1] else ()
    names = known or [f"class {number}" for number in range(samples[1])]
    found = [[Estimate.of(classes == number) for number in range(samples[1])] for classes in (samples[0], images[0])]
    return dict(zip(names, zip(*found, strict=True), strict=True))
