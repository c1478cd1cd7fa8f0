"""Samples in files: each format read back by its own library, and targets that cannot be written."""

import numpy as np
import pytest
from PIL import Image
from tiny import IMAGE_SHAPE, random_images

from kvae.errors import KvaeError
from kvae.files import output, pictures

IMAGES = random_images(10)
SHAPE = list(IMAGE_SHAPE)


def write(path):
    output.write(iter([IMAGES[:7], IMAGES[7:]]), 10, list(IMAGE_SHAPE), path)


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_npy_and_npz_hold_the_floats(tmp_path):
    write(tmp_path / "a.npy")
    write(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as archive:
        arrays = [np.load(tmp_path / "a.npy"), archive["images"]]
    for array in arrays:
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, IMAGES)


def test_png_is_the_grid(tmp_path):
    write(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.asarray(pictures.grid(IMAGES)))


def test_a_folder_holds_one_png_per_image_and_none_from_an_earlier_call(tmp_path):
    write(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png"))[-1] == "000009.png"
    np.testing.assert_array_equal(read(tmp_path / "out" / "000003.png"), pictures.to_uint8(IMAGES[3, ..., 0]))
    output.write([IMAGES[:2]], 2, list(IMAGE_SHAPE), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


@pytest.mark.parametrize("name", ["holiday.png", "000000.png"])
def test_a_user_s_folder_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(KvaeError, match="is not a folder that kvae sample wrote"):
        write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_of_samples_with_something_added_is_left_alone(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("")
    with pytest.raises(KvaeError, match="is not a folder that kvae sample wrote"):
        write(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 10


def test_a_folder_of_samples_with_a_changed_picture_is_left_alone(tmp_path):
    write(tmp_path / "out")
    (tmp_path / "out" / "000003.png").write_text("mine")
    with pytest.raises(KvaeError, match="is not a folder that kvae sample wrote"):
        write(tmp_path / "out")
    assert (tmp_path / "out" / "000003.png").read_text() == "mine"


RECONSTRUCTED = [(IMAGES[:4], IMAGES[1:5], ["a", "b", "c", "dd"]), (IMAGES[4:6], IMAGES[5:7], ["e", "f"])]


def test_reconstructions_have_the_names_of_their_originals(tmp_path):
    """Six of ten images, because four could not be read."""
    for name in ("a.npz", "out", "a.png"):
        output.write_reconstructions(iter(RECONSTRUCTED), 10, list(IMAGE_SHAPE), tmp_path / name, 2)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive["names"].tolist() == ["a", "b", "c", "dd", "e", "f"]
        np.testing.assert_array_equal(archive["images"], IMAGES[1:7])
    rows = (tmp_path / "out" / output.NAMES).read_text().splitlines()
    assert rows[0] == "file,image"
    assert rows[4:6] == ["000003.png,dd", "000004.png,e"]
    assert len(list((tmp_path / "out").glob("*.png"))) == 6
    expected = pictures.reconstructions(IMAGES[:6], IMAGES[1:7], 16)
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.asarray(expected))
    output.write_reconstructions(iter(RECONSTRUCTED), 10, list(IMAGE_SHAPE), tmp_path / "out", 2)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_more_than_the_disk_holds_is_refused_at_once(tmp_path, name):
    with pytest.raises(KvaeError, match="the disk has"):
        output.write(iter([]), 10**15, list(IMAGE_SHAPE), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "message"), [("a.jpg", "must end in .png"), ("folder.png", "is a folder")])
def test_targets_that_cannot_be_written(tmp_path, name, message):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(KvaeError, match=message):
        write(tmp_path / name)


def test_a_failure_half_way_leaves_no_files(tmp_path):
    def batches():
        yield IMAGES[:7]
        raise KvaeError("the GPU fell out")

    for name in ("a.npy", "a.npz", "a.png", "folder"):
        with pytest.raises(KvaeError, match="fell out"):
            output.write(batches(), 10, list(IMAGE_SHAPE), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_grid_has_a_limit(tmp_path):
    with pytest.raises(KvaeError, match="at most 10000 images"):
        output.write(iter([]), 10_001, list(IMAGE_SHAPE), tmp_path / "a.png")


def test_bytes_are_written_exactly(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3)).astype(np.uint8)
    output.write_exactly([images[:2], images[2:]], 5, [4, 6, 3], tmp_path / "a.npy")
    found = np.load(tmp_path / "a.npy")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, images)
    output.write_exactly([images], 5, [4, 6, 3], tmp_path / "pngs")
    with Image.open(tmp_path / "pngs" / "000003.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), images[3])
    for name in ("a.png", "a.npz", "a.txt"):
        with pytest.raises(KvaeError, match=".npy"):
            output.write_exactly([images], 5, [4, 6, 3], tmp_path / name)


@pytest.mark.parametrize("scale", [1, 3])
def test_pictures_are_enlarged_by_whole_pixels(tmp_path, scale):
    output.write([IMAGES], len(IMAGES), SHAPE, tmp_path / "plain")
    output.write([IMAGES], len(IMAGES), SHAPE, tmp_path / "large", scale=scale)
    for path in (tmp_path / "plain").glob("*.png"):
        squares = read(tmp_path / "large" / path.name)[::scale, ::scale]
        np.testing.assert_array_equal(squares, read(path))
        assert read(tmp_path / "large" / path.name).shape[0] == scale * SHAPE[0]
    output.write([IMAGES], len(IMAGES), SHAPE, tmp_path / "a.png", scale=scale)
    columns = int(np.ceil(np.sqrt(len(IMAGES))))
    assert read(tmp_path / "a.png").shape[1] == scale * (columns * (SHAPE[1] + pictures.GAP) + pictures.GAP)


@pytest.mark.parametrize(
    ("name", "scale", "message"),
    [("a.npy", 2, "numbers"), ("a.npz", 1, "numbers"), ("a.png", 0, "from 1 to"), ("folder", 10**4, "from 1 to")],
)
def test_enlargements_that_cannot_be(tmp_path, name, scale, message):
    with pytest.raises(KvaeError, match=message):
        output.write([IMAGES], len(IMAGES), SHAPE, tmp_path / name, scale=scale)
    assert not list(tmp_path.iterdir())


def test_a_strip_and_rows_may_not_be_larger_than_a_picture_can_be(tmp_path):
    images = np.zeros((1000, 8, 8, 1), np.float32)
    for more in ({"columns": 1000}, {"rows": ["all"]}, {"columns": 1}):
        with pytest.raises(KvaeError, match="from 1 to 1 "):
            output.write([images], 1000, SHAPE, tmp_path / "a.png", scale=2, **more)
    output.write([images], 1000, SHAPE, tmp_path / "a.png", scale=2)
    assert read(tmp_path / "a.png").shape[1] <= output.MAX_SIDE
