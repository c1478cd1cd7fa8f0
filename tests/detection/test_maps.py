"""The map of an image's nats: it sums to the distortion of `kvae score`, for every kind of model."""

import numpy as np
import pytest
from gaussian_family import KINDS, LABELS, SCALE, SHAPE, has_labels, images, write

from kvae.bundle import locate
from kvae.data.images import open_images
from kvae.detection import maps
from kvae.errors import KvaeError
from kvae.runtime import Bundle, scoring


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    return {kind: Bundle.open(write(folder / kind, kind), device="cpu") for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_map_sums_to_the_distortion(bundles, kind):
    """With as many images as need several groups, and of a conditional model also with the best label."""
    pixels, labels = images(kind, 60)
    pixels = pixels / np.float32(255)
    for label in (labels, "best") if has_labels(kind) else (None,):
        found = maps.nats(bundles[kind], pixels, label)
        assert found.shape == (60, *SHAPE[:2])
        expected = scoring.score(bundles[kind], pixels, label=label).distortion
        np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, rtol=1e-5, atol=1e-5)


def test_a_map_is_the_mean_of_each_pixel_s_own_nats(bundles):
    """By numpy: the posterior's draws decoded one by one, and the normal density of each pixel under each."""
    bundle = bundles["affine"]
    pixels = images("affine", 3)[0] / np.float32(255)
    from kvae.bundle import noise

    epsilon = noise.standard_normal(scoring.SEED, 0, scoring.DRAWS, 3)
    loc, scale = bundle.encode(pixels)
    total = np.zeros(pixels.shape)
    for row in epsilon:
        mean = bundle.run("decoder", {"z": loc + scale * row})["likelihood_parameters"][..., :1].astype(float)
        total += 0.5 * ((pixels - mean) / SCALE) ** 2 + np.log(SCALE) + 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(maps.nats(bundle, pixels), total.sum(axis=-1) / len(epsilon), rtol=1e-4)


def test_the_shipped_model_finds_a_spot():
    """A white square on a black image costs its nats where it is."""
    bundle = Bundle.open(locate.shipped()["fashion_mnist_small"])
    image = np.zeros((1, 28, 28, 1), np.float32)
    image[0, 2:5, 20:23] = 1.0
    (found,) = maps.nats(bundle, image)
    assert found[2:5, 20:23].mean() > 5 * found[8:, :18].mean()
    assert found.sum() == pytest.approx(scoring.score(bundle, image).distortion[0], rel=1e-5)


@pytest.mark.parametrize("kind", ["affine", "labels"])
def test_maps_are_written_with_names(bundles, kind, tmp_path, monkeypatch):
    """In batches, with the labels of the images."""
    monkeypatch.setattr("kvae.data.image_files.BATCH", 7)
    pixels, labels = images(kind, 20)
    np.save(tmp_path / "a.npy", pixels)
    source = open_images([tmp_path / "a.npy"], SHAPE)
    known = labels if has_labels(kind) else None
    maps.write(bundles[kind], source, source.batches(), tmp_path / "maps.npz", known)
    with np.load(tmp_path / "maps.npz") as found:
        assert found["names"].tolist() == [f"{tmp_path / 'a.npy'}[{index}]" for index in range(20)]
        assert found["maps"].dtype == np.float32
        expected = maps.nats(bundles[kind], pixels / np.float32(255), known)
        np.testing.assert_allclose(found["maps"], expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(KvaeError, match="must end in .npz"):
        maps.write(bundles[kind], source, source.batches(), tmp_path / "maps.npy", known)


def test_a_label_is_needed_where_the_model_has_labels(bundles):
    pixels = images("labels", 2)[0] / np.float32(255)
    with pytest.raises(KvaeError, match=LABELS[0]):
        maps.nats(bundles["labels"], pixels)
