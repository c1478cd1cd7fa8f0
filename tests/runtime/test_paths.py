"""Paths through the latent space: straight lines between codes, and one dimension at a time."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from kvae.errors import KvaeError
from kvae.runtime import paths
from kvae.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def bundle(bundle_path):
    return Bundle.open(bundle_path)


def knowing(bundle, rate):
    """The bundle's manifest, with these rates."""
    zeros = [0.0] * len(rate)
    posterior = {"num_images": 1, "loc_mean": zeros, "loc_std": zeros, "scale_mean": zeros, "rate": rate}
    return replace(bundle.manifest, posterior=posterior)


def test_a_line_between_codes_is_straight_and_includes_both_ends():
    one, other = np.array([0, 10, -4], np.float32), np.array([8, 10, 4], np.float32)
    found = paths.interpolate(one, other, 5, "line")
    np.testing.assert_array_equal(found, [[0, 10, -4], [2, 10, -2], [4, 10, 0], [6, 10, 2], [8, 10, 4]])


def test_a_great_circle_turns_evenly_and_keeps_the_distance_from_0():
    found = paths.interpolate(np.array([3, 0], np.float32), np.array([0, 3], np.float32), 4, "sphere")
    angles = np.deg2rad([0, 30, 60, 90])
    np.testing.assert_allclose(found, 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1), atol=1e-6)


@pytest.mark.parametrize("degrees", [1, 60, 90, 179])
def test_a_great_circle_turns_evenly_while_the_distance_from_0_changes_evenly(degrees):
    turned = np.deg2rad(degrees)
    ends = np.array([2, 0], np.float32), 6 * np.array([np.cos(turned), np.sin(turned)], np.float32)
    found = paths.interpolate(*ends, 5, "sphere")
    angles = np.arctan2(found[:, 1], found[:, 0])
    np.testing.assert_allclose(angles, np.linspace(0, turned, 5), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [2, 3, 4, 5, 6], rtol=1e-5)
    np.testing.assert_allclose(found[[0, -1]], ends, atol=1e-5)


@pytest.mark.parametrize("other", [[2, 4], [-1, -2], [0, 0], [1, 2]])
def test_where_there_is_no_great_circle_the_way_is_straight(other):
    ends = np.array([1, 2], np.float32), np.array(other, np.float32)
    for one, last in (ends, ends[::-1]):
        np.testing.assert_allclose(
            paths.interpolate(one, last, 5, "sphere"), paths.interpolate(one, last, 5, "line"), atol=1e-6
        )


def test_no_other_path():
    with pytest.raises(KvaeError, match="sphere, line"):
        paths.interpolate(np.zeros(2, np.float32), np.ones(2, np.float32), 3, "spline")


def test_dimensions_are_ordered_by_rate_without_unused_ones(bundle):
    assert paths.dimensions(bundle.manifest) == [0, 1, 2]
    assert paths.dimensions(knowing(bundle, [0.5, 0.001, 2.0])) == [2, 0]
    assert paths.dimensions(knowing(bundle, [0.001, 0.002, 0.0])) == [0, 1, 2]  # a collapsed model


def test_a_traversal_varies_one_dimension_and_no_other(bundle):
    z = np.array([0.5, -1.0, 2.0], np.float32)
    found = paths.traverse(bundle, z, [2, 0], steps=3, reach=1.5)
    for row, dimension in zip(found, (2, 0), strict=True):
        for image, value in zip(row, (-1.5, 0.0, 1.5), strict=True):
            code = z.copy()
            code[dimension] = value
            np.testing.assert_allclose(image, bundle.decode(code[None])[0], atol=1e-6)


def test_a_drawn_traversal_has_a_row_per_dimension(bundle, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for image in (None, tmp_path / "a.png"):
        assert paths.draw_traversal(bundle, image, 5, 3.0, tmp_path / "t.png", False) == [0, 1, 2]
        with Image.open(tmp_path / "t.png") as picture:
            assert picture.width > 5 * 56 and picture.height > 3 * 56


def test_the_ends_of_a_path_are_the_codes_of_the_images(bundle, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 1), np.uint8)
    for index, image in enumerate(pixels):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{index}.png")
    found = paths.ends(bundle, tmp_path / "0.png", tmp_path / "1.png")
    np.testing.assert_allclose(found, bundle.encode(pixels / 255).loc, atol=1e-6)


@pytest.mark.parametrize("steps", [-1, 1, 1001])
def test_steps_out_of_range(bundle, steps):
    with pytest.raises(KvaeError, match="steps must be between 2 and 1000"):
        paths.interpolate(np.zeros(3, np.float32), np.zeros(3, np.float32), steps)
    with pytest.raises(KvaeError, match="steps must be between 2 and 1000"):
        paths.traverse(bundle, np.zeros(3, np.float32), [0], steps, 3.0)


def test_more_images_than_a_grid_holds_are_refused(bundle):
    with pytest.raises(KvaeError, match="1000 steps of 11 dimensions are more than 10000 images"):
        paths.traverse(bundle, np.zeros(3, np.float32), [0] * 11, 1000, 3.0)


@pytest.mark.parametrize("reach", [0.0, -1.0, float("nan"), float("inf")])
def test_a_reach_out_of_range(bundle, reach):
    with pytest.raises(KvaeError, match="reach must be above 0"):
        paths.traverse(bundle, np.zeros(3, np.float32), [0], 3, reach)


def test_a_traversal_is_a_png(bundle, tmp_path):
    with pytest.raises(KvaeError, match="must end in .png"):
        paths.draw_traversal(bundle, None, 5, 3.0, tmp_path / "t.npy", False)
