"""The real images on an explorer's page: whose they are, their codes, and the plane of the codes."""

import base64
from dataclasses import replace

import numpy as np
import pytest
from programs import ROOT
from tiny import DATASET, make_vae

from kvae.data import datasets
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.explorer import real_images
from kvae.export.bundles import export
from kvae.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def test_split():
    data = datasets.load("fashion_mnist_mini")
    return held_out(data, "test", False), held_out_labels(data, "test")


@pytest.fixture(scope="module")
def conditional():
    return Bundle.open(ROOT / "exported" / "fashion_mnist_small", device="cpu", threads=1)


@pytest.fixture(scope="module")
def found(conditional):
    return real_images.of(conditional)


def images_of(found):
    return np.frombuffer(base64.b64decode(found["images"]), np.uint8).reshape(-1, 28, 28, 1)


def test_there_is_one_of_each_class_and_then_a_second(found, test_split):
    images, labels = test_split
    shown = images_of(found)
    assert found["labels"] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    expected = [
        *(np.flatnonzero(labels == label)[0] for label in range(10)),
        *(np.flatnonzero(labels == label)[1] for label in (0, 1)),
    ]
    assert (shown == images[expected]).all()
    assert (found["source"], found["licence"], found["names"][8]) == ("fashion_mnist_mini", "mit", "Bag")


def test_codes_are_the_means_of_the_posteriors(found, conditional):
    given = None if conditional.manifest.labels is None else np.array(found["labels"])
    posterior = conditional.encode(images_of(found) / np.float32(255), given)
    assert np.array(found["codes"], np.float32) == pytest.approx(posterior.loc, abs=1e-5)


def test_the_plane_is_that_of_the_largest_spread(found, conditional, test_split):
    """Its points have the variances of the two largest eigenvalues of the codes' covariance, and no correlation."""
    images, labels = (part[: real_images.NUM_CODES] for part in test_split)
    given = None if conditional.manifest.labels is None else labels
    loc = conditional.encode(images / np.float32(255), given).loc.astype(np.float64)
    plane = found["map"]
    axes, points = np.array(plane["axes"]), np.array(plane["points"])
    assert axes @ axes.T == pytest.approx(np.eye(2), abs=1e-6)
    assert points == pytest.approx((loc - loc.mean(0)) @ axes.T, abs=0.01)
    largest = np.linalg.eigvalsh(np.cov(loc, rowvar=False))[:-3:-1]
    assert np.cov(points, rowvar=False) == pytest.approx(np.diag(largest), rel=0.01, abs=0.01)
    assert plane["labels"] == labels.tolist()


def test_a_model_of_bits_gets_bits(tmp_path):
    export(make_vae((28, 28, 1), latent_dim=2), tmp_path / "b", dataset=DATASET, binarize="dynamic")
    bundle = Bundle.open(tmp_path / "b", device="cpu", threads=1)
    found = real_images.of(bundle)
    assert set(np.unique(images_of(found))) == {0, 255}
    assert bundle.manifest.labels is None and found["labels"][:3] == [0, 1, 2]


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset": {"name": "holidays", "sha256": "0" * 64, "num_images": 9}},
        {"dataset": {"name": "mnist", "sha256": "0" * 64, "num_images": 9}},
        {"labels": ["a", "b"]},
        {"image_shape": [14, 14, 1]},
    ],
)
def test_where_none_can_be_shown_there_are_none(conditional, monkeypatch, changes):
    """A user's own images, a data set that is not on this machine, other classes, and another size."""
    monkeypatch.setattr(datasets, "cache_dir", lambda: ROOT / "nowhere")
    bundle = Bundle.open(ROOT / "exported" / "fashion_mnist_small", device="cpu", threads=1)
    bundle.manifest = replace(bundle.manifest, **changes)
    assert real_images.of(bundle) is None
