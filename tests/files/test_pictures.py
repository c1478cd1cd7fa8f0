"""Pictures: rounding, grids and channels."""

import numpy as np
import pytest
from PIL import Image
from tiny import random_images

from kvae.errors import KvaeError
from kvae.files import pictures


def test_floats_are_rounded_and_clipped():
    values = np.array([-0.1, 0.0, 0.5 / 255, 0.6 / 255, 0.5, 1.0, 1.7])
    np.testing.assert_array_equal(pictures.to_uint8(values), [0, 0, 0, 1, 128, 255, 255])


def test_64_images_make_8_by_8_with_gaps():
    images = random_images(64, (28, 28, 1))
    canvas = np.asarray(pictures.grid(images))
    assert canvas.shape == (968, 968)  # (8 * 30 + 2) pixels, four times as large
    row, column = 3, 5
    cell = canvas[4 * (2 + 30 * row) :: 4, 4 * (2 + 30 * column) :: 4][:28, :28]
    np.testing.assert_array_equal(cell, pictures.to_uint8(images[row * 8 + column, ..., 0]))
    assert (canvas[:8] == 255).all()


@pytest.mark.parametrize(("n", "side"), [(256, 4 * (16 * 30 + 2)), (257, 2 * (17 * 30 + 2))])
def test_many_images_are_smaller_in_a_grid(n, side):
    assert pictures.grid(np.zeros((n, 28, 28, 1), np.uint8)).size == (side, side - (n == 257) * 2 * 30)


def test_an_unfinished_row_is_white_and_columns_can_be_set():
    canvas = np.asarray(pictures.grid(np.zeros((5, 112, 112, 3), np.uint8), columns=3))
    assert canvas.shape == (2 * 114 + 2, 3 * 114 + 2, 3)
    assert (canvas[116:, 2 * 114 + 2 :] == 255).all()


def test_only_grey_and_rgb_are_pictures():
    assert pictures.picture(np.zeros((2, 2, 1))).mode == "L"
    assert pictures.picture(np.zeros((2, 2, 3))).mode == "RGB"
    with pytest.raises(KvaeError, match="1 or 3 channels.* these images have 2"):
        pictures.picture(np.zeros((2, 2, 2)))


def test_a_png_is_written_whatever_the_name(tmp_path):
    pictures.save(pictures.picture(np.ones((2, 2, 1))), tmp_path / "a.tmp")
    with Image.open(tmp_path / "a.tmp") as picture:
        assert picture.format == "PNG"


def test_each_original_is_above_its_reconstruction():
    """Five images in rows of two: two full rows of pairs, and the fifth pair next to white."""
    originals = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1).repeat(112, axis=1).repeat(112, axis=2) * 10
    picture = np.asarray(pictures.reconstructions(originals, originals + 1, columns=2))
    middles = picture[2 + 56 :: 114, 2 + 56 :: 114]
    np.testing.assert_array_equal(middles, [[0, 10], [1, 11], [20, 30], [21, 31], [40, 255], [41, 255]])


def test_a_labelled_grid_is_the_grid_with_labels_around_it():
    images = np.random.default_rng(0).random((2, 3, 112, 100, 1))
    picture = pictures.labelled_grid(images, ["z1", "z22  1.50 nats"], ["-1", "0", "+1"])
    inner = np.asarray(pictures.grid(images.reshape(6, 112, 100, 1), 3).convert("RGB"))
    pixels = np.asarray(picture)
    left, top = pixels.shape[1] - inner.shape[1], pixels.shape[0] - inner.shape[0]
    np.testing.assert_array_equal(pixels[top:, left:], inner)
    for part in (pixels[top : top + 114, :left], pixels[top + 114 :, :left], pixels[:top, left:]):
        assert part.min() < 50 and np.median(part) == 255  # dark letters on white


def test_floats_are_bytes_over_255():
    found = pictures.to_float32(np.array([0, 51, 255], np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0, 0.2, 1], rtol=1e-7)
