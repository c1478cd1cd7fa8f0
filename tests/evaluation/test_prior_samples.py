"""The quality of samples: that it falls with blur, noise and missing classes, and what is compared with what."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kvae.data import Split, load
from kvae.errors import DataError, KvaeError
from kvae.evaluation import choose_features, extractors, prior_samples, quality, sample_quality
from kvae.files import pictures
from kvae.runtime.bundle import Bundle

MINI = load("fashion_mnist_mini")
SMALL = replace(MINI, train=Split(MINI.train.images[:1000], MINI.train.labels[:1000]))
REAL = (MINI.train.images[:1000] / np.float32(255)).astype(np.float32)
LABELS = MINI.train.labels[:1000]
NAMES = {"frechet_distance", "kernel_distance", "density", "coverage", "nearest_training", "near_training"}


@pytest.fixture(scope="module")
def bundle():
    return Bundle.open("exported/fashion_mnist_small", device="cpu")


@pytest.fixture(scope="module")
def found(bundle):
    return sample_quality(bundle, SMALL, 500, seed=3)


@pytest.fixture(scope="module")
def measured():
    """The numbers of changed training images against test images."""
    extractor = extractors.shipped_for(MINI)

    def features(images):
        return extractor.compute(images.astype(np.float32), None).features.astype(np.float64)

    test = features(MINI.test.images / np.float32(255))

    def measure(images):
        return {name: number.value for name, number in prior_samples.between(features(images), test).items()}

    return measure


def blurred(images, times):
    for _ in range(times):
        for axis in (1, 2):
            images = (np.roll(images, 1, axis) + 2 * images + np.roll(images, -1, axis)) / 4
    return images


def noisy(images, scale):
    return np.clip(images + scale * np.random.default_rng(0).normal(size=images.shape), 0, 1)


def check_worse(measured, changed):
    """Both distances grow with each step from the images as they are, and coverage ends below where it began."""
    numbers = [measured(images) for images in (REAL, *changed)]
    for name in ("frechet_distance", "kernel_distance"):
        values = [number[name] for number in numbers]
        assert values == sorted(values) and values[-1] > values[0], name
    assert numbers[-1]["coverage"] < numbers[0]["coverage"]


def test_blur_makes_it_worse(measured):
    check_worse(measured, [blurred(REAL, times) for times in (1, 4, 12)])


def test_noise_makes_it_worse(measured):
    check_worse(measured, [noisy(REAL, scale) for scale in (0.1, 0.2, 0.4)])


def test_missing_classes_make_it_worse(measured):
    check_worse(measured, [REAL[np.isin(LABELS, range(count))] for count in (9, 7, 4)])


def test_the_floor_is_below_a_poor_model_and_errors_are_of_its_size(run):
    found = sample_quality(Bundle.open(run.exported.path, device="cpu"), SMALL, 500, seed=3)
    assert set(found.metrics) == set(found.floor) == NAMES
    for name in ("frechet_distance", "kernel_distance"):
        model, floor = found.metrics[name], found.floor[name]
        assert model.value - floor.value > 3 * model.standard_error > 0
    assert found.floor["coverage"].value > found.metrics["coverage"].value
    assert (found.num_floor, found.num_images, found.num_training_images) == (500, 500, 1000)
    assert found.floor["near_training"].value == 0.01


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(bundle, found):
    assert sample_quality(bundle, SMALL, 500, seed=3).to_dict() == found.to_dict()
    assert sample_quality(bundle, SMALL, 500, seed=4).metrics != found.metrics


def test_the_distance_is_that_of_the_samples_that_the_bundle_draws(bundle, found, measured):
    assert found.metrics["frechet_distance"].value == pytest.approx(
        measured(bundle.sample(500, 3))["frechet_distance"], rel=1e-3
    )


def test_the_shares_of_classes_are_those_of_the_largest_score(bundle, found):
    extractor = extractors.shipped_for(MINI)
    chosen = extractor.compute(bundle.sample(500, 3), None).scores.argmax(axis=1)
    assert list(found.classes) == list(MINI.class_names)
    assert [share.value for share, _ in found.classes.values()] == pytest.approx(
        np.bincount(chosen, minlength=10) / 500
    )
    assert sum(share.value for _, share in found.classes.values()) == pytest.approx(1)


def test_the_result_is_json(found):
    assert json.loads(json.dumps(found.to_dict()))["metrics"]["coverage"]["value"] == found.metrics["coverage"].value


def test_a_difference_is_paired_and_only_of_the_same_comparison(bundle, found):
    assert {estimate.value for estimate in quality.difference(found, found).values()} == {0.0}
    assert {estimate.standard_error for estimate in quality.difference(found, found).values()} == {0.0}
    with pytest.raises(KvaeError, match="num_samples"):
        quality.difference(found, sample_quality(bundle, SMALL, 300, seed=3))


@pytest.mark.parametrize("count", [0, -1, 99, 100_001, True])
def test_too_few_or_too_many_samples_are_an_error(bundle, count):
    with pytest.raises(KvaeError, match="between 100 and 100,000"):
        sample_quality(bundle, SMALL, count)


def test_more_features_than_images_are_an_error(bundle):
    few = replace(SMALL, test=Split(MINI.test.images[:100], MINI.test.labels[:100]))
    extractor = extractors.shipped_for(MINI)
    wide = replace(extractor, compute=lambda images, labels: extractors.Computed(images.reshape(len(images), -1), None))
    with pytest.raises(KvaeError, match="above that of the features, 784; got 500"):
        sample_quality(bundle, SMALL, 500, features=wide)
    with pytest.raises(DataError, match="more test images than features, 784; the data set has 100"):
        sample_quality(bundle, few, 800, features=wide)
    with pytest.raises(DataError, match="at least 100 test images; the data set has 50"):
        sample_quality(bundle, replace(SMALL, test=Split(MINI.test.images[:50], None)), 800)


def test_images_of_another_shape_are_an_error(bundle):
    small = replace(MINI, train=Split(MINI.train.images[:, :14], MINI.train.labels))
    with pytest.raises(DataError, match=r"\[28, 28, 1\]"):
        sample_quality(bundle, small, 500)


def test_without_a_classifier_it_is_the_model_s_own_encoder(bundle):
    others = replace(SMALL, name="others", sha256="0" * 64)
    found = sample_quality(bundle, others, 200)
    assert (found.kind, found.features_sha256, found.classes) == ("code", None, None)
    assert found.num_features == bundle.manifest.latent_dim
    with pytest.raises(KvaeError, match="features_sha256"):
        quality.difference(found, found)
    assert choose_features(bundle, others).about == found.features


def test_samples_under_the_cross_entropy_cover_less_than_under_the_kl():
    """Samples 0 to 299 of seed 0 of the models of docs/why-kl.md."""
    extractor = extractors.shipped_for(MINI)
    with np.load(Path(__file__).parent / "why_kl_samples.npz") as samples:
        sets = [samples["kl"], samples["cross_entropy"], MINI.test.images]
    kl, cross_entropy, test = (
        extractor.compute(pictures.to_float32(images), None).features.astype(np.float64) for images in sets
    )
    better, worse = prior_samples.between(kl, test), prior_samples.between(cross_entropy, test)
    for name in ("density", "coverage"):
        found = (better[name] - worse[name]).estimate()
        assert found.value > 2 * found.standard_error, name
