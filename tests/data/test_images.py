"""A user's images: every kind of file gives the same pixels, and the error names a file that does not fit."""

import gzip
import os
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from kvae.config import TrainConfig
from kvae.data import image_files, images, preparation
from kvae.data.sources import open_source
from kvae.errors import DataError
from kvae.files import idx
from kvae.files.reading import PLAIN, Reading

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
    assert max(sizes) <= 2 * image_files.BATCH
    np.testing.assert_allclose(load(tmp_path / "many.npy"), many / 255, rtol=1e-6)


def test_batches_of_large_images_hold_fewer(tmp_path, monkeypatch):
    """Both the bytes of the model's images and those of the file's are limited."""
    monkeypatch.setattr(image_files, "BATCH_BYTES", 4 * 50 * 40 * 3)
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
        "large.npy": r"holds floats from .* to 248, outside \[0, 1\]: use x / 255",
        "nan.npy": "holds NaN or infinity",
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
    monkeypatch.setattr(image_files, "MAX_ARRAY_BYTES", 6 * 4 * 8 - 1)
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


def test_open_image_for_takes_a_file_with_one_image(tmp_path):
    manifest = SimpleNamespace(image_shape=[6, 4, 1], training={})
    save(tmp_path / "a.png", GREY[0])
    np.save(tmp_path / "a.npy", GREY)
    np.testing.assert_allclose(images.open_image_for(manifest, tmp_path / "a.png")[0], GREY[0] / 255, rtol=1e-6)
    with pytest.raises(DataError, match="holds 5 images"):
        images.open_image_for(manifest, tmp_path / "a.npy")


def test_rows_of_a_table_are_read_by_a_model_of_tables(tmp_path):
    rows = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", rows)
    np.testing.assert_array_equal(load(tmp_path / "x.npy", shape=(1, 7, 1)), rows[:, None, :, None])
    save(tmp_path / "a.png", GREY[0])
    for name, shape, message in (
        ("x.npy", (1, 8, 1), r"holds images of \(1, 7, 1\); the model takes n x 1 x 8 x 1.$"),
        ("x.npy", (6, 4, 1), r"has shape \(5, 7\); expected n x 6 x 4 x 1.$"),
        ("a.png", (1, 7, 1), "rows of a table, 7 values each; use a .npy"),
    ):
        for resize in (False, True):
            with pytest.raises(DataError, match=message):
                load(tmp_path / name, shape=shape, resize=resize)


@pytest.mark.parametrize(
    ("array", "shape", "advice"),
    [
        (np.zeros((5, 1, 6, 4), np.uint8), (6, 4, 1), r"channels first: transpose with np.moveaxis\(x, 1, -1\)"),
        (np.zeros((5, 3, 6, 4), np.uint8), (6, 4, 3), "channels first"),
        (np.zeros((6, 4, 3), np.uint8), (6, 4, 3), r"one image: add an axis with x\[None\]"),
        (np.zeros((5, 24), np.uint8), (6, 4, 1), r"flat: restore them with x.reshape\(-1, 6, 4, 1\)"),
    ],
)
def test_a_likely_mistake_in_the_shape_is_named_and_never_resized(tmp_path, array, shape, advice):
    np.save(tmp_path / "x.npy", array)
    for resize in (False, True):
        with pytest.raises(DataError, match=advice):
            load(tmp_path / "x.npy", shape=shape, resize=resize)


def test_an_archive_s_images_may_have_other_names_but_not_splits(tmp_path):
    np.savez(tmp_path / "a.npz", x=GREY, y=np.arange(5))
    np.testing.assert_allclose(load(tmp_path / "a.npz"), GREY / 255, rtol=1e-6)
    np.savez(tmp_path / "b.npz", x_train=GREY, x_test=GREY)
    with pytest.raises(DataError, match="holds splits .x_train, x_test.*npy"):
        load(tmp_path / "b.npz")


def manifest(shape, **training):
    """What `open_for` needs of one."""
    return SimpleNamespace(image_shape=list(shape), training=training)


def test_images_are_read_as_in_the_model_s_training(tmp_path):
    """--alpha, --levels, --grayscale and --image-size are the model's, unless other ones are given."""
    colour = np.random.default_rng(0).integers(0, 256, (12, 8, 3), np.uint8)
    Image.fromarray(np.dstack([colour, np.full((12, 8), 100, np.uint8)])).save(tmp_path / "clear.png")
    Image.fromarray(np.arange(96, dtype=np.uint16).reshape(12, 8) * 100).save(tmp_path / "deep.png")
    save(tmp_path / "large.png", np.kron(colour, np.ones((2, 2, 1), np.uint8)))
    for name, shape, settings in (
        ("clear.png", (12, 8, 3), {"alpha": "black"}),
        ("deep.png", (12, 8, 1), {"levels": "0:4000"}),
        ("clear.png", (12, 8, 1), {"alpha": "white", "grayscale": True}),
        ("large.png", (12, 8, 3), {"image_size": "12x8"}),
        ("large.png", (24, 16, 1), {"grayscale": True}),
        ("large.png", (12, 10, 1), {"grayscale": True, "image_size": "12x10"}),
    ):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        shutil.copyfile(tmp_path / name, folder / "x.png")
        config = TrainConfig(data=str(folder), **settings)
        source = open_source(folder, config.reading)
        plan = preparation.survey(source, config)
        assert plan.shape == shape
        with preparation.images(source, config, plan) as prepared:
            (trained,) = prepared
        found = images.open_for(manifest(shape, **settings), [tmp_path / name])
        np.testing.assert_array_equal(np.rint(next(found.batches()).images[0] * 255), trained.pixels, err_msg=name)
        with pytest.raises(DataError):
            list(images.open_for(manifest(shape), [tmp_path / name]).batches())


def test_a_reading_that_is_given_comes_before_the_model_s(tmp_path):
    Image.new("LA", (4, 6), (0, 0)).save(tmp_path / "a.png")
    for alpha, expected in ((None, 0), ("white", 1)):
        found = images.open_for(manifest((6, 4, 1), alpha="black"), [tmp_path / "a.png"], reading=Reading(alpha))
        assert (next(found.batches()).images == expected).all()


@pytest.mark.parametrize(
    "training",
    [{"alpha": "red"}, {"alpha": 3}, {"levels": "9:1"}, {"levels": [0, 9]}, {"levels": "x"}, {"grayscale": 1}],
)
def test_a_stranger_s_settings_that_are_none_count_as_not_given(training):
    assert images.training_reading(manifest((6, 4, 1), **training)) == (False, False, PLAIN)


@pytest.mark.parametrize("grayscale", [False, True])
def test_arrays_of_colour_become_grey_only_as_in_training(tmp_path, grayscale):
    np.save(tmp_path / "x.npy", COLOUR)
    found = manifest((6, 4, 1), grayscale=grayscale)
    if grayscale:
        batch = next(images.open_for(found, [tmp_path / "x.npy"]).batches())
        np.testing.assert_allclose(batch.images[..., 0] * 255, COLOUR @ [0.299, 0.587, 0.114], atol=1)
    else:
        with pytest.raises(DataError, match="--resize"):
            images.open_for(found, [tmp_path / "x.npy"])
