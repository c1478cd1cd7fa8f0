"""Training and every other verb read a user's pictures alike: the same files, and the same pixels from each."""

import os
import struct
import warnings

import numpy as np
import pytest
from pictures_on_disk import write_bad
from PIL import Image, ImageCms

from kvae.config import ConfigError, TrainConfig
from kvae.data import images, preparation
from kvae.data.decoding import decode
from kvae.data.listing import is_records
from kvae.data.sources import open_source
from kvae.data.tally import Prepared
from kvae.errors import DataError
from kvae.files.reading import Reading

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (8, 10, 3), np.uint8)
COLOUR = Image.fromarray(PIXELS)
GREY = COLOUR.convert("L")
DEEP = Image.fromarray(RNG.integers(0, 2**16, (8, 10), dtype=np.uint16))
TURNED = Image.Exif()
TURNED[0x0112] = 3  # upside down
CLEAR = COLOUR.convert("RGBA")
CLEAR.putalpha(Image.fromarray(RNG.integers(0, 256, (8, 10), np.uint8)))


def trained_on(folder, **settings):
    """The pixels that training gets from each image, by name, or the reason why it is skipped."""
    config = TrainConfig(data=str(folder), **settings)
    source = open_source(folder, config.reading)
    plan = preparation.survey(source, config)
    with preparation.images(source, config, plan) as found:
        made = {item.name: item for item in found}
    return {name: item.pixels if isinstance(item, Prepared) else item.reason for name, item in made.items()}


def scored(folder, shape, **settings):
    """The same for the other verbs."""
    config = TrainConfig(data=str(folder), **settings)
    reading = config.reading
    found = {}
    for part in images.open_images([folder], shape, reading=reading).parts:
        name = os.path.relpath(part.path, folder)
        try:
            (pixels,) = next(part.chunks())
            found[name] = np.rint(pixels * 255).astype(np.uint8)
        except DataError as error:
            found[name] = str(error).removeprefix(f"{part.path}: ").removesuffix(".")
    return found


def check_alike(folder, shape=(8, 10, 3), **settings):
    one, other = trained_on(folder, **settings), scored(folder, shape, **settings)
    assert list(one) == list(other)
    for name, pixels in one.items():
        np.testing.assert_array_equal(pixels, other[name], err_msg=name)
    return one


def test_the_same_files_are_listed(tmp_path):
    """A TIFF, a palette, a linked folder (entered once) and names in capitals, but no hidden files, and no text."""
    outside = tmp_path / "outside"
    outside.mkdir()
    COLOUR.save(outside / "linked.png")
    folder = tmp_path / "data"
    for place in ("sub", ".hidden", "sub/deep"):
        (folder / place).mkdir(parents=True)
        COLOUR.save(folder / place / "a.tif")
    (folder / "link").symlink_to(outside)
    (folder / "sub" / "round").symlink_to(folder)
    COLOUR.save(folder / ".hidden.png")
    COLOUR.save(folder / "B.PNG")
    COLOUR.convert("P").save(folder / "palette.png")
    GREY.save(folder / "grey.pgm")
    (folder / "notes.txt").write_text("")
    found = check_alike(folder)
    assert list(found) == ["B.PNG", "grey.pgm", "link/linked.png", "palette.png", "sub/a.tif", "sub/deep/a.tif"]


def grey_palette():
    picture = Image.new("P", (10, 8))
    picture.putpalette([level for level in range(256) for _ in range(3)])
    picture.putdata(list(np.asarray(GREY).ravel()))
    return picture


@pytest.mark.parametrize(
    ("name", "picture", "settings", "channels"),
    [
        ("opaque.png", COLOUR.convert("RGBA"), {}, 3),
        ("opaque-grey.png", GREY.convert("LA"), {}, 1),
        ("palette.png", COLOUR.quantize(64), {}, 3),
        ("grey-palette.png", grey_palette(), {}, 1),
        ("unused-key.png", GREY.point(lambda level: max(level, 1)), {"transparency": 0}, 1),
        ("unused-palette-key.gif", COLOUR.quantize(8), {"transparency": 200}, 3),
        ("bits.png", GREY.convert("1"), {}, 1),
        ("colour.tiff", COLOUR, {"compression": "tiff_lzw"}, 3),
        ("grey.pgm", GREY, {}, 1),
        ("colour.ppm", COLOUR, {}, 3),
        ("turned.png", COLOUR.rotate(180), {"exif": TURNED}, 3),
    ],
)  # fmt: skip
def test_pictures_that_convert_without_loss_are_read_by_both(tmp_path, name, picture, settings, channels):
    picture.save(tmp_path / name, **settings)
    found = check_alike(tmp_path, (8, 10, channels))[name]
    expected = np.asarray(picture.convert("RGB" if channels == 3 else "L")).reshape(8, 10, channels)
    if name == "turned.png":
        expected = PIXELS
    if name == "unused-palette-key.gif":
        expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(("alpha", "below"), [("white", 255), ("black", 0)])
def test_transparency_gets_a_background_colour(tmp_path, mode, alpha, below):
    """By hand: a x + (1 - a) below, within one level of rounding; without a colour, both refuse it by name."""
    picture = CLEAR.convert(mode)
    picture.save(tmp_path / "a.png")
    *bands, transparency = (np.asarray(band, float) for band in picture.split())
    share = transparency[..., None] / 255
    expected = share * np.stack(bands, axis=-1) + (1 - share) * below
    shape = (8, 10, len(bands))
    np.testing.assert_allclose(check_alike(tmp_path, shape, alpha=alpha)["a.png"], expected, atol=1)
    assert "transparent" in check_alike(tmp_path, shape)["a.png"] and "--alpha" in check_alike(tmp_path, shape)["a.png"]


@pytest.mark.parametrize("name", ["deep.png", "deep.tif", "deep.pgm"])
def test_sixteen_bits_are_read_between_two_levels(tmp_path, name):
    """By hand: (x - MIN) / (MAX - MIN) of 255, rounded and clipped; without levels, both refuse it by name."""
    DEEP.save(tmp_path / name)
    levels = np.asarray(DEEP, float)
    expected = np.rint(np.clip((levels - 1000) / 49_000, 0, 1) * 255)
    found = check_alike(tmp_path, (8, 10, 1), levels="1000:50000")[name]
    np.testing.assert_array_equal(found[..., 0], expected)
    assert "--levels" in check_alike(tmp_path, (8, 10, 1))[name]


def test_arrays_of_sixteen_bits_are_read_between_two_levels(tmp_path):
    array = RNG.integers(0, 4096, (30, 8, 10), dtype=np.uint16)
    np.save(tmp_path / "a.npy", array)
    reading = Reading(levels=(0, 4095))
    expected = np.rint(array / 4095 * 255)
    batch = next(images.open_images([tmp_path / "a.npy"], (8, 10, 1), reading=reading).batches())
    np.testing.assert_allclose(batch.images[..., 0], expected / 255, rtol=1e-6)
    items = [
        decode(item.content, (8, 10, 1), False, reading) for item in open_source(tmp_path / "a.npy", reading).items()
    ]
    np.testing.assert_array_equal(np.stack(items)[..., 0], expected)
    for read in (lambda path: images.open_images([path], (8, 10, 1)), open_source):
        with pytest.raises(DataError, match="uint16.*--levels"):
            read(tmp_path / "a.npy")


def test_both_refuse_a_picture_for_the_same_reason(tmp_path):
    """Damaged, animated, CMYK, 16-bit colour, pipes, devices, broken links; except sizes, which a model decides."""
    write_bad(tmp_path)
    one, other = trained_on(tmp_path), scored(tmp_path, (24, 32, 3))
    for name in one:
        if name not in ("large.png", "small.png", "other_size.png"):
            assert isinstance(one[name], str) and one[name] == other[name], name


@pytest.mark.parametrize("text", ["", "5", "9:1", "1:1", "a:b", "0:65535:2"])
def test_levels_are_two_ascending_integers(text):
    with pytest.raises(ConfigError, match="levels must be MIN:MAX"):
        TrainConfig(data="x", levels=text)


def test_records_are_recognised_by_name_and_read_only_by_training(tmp_path):
    names = ("a.tfrecord", "a.tfrecords", "a.tfrecord-00001-of-00010", "a.tfrecord.gz")
    assert all(map(is_records, names)) and not any(map(is_records, ("a.tfrecord.png", "tfrecord", "a.tfrecord-1")))
    (tmp_path / "a.tfrecord").write_bytes(b"")
    with pytest.raises(DataError, match="TFRecords.*kvae train"):
        images.open_images([tmp_path / "a.tfrecord"], (8, 8, 1))


def deep_tiff(levels):
    """An uncompressed TIFF of 16 bits per channel, which Pillow cannot write, from `(height, width, 3)` uint16."""
    height, width, _ = levels.shape
    entries = {256: width, 257: height, 259: 1, 262: 2, 277: 3, 278: height, 279: levels.nbytes}
    end = 8 + 2 + 12 * (len(entries) + 2) + 4
    entries |= {258: end, 273: end + 6}
    content = struct.pack("<2sHIH", b"II", 42, 8, len(entries))
    for tag in sorted(entries):
        content += struct.pack("<HHII", tag, 3 if tag == 258 else 4, 3 if tag == 258 else 1, entries[tag])
    return content + struct.pack("<I3H", 0, 16, 16, 16) + levels.astype("<u2").tobytes()


def test_colour_of_16_bits_is_refused_in_every_format(tmp_path):
    """Pillow silently reduces it to 8."""
    levels = RNG.integers(0, 2**16, (8, 10, 3), dtype=np.uint16)
    (tmp_path / "a.tif").write_bytes(deep_tiff(levels))
    (tmp_path / "b.ppm").write_bytes(b"P6 10 8 65535\n" + levels.astype(">u2").tobytes())
    (tmp_path / "c.ppm").write_bytes(b"P3 10 8 1023\n" + " ".join(map(str, (levels >> 6).ravel())).encode())
    COLOUR.save(tmp_path / "d.png")
    found = check_alike(tmp_path)
    for name in ("a.tif", "b.ppm", "c.ppm"):
        assert found[name] == "it has colour with 16 bits per channel; save it with 8"
    np.testing.assert_array_equal(found["d.png"], PIXELS)


def test_levels_are_those_of_the_file_whatever_its_maximum_is(tmp_path):
    """Pillow scales the levels of a PGM to 65535, but a camera's 12 bits must stay 0 to 4095."""
    levels = RNG.integers(0, 2**12, (8, 10), dtype=np.uint16)
    (tmp_path / "a.pgm").write_bytes(b"P5 10 8 4095\n" + levels.astype(">u2").tobytes())
    (tmp_path / "b.pgm").write_bytes(b"P2 10 8 4095\n" + " ".join(map(str, levels.ravel())).encode())
    (tmp_path / "c.pgm").write_bytes(b"P5 10 8 65535\n" + levels.astype(">u2").tobytes())
    Image.fromarray(levels).save(tmp_path / "d.png")
    found = check_alike(tmp_path, (8, 10, 1), levels="100:4000")
    expected = np.rint(np.clip((levels.astype(float) - 100) / 3900, 0, 1) * 255)
    for name in ("a.pgm", "b.pgm", "c.pgm", "d.png"):
        np.testing.assert_array_equal(found[name][..., 0], expected, err_msg=name)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_float_picture_with_nan_or_infinity_is_refused(tmp_path, wrong):
    values = RNG.random((8, 10), dtype=np.float32) * 1000
    Image.fromarray(values).save(tmp_path / "b.tif")
    values[3, 4] = wrong
    Image.fromarray(values).save(tmp_path / "a.tif")
    found = check_alike(tmp_path, (8, 10, 1), levels="0:1000")
    assert found["a.tif"] == "it holds NaN or infinity"
    assert found["b.tif"].shape == (8, 10, 1)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"exif": exif}


@pytest.mark.parametrize(
    ("name", "picture", "settings"),
    [
        *((f"turned-{number}.jpg", COLOUR, turned(number)) for number in range(1, 9)),
        ("turned.webp", COLOUR, turned(6) | {"lossless": True}),
        ("turned.tif", COLOUR, turned(8)),
        ("bits.tif", GREY.convert("1"), {"compression": "group4"}),
        ("bits.pbm", GREY.convert("1"), {}),
        ("grey.jpg", GREY, {}),
        ("capitals.JFIF", COLOUR, {"format": "JPEG"}),
        ("progressive.jpg", COLOUR, {"progressive": True}),
        ("la.tif", GREY.convert("LA"), {}),
        ("rgba.tif", COLOUR.convert("RGBA"), {}),
        ("opaque-palette.png", COLOUR.quantize(16), {"transparency": bytes(16 * [255])}),
        ("clear-palette.png", COLOUR.quantize(16), {"transparency": bytes([0, 128, *14 * [255]])}),
        ("profile.png", COLOUR, {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}),
        ("palette.bmp", COLOUR.quantize(16), {}),
        ("ycbcr.tif", COLOUR.convert("YCbCr"), {}),
        ("lab.tif", COLOUR.convert("LAB"), {}),
        ("cmyk.jpg", COLOUR.convert("CMYK"), {}),
        ("float.tif", Image.fromarray(RNG.random((8, 10), dtype=np.float32)), {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("reading", [{}, {"alpha": "white", "levels": "0:1"}])
def test_both_read_or_refuse_alike_whatever_the_format(tmp_path, name, picture, settings, reading):
    picture.resize((9, 9)).save(tmp_path / name, **settings)  # a square, which stays one when it is turned
    channels = 1 if picture.mode in ("1", "L", "LA", "F") else 3
    (found,) = check_alike(tmp_path, (9, 9, channels), **reading).values()
    refused = {
        "clear-palette.png": "transparent" if not reading else "",
        "float.tif": "more than 8 bits" if not reading else "",
        "ycbcr.tif": "YCbCr", "lab.tif": "LAB", "cmyk.jpg": "CMYK",
    }.get(name)  # fmt: skip
    assert refused in found if refused else found.shape[:2] == (9, 9)


def test_what_systems_leave_in_folders_is_not_read(tmp_path):
    for place in ("a/.git", ".hidden/deep", "__MACOSX", "a/b"):
        (tmp_path / place).mkdir(parents=True)
        COLOUR.save(tmp_path / place / "._x.png")
    for place in ("a/.git/x.png", ".hidden/deep/x.png", "a/b/x.png"):
        COLOUR.save(tmp_path / place)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", "no-suffix", "a/x.png.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert list(check_alike(tmp_path)) == ["a/b/x.png"]
    assert open_source(tmp_path).num_others == 4


def test_pillow_s_warnings_do_not_reach_the_terminal(tmp_path):
    """The reader reports the same problems itself."""
    COLOUR.save(tmp_path / "a.png")
    Image.new("1", (10_000, 10_000)).save(tmp_path / "b.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = check_alike(tmp_path)
    assert found["b.png"] == "it has more than 40,000,000 pixels"
