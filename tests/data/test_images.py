"""A user's images: every kind of file gives the same pixels, and the error names a file that does not fit."""

import gzip
import os

import numpy as np
import pytest
from PIL import Image

from kvae.data import images
from kvae.errors import DataError
from kvae.files import idx

GREY = np.random.default_rng(0).integers(0, 256, (5, 6, 4, 1), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (3, 6, 4, 3), np.uint8)


def load(*paths, shape=(6, 4, 1), resize=False):
    return np.concatenate([batch.images for batch in images.open_images(paths, shape, resize).batches()])


def save(path, pixels, **settings):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, **settings)
    return path


@pytest.fixture
def sources(tmp_path):
    """The same grey images in every kind of file."""
    for index, pixels in enumerate(GREY):
        save(tmp_path / "folder" / f"{index}.png", pixels)
    (tmp_path / "folder" / "notes.txt").write_text("no picture")
    save(tmp_path / "folder" / ".hidden.png", GREY[0])
    np.save(tmp_path / "bytes.npy", GREY)
    np.save(tmp_path / "flat.npy", GREY[..., 0])
    np.save(tmp_path / "floats.npy", GREY.astype(np.float64) / 255)
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.arange(5))
    (tmp_path / "images-idx3-ubyte").write_bytes(idx.to_bytes(GREY[..., 0]))
    (tmp_path / "images.idx.gz").write_bytes(gzip.compress(idx.to_bytes(GREY[..., 0])))
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["folder", "bytes.npy", "flat.npy", "floats.npy", "a.npz", "images-idx3-ubyte", "images.idx.gz"],
)
def test_every_kind_of_file_gives_the_same_pixels(sources, name):
    np.testing.assert_allclose(load(sources / name), GREY / 255, rtol=1e-6)


def test_names_have_the_file_and_the_index_in_it(sources):
    found = images.open_images([sources / "folder", sources / "a.npz"], (6, 4, 1))
    (batch,) = found.batches()
    assert batch.names == [str(sources / "folder" / f"{index}.png") for index in range(5)] + [
        f"{sources / 'a.npz'}[{index}]" for index in range(5)
    ]
    assert (found.count, found.longest_name) == (10, max(map(len, batch.names)))
    assert [batch.names for batch in found.batches()] == [batch.names]  # a second time


def test_sub_folders_are_read_in_order(tmp_path):
    for name in ("b/0.png", "a/1.PNG", "a/0.jpeg"):
        save(tmp_path / name, GREY[0], format="PNG")
    names = next(images.open_images([tmp_path], (6, 4, 1)).batches()).names
    assert names == [str(tmp_path / name) for name in ("a/0.jpeg", "a/1.PNG", "b/0.png")]


def test_many_images_come_in_bounded_batches(tmp_path):
    many = np.random.default_rng(2).integers(0, 256, (5000, 6, 4, 1), np.uint8)
    np.save(tmp_path / "many.npy", many)
    save(tmp_path / "one.png", GREY[0])
    found = images.open_images([tmp_path / "one.png", tmp_path / "many.npy"], (6, 4, 1))
    sizes = [len(batch.names) for batch in found.batches()]
    assert sum(sizes) == found.count == 5001
    assert max(sizes) <= 2 * images.BATCH
    np.testing.assert_allclose(load(tmp_path / "many.npy"), many / 255, rtol=1e-6)


def test_batches_of_large_images_hold_fewer(tmp_path, monkeypatch):
    """Both the bytes of the model's images and those of the file's are limited."""
    monkeypatch.setattr(images, "BATCH_BYTES", 4 * 50 * 40 * 3)
    np.save(tmp_path / "large.npy", np.zeros((10, 50, 40), np.uint8))
    found = images.open_images([tmp_path / "large.npy"], (50, 40, 1))
    assert [len(batch.names) for batch in found.batches()] == [3, 3, 3, 1]
    (part,) = images.open_images([tmp_path / "large.npy"], (6, 4, 1), resize=True).parts
    assert [len(chunk) for chunk in part.chunks()] == [3, 3, 3, 1]


def test_suffixes_may_be_in_any_case(tmp_path):
    with (tmp_path / "A.NPY").open("wb") as file:
        np.save(file, GREY)
    np.testing.assert_allclose(load(tmp_path / "A.NPY"), GREY / 255, rtol=1e-6)


def test_colour_and_bits(tmp_path):
    save(tmp_path / "a.png", COLOUR[0])
    np.testing.assert_allclose(load(tmp_path / "a.png", shape=(6, 4, 3))[0], COLOUR[0] / 255, rtol=1e-6)
    np.save(tmp_path / "bits.npy", GREY > 100)
    np.testing.assert_array_equal(load(tmp_path / "bits.npy"), GREY > 100)
    Image.fromarray(GREY[0, ..., 0] > 100).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(load(tmp_path / "bits.png")[0], GREY[0] > 100)
    Image.fromarray(COLOUR[0]).quantize(256).save(tmp_path / "palette.png")
    assert load(tmp_path / "palette.png", shape=(6, 4, 3)).shape == (1, 6, 4, 3)


def test_resizing_equals_pillow_s(tmp_path):
    """A picture and an array are centre-cropped, resized and converted to the model's channels alike."""
    save(tmp_path / "a.png", COLOUR[0])
    np.save(tmp_path / "a.npy", COLOUR[:1])
    # 4 x 6 pixels; the middle 4 x 2.5 has the aspect ratio of 8 x 5.
    grey = Image.fromarray(COLOUR[0]).convert("L")
    expected = np.asarray(grey.resize((8, 5), Image.Resampling.LANCZOS, box=(0, 1.75, 4, 4.25))) / 255
    for name in ("a.png", "a.npy"):
        np.testing.assert_allclose(load(tmp_path / name, shape=(5, 8, 1), resize=True)[0, ..., 0], expected, rtol=1e-6)


def test_a_photograph_is_rotated_as_it_should_be_seen(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    save(tmp_path / "a.png", GREY[0], exif=exif)
    for resize in (True, False):
        np.testing.assert_allclose(load(tmp_path / "a.png", resize=resize)[0], GREY[0, ::-1, ::-1] / 255, rtol=1e-6)


def test_the_error_names_a_file_that_does_not_fit(tmp_path):
    for name, array in {
        "integers": GREY.astype(np.int64),
        "large": GREY.astype(np.float32),
        "nan": np.full((2, 6, 4), np.nan),
        "wide": GREY.reshape(5, 4, 6, 1),
        "single": GREY[0, ..., 0],
        "channels": np.zeros((2, 6, 4, 5), np.uint8),
        "flat": np.zeros((2, 0, 4), np.uint8),
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    np.lib.format.open_memmap(tmp_path / "pixels.npy", "w+", np.uint8, (2, 20000, 20000))
    save(tmp_path / "wide.png", GREY[0].reshape(4, 6, 1))
    save(tmp_path / "colour.png", COLOUR[0])
    Image.fromarray(GREY[0, ..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    frames = [Image.fromarray(pixels[..., 0]) for pixels in GREY]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut-idx3-ubyte").write_bytes(idx.to_bytes(GREY[..., 0])[:-5])
    (tmp_path / "labels-idx1-ubyte").write_bytes(idx.to_bytes(np.arange(5, dtype=np.uint8)))
    (tmp_path / "text.gz").write_text("hello")
    for name, message in {
        "integers.npy": "holds int64; expected uint8, or floats in",
        "large.npy": r"holds numbers between .* floats must be in \[0, 1\]",
        "nan.npy": "holds numbers between nan and nan",
        "wide.npy": r"holds images of \(4, 6, 1\); the model takes n x 6 x 4 x 1.* --resize",
        "single.npy": r"has shape \(6, 4\); expected n x 6 x 4 x 1",
        "channels.npy": r"holds images of \(6, 4, 5\); the model takes n x 6 x 4 x 1.$",
        "wide.png": r"picture of 4 x 6 \(height x width\), grey; the model takes 6 x 4 .*, grey.* --resize",
        "colour.png": r"6 x 4 \(height x width\), RGB; .* grey.* --resize",
        "deep.png": "more than 8 bits",
        "moving.gif": "is animated",
        "text.png": "it is not a picture",
        "empty.png": "it is empty",
        "empty": "holds no pictures",
        "cut-idx3-ubyte": r"is cut short: .* shape \(5, 6, 4\)",
        "pixels.npy": r"holds images of \(20000, 20000, 1\), .* too many pixels",
        "flat.npy": r"holds no numbers: its shape is \(2, 0, 4\)",
        "labels-idx1-ubyte": r"has shape \(5,\); expected n x 6 x 4 x 1",
        "text.gz": "damaged: Not a gzipped file",
        "missing.png": "cannot be read: No such file",
    }.items():
        with pytest.raises(DataError, match=message) as caught:
            load(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name)), name


def test_a_picture_cut_short_is_named(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (60, 40, 1), np.uint8)
    content = save(tmp_path / "a.png", pixels).read_bytes()
    for length in (40, len(content) // 2, len(content) * 9 // 10):
        (tmp_path / "a.png").write_bytes(content[:length])
        with pytest.raises(DataError, match="a.png: it (cannot be read|is damaged|is not a picture)"):
            load(tmp_path / "a.png", shape=(60, 40, 1))


def test_an_image_of_an_array_may_not_be_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_ARRAY_BYTES", 6 * 4 * 8 - 1)
    np.save(tmp_path / "a.npy", np.zeros((2, 6, 4)))
    with pytest.raises(DataError, match=r"holds images of \(6, 4, 1\), .* too many pixels"):
        load(tmp_path / "a.npy")


def test_a_model_with_other_channels_takes_only_arrays(tmp_path):
    save(tmp_path / "a.png", GREY[0])
    np.save(tmp_path / "a.npy", np.zeros((2, 6, 4, 5), np.uint8))
    assert load(tmp_path / "a.npy", shape=(6, 4, 5)).shape == (2, 6, 4, 5)
    with pytest.raises(DataError, match=r"have 5 channels; .*\.npy"):
        load(tmp_path / "a.png", shape=(6, 4, 5))


def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="pipe.png cannot be read: it is not a regular file"):
        load(tmp_path / "pipe.png")


def test_open_image_takes_a_file_with_one_image(tmp_path):
    save(tmp_path / "a.png", GREY[0])
    np.save(tmp_path / "a.npy", GREY)
    np.testing.assert_allclose(images.open_image(tmp_path / "a.png", (6, 4, 1))[0], GREY[0] / 255, rtol=1e-6)
    with pytest.raises(DataError, match="holds 5 images"):
        images.open_image(tmp_path / "a.npy", (6, 4, 1))
