"""A picture's pixels, held against Pillow and numpy by hand, and each kind of picture that is refused."""

import re
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pictures_on_disk import PATCH, patches, write_bad
from PIL import Image

from kvae.data import decoding, opening
from kvae.data.decoding import decode, probe
from kvae.data.opening import Unusable
from kvae.data.pixels import Header

COLOUR, GREY = (*PATCH, 3), (*PATCH, 1)


@pytest.fixture
def patch():
    return patches(90)[80]


def encoded(picture: Image.Image, format: str, **options) -> bytes:
    file = BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_give_the_pixels_that_were_saved(patch, format, options):
    content = encoded(patch, format, **options)
    assert probe(content) == Header(format, *PATCH, 3)
    found = decode(content, COLOUR, resize=False)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.asarray(patch))


def test_a_jpeg_gives_what_pillow_gives(patch, tmp_path):
    patch.save(tmp_path / "a.jpg")
    expected = np.asarray(Image.open(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(decode(tmp_path / "a.jpg", COLOUR, resize=False), expected)
    assert probe(tmp_path / "a.jpg").format == "JPEG"


def test_grey_becomes_rgb_without_loss_and_colour_grey_by_its_luma(patch):
    grey = patch.convert("L")
    found = decode(encoded(grey, "PNG"), COLOUR, resize=False)
    assert (found == np.asarray(grey)[..., None]).all()
    luma = np.asarray(patch, float) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(decode(encoded(patch, "PNG"), GREY, resize=False)[..., 0], luma, atol=1)
    assert probe(encoded(grey, "PNG")).channels == 1


def test_the_palette_of_a_gif_is_converted_to_its_colours(patch):
    palette = patch.quantize(64)
    content = encoded(palette, "GIF")
    assert probe(content) == Header("GIF", *PATCH, 3)
    np.testing.assert_array_equal(decode(content, COLOUR, resize=False), np.asarray(palette.convert("RGB")))
    grey = patch.convert("L")
    assert probe(encoded(grey, "GIF")).channels == 1
    np.testing.assert_array_equal(decode(encoded(grey, "GIF"), GREY, resize=False)[..., 0], np.asarray(grey))


def test_a_bmp_of_16_bits_per_pixel_has_at_most_8_per_channel():
    """5 bits of red, 6 of green and 5 of blue, made by hand."""
    rows = struct.pack("<8H", *([0xF800, 0x07E0, 0x001F, 0xFFFF] * 2)) * 8
    header = struct.pack("<IiiHHIIiiIIIII", 52, 8, 8, 1, 16, 3, len(rows), 0, 0, 0, 0, 0xF800, 0x07E0, 0x001F)
    content = b"BM" + struct.pack("<IHHI", 14 + len(header) + len(rows), 0, 0, 14 + len(header)) + header + rows
    colours = decode(content, (8, 8, 3), resize=False)[0, :4].tolist()
    assert colours == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]


def test_one_bit_per_pixel_is_grey(patch):
    found = decode(encoded(patch.convert("1"), "PNG"), GREY, resize=False)
    assert set(np.unique(found)) <= {0, 255}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_rotated_by_its_exif_orientation(patch, orientation):
    """The eight orientations of EXIF, written as numpy's flips."""
    pixels = np.asarray(patch)
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, -1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True})):
        content = encoded(patch, format, exif=exif, **options)
        assert probe(content)[1:3] == turned.shape[:2]
        np.testing.assert_array_equal(decode(content, turned.shape, resize=False), turned)


def test_a_picture_with_a_damaged_orientation_is_not_rotated(patch):
    content = encoded(patch, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    np.testing.assert_array_equal(decode(content, COLOUR, resize=False), np.asarray(patch))


def test_a_photograph_with_a_preview_is_one_picture(patch):
    content = encoded(patch, "MPO", save_all=True, append_images=[patch.resize((8, 8))])
    assert probe(content) == Header("JPEG", *PATCH, 3)
    assert decode(content, COLOUR, resize=False).shape == COLOUR


def test_resizing_crops_the_centre(patch):
    """24 x 32 to 12 x 12: the middle 24 x 24, which Pillow resizes."""
    expected = patch.resize((12, 12), Image.Resampling.LANCZOS, box=(4, 0, 28, 24))
    np.testing.assert_array_equal(decode(encoded(patch, "PNG"), (12, 12, 3), resize=True), np.asarray(expected))


def test_each_bad_picture_is_refused_with_its_reason(tmp_path):
    bad = write_bad(tmp_path)
    assert len(bad) == 26
    found = {}
    with opening.quiet():
        for name in bad:
            try:
                found[name] = f"decoded: {decode(tmp_path / name, COLOUR, resize=False)[:1, :1]}"
            except Unusable as error:
                found[name] = str(error)
    assert [(name, found[name]) for name in bad if not re.search(bad[name], found[name])] == []
    assert not any("\n" in reason for reason in found.values())


def test_resizing_makes_other_sizes_fit_but_not_tiny_ones(tmp_path):
    write_bad(tmp_path)
    for name in ("large.png", "other_size.png"):
        assert decode(tmp_path / name, COLOUR, resize=True).shape == COLOUR
    with pytest.raises(Unusable, match="less than 8 pixels"):
        decode(tmp_path / "small.png", COLOUR, resize=True)


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "huge.webp").open("wb") as file:
        file.truncate(opening.MAX_FILE_BYTES + 1)
    with pytest.raises(Unusable, match="more than [0-9,]+ bytes"):
        probe(tmp_path / "huge.webp")


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch, patch):
    monkeypatch.setattr(decoding, "LARGE", 100)
    with decoding._large:
        import threading

        done = threading.Event()
        thread = threading.Thread(target=lambda: (decode(encoded(patch, "PNG"), COLOUR, False), done.set()))
        thread.start()
        assert not done.wait(0.2)
    thread.join(10)
    assert done.is_set()


@pytest.mark.parametrize("seed", range(3))
def test_mutated_pictures_raise_no_other_error(patch, seed):
    """Pictures that are cut or overwritten at random are decoded, or refused in one line."""
    rng = np.random.default_rng(seed)
    contents = [encoded(patch, format) for format in ("PNG", "JPEG", "WEBP", "GIF", "BMP")]
    with opening.quiet():
        for index in range(300):
            content = bytearray(contents[index % len(contents)])
            for _ in range(rng.integers(1, 6)):
                content[rng.integers(len(content))] = rng.integers(256)
            cut = bytes(content[: rng.integers(1, len(content) + 1)]) if index % 3 == 0 else bytes(content)
            try:
                assert decode(cut, (16, 16, 3), resize=True).shape == (16, 16, 3)
            except Unusable as error:
                assert "\n" not in str(error)


def test_arrays_are_converted_to_bytes():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, COLOUR, dtype=np.uint8)
    assert decode(levels, COLOUR, resize=False) is levels
    np.testing.assert_array_equal(decode(levels / 255.0, COLOUR, resize=False), levels)
    np.testing.assert_array_equal(decode((levels / 255).astype(np.float16), COLOUR, False), levels)
    bits = rng.random(GREY) < 0.5
    np.testing.assert_array_equal(decode(bits, GREY, resize=False), np.where(bits, 255, 0))
    grey = decode(levels, GREY, resize=False)[..., 0]
    np.testing.assert_allclose(grey, levels @ [0.299, 0.587, 0.114], atol=1)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (np.nan, "NaN"),
        (np.inf, "NaN or infinity"),
        (1.5, r"from 0.5 to 1.5, outside \[0, 1\]"),
        (-0.1, r"outside \[0, 1\]"),
    ],
)
def test_arrays_with_numbers_that_are_not_pixels_are_refused(value, reason):
    image = np.full(COLOUR, 0.5)
    image[3, 4, 1] = value
    with pytest.raises(Unusable, match=reason):
        decode(image, COLOUR, resize=False)


def test_quiet_restores_the_warning_filters():
    import warnings

    before = list(warnings.filters)
    with opening.quiet():
        assert warnings.filters != before
    assert warnings.filters == before


def test_a_missing_file():
    with pytest.raises(Unusable, match="No such file"):
        probe(Path("nowhere.png"))
