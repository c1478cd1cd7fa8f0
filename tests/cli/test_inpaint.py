"""`kvae inpaint`: what it writes, and one line for everything that it cannot use."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time

import gaussian_family as gaussians
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kvae.bundle.manifest import Manifest
from kvae.cli.main import main
from kvae.data.datasets import load
from kvae.files import pictures
from kvae.runtime import Bundle

IMAGES = load("fashion_mnist_mini").test.images[:3, 10:18, 10:18]
PIXELS = IMAGES.astype(np.float32) / 255
SHORT = ["--steps", "4", "--burn-in", "2", "--n", "2"]
MASK = np.zeros((8, 8), bool)
MASK[2:5, 3:] = True


@pytest.fixture
def kvae(tmp_path, monkeypatch, bundle_path):
    """Runs the verb with short chains in a folder that holds images as pictures and as an array, and a mask."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pngs").mkdir()
    for index, image in enumerate(IMAGES):
        Image.fromarray(image[..., 0]).save(tmp_path / "pngs" / f"{index}.png")
    np.save("images.npy", IMAGES)
    Image.fromarray(MASK).save("mask.png")
    base = ["inpaint", "--model", str(bundle_path), *SHORT]

    def call(*arguments):
        return CliRunner().invoke(main, [*base, *arguments], catch_exceptions=False)

    call.base = base
    return call


def done(result):
    assert result.exit_code == 0, result.output
    return result


def error(result, status=1):
    """The one line of a call that failed."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def loaded(path="a.npz"):
    with np.load(path) as found:
        return dict(found)


def check_seen(found, missing, images=PIXELS):
    """Seen pixels are those of the images to the last bit, and the others are drawn."""
    assert (found["missing"] == missing).all()
    for completed in (found["mean"], *np.moveaxis(found["draws"], 1, 0)):
        np.testing.assert_array_equal(completed[~missing], images[~missing])
        assert ((completed >= 0) & (completed <= 1)).all()
    assert (found["draws"][:, 0] != found["draws"][:, 1])[missing].all()


def everywhere(mask):
    return np.broadcast_to(np.asarray(mask).reshape(-1, 8, 8, 1), IMAGES.shape)


def test_an_npz_holds_draws_means_and_how_chains_mixed(kvae, bundle_path):
    result = done(kvae("pngs", "--mask", "mask.png", "--out", "a.npz"))
    assert result.stdout == "a.npz\n"
    assert "acceptance" in result.stderr and "split-R-hat" in result.stderr
    found = loaded()
    assert found["draws"].shape == (3, 2, 8, 8, 1) and found["names"].tolist() == [f"pngs/{i}.png" for i in range(3)]
    check_seen(found, everywhere(MASK))
    holed = np.where(everywhere(MASK), np.nan, PIXELS)
    expected = Bundle.open(bundle_path, threads=1).inpaint(holed, n=2, steps=4, burn_in=2)
    for name, values in expected._asdict().items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("source", ["picture", "npy", "float npy", "npz", "each", "folder", "box", "nan", "alpha"])
def test_every_way_to_say_what_is_missing_gives_the_same(kvae, source):
    images, arguments = "pngs", ["--mask", "mask.png"]
    if source == "npy":
        np.save("m.npy", MASK.astype(np.uint8))
        arguments = ["--mask", "m.npy"]
    elif source == "float npy":
        np.save("m.npy", MASK[..., None].astype(np.float64))
        arguments = ["--mask", "m.npy"]
    elif source == "npz":
        np.savez("m.npz", mask=255 * MASK.astype(np.uint8))
        arguments = ["--mask", "m.npz"]
    elif source == "each":
        np.save("m.npy", np.stack([MASK] * 3))
        arguments = ["--mask", "m.npy"]
    elif source == "folder":
        shutil.copytree("pngs", "masks")
        for index in range(3):
            shutil.copy("mask.png", f"masks/{index}.png")
        arguments = ["--mask", "masks"]
    elif source == "box":
        arguments = ["--box", "3,2,5,3"]
    elif source == "nan":
        np.save("images.npy", np.where(everywhere(MASK), np.nan, PIXELS))
        images, arguments = "images.npy", []
    elif source == "alpha":
        for index, image in enumerate(IMAGES):
            opacity = np.where(MASK, 0, 255).astype(np.uint8)
            Image.fromarray(np.dstack([image[..., 0], opacity]), "LA").save(f"pngs/{index}.png")
        arguments = []
    done(kvae(images, *arguments, "--out", "a.npz"))
    found = loaded()
    check_seen(found, everywhere(MASK))
    if source == "nan":
        return  # of floats, which are not rounded to levels
    Image.fromarray(MASK).save("mask.png")
    np.save("images.npy", IMAGES)
    done(kvae("images.npy", "--mask", "mask.png", "--out", "b.npz"))
    np.testing.assert_array_equal(found["draws"], loaded("b.npz")["draws"])


def test_masks_of_pictures_are_found_by_name_and_those_of_arrays_by_order(kvae):
    masks = np.stack([MASK, MASK.T, ~MASK])
    shutil.copytree("pngs", "masks")
    for index, mask in enumerate(masks):
        Image.fromarray(mask).save(f"masks/{index}.png")
    done(kvae("pngs/2.png", "pngs/0.png", "pngs/1.png", "--mask", "masks", "--out", "a.npz"))
    assert (loaded()["missing"][..., 0] == masks[[2, 0, 1]]).all()
    done(kvae("images.npy", "--mask", "masks", "--out", "a.npz"))
    assert (loaded()["missing"][..., 0] == masks).all()


def test_holes_of_the_images_add_to_a_mask(kvae):
    holed = PIXELS.copy()
    holed[1, 0, 0] = np.nan
    np.save("images.npy", holed)
    done(kvae("images.npy", "--mask", "mask.png", "--out", "a.npz"))
    missing = everywhere(MASK).copy()
    missing[1, 0, 0] = True
    check_seen(loaded(), missing, holed)


def test_an_image_with_nothing_missing_stays_beside_others(kvae):
    holed = PIXELS.copy()
    holed[1, :4] = np.nan
    np.save("images.npy", holed)
    report = json.loads(done(kvae("images.npy", "--out", "a.npz", "--json")).stdout)
    found = loaded()
    assert (found["draws"][[0, 2]] == PIXELS[[0, 2], None]).all()
    assert np.isnan(found["r_hat"]).tolist() == [True, False, True]
    assert (report["n"], report["draws"], report["num_with_missing"], report["seed"]) == (3, 2, 1, 0)
    assert report["r_hat_max"] == found["r_hat"][1]


def test_alpha_gives_transparent_pixels_a_colour(kvae):
    opacity = np.where(MASK, 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([IMAGES[0, ..., 0], opacity]), "LA").save("a.png")
    assert "no pixel is missing" in error(kvae("a.png", "--alpha", "white"))
    done(kvae("a.png", "--alpha", "white", "--box", "0,0,1,1", "--out", "a.npz"))
    assert (loaded()["mean"][0, MASK] == 1).all()


def test_everything_missing_is_a_draw_from_the_prior_and_said(kvae):
    assert "no pixel is seen" in done(kvae("images.npy", "--box", "0,0,8,8", "--out", "a.npz")).stderr


def test_a_npy_holds_the_means_and_a_folder_a_picture_of_each(kvae):
    done(kvae("pngs", "--mask", "mask.png", "--out", "a.npz"))
    done(kvae("pngs", "--mask", "mask.png", "--out", "a.npy"))
    np.testing.assert_array_equal(np.load("a.npy"), loaded()["mean"])
    for _ in range(2):  # it replaces its own folder
        done(kvae("pngs", "--mask", "mask.png", "--out", "folder"))
    with Image.open("folder/000001-2.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), pictures.to_uint8(loaded()["draws"][1, 1, ..., 0]))
    with open("folder/names.csv", newline="") as file:
        assert list(csv.DictReader(file))[2] == {"number": "000002", "image": "pngs/2.png"}
    printed = subprocess.run(
        [sys.executable, "-m", "kvae", *kvae.base, "pngs", "--box", "0,0,2,2", "--out", "-"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert printed.stdout.startswith(b"\x93NUMPY")


def test_a_grid_shows_what_is_seen_the_draws_and_the_mean(kvae):
    done(kvae("pngs", "--mask", "mask.png"))
    with Image.open("inpainted.png") as picture:
        grid = np.asarray(picture.convert("RGB"))
    assert (grid == (90, 140, 230)).all(
        axis=-1
    ).sum() == 3 * MASK.sum() * 14**2  # 8 x 8 is shown fourteen times as large


def test_a_model_of_bits_draws_bits_and_leaves_grey_pixels_grey(kvae):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Manifest, "is_of_bits", property(lambda manifest: True))
        patch.setattr("kvae.runtime.inpainting.caveats.kind", lambda *names: "log-probability")
        done(kvae("pngs", "--mask", "mask.png", "--out", "a.npz"))
    found = loaded()
    missing = everywhere(MASK)
    np.testing.assert_array_equal(found["draws"][:, 0][~missing], PIXELS[~missing])
    assert set(np.unique(found["draws"][:, 0][missing])) <= {0.0, 1.0}


def test_labels_are_given_or_those_of_folders(kvae, tmp_path):
    model = str(gaussians.write(tmp_path / "labels", "labels"))
    np.save("rows.npy", np.full((2, 3, 4), 0.5))
    base = ["rows.npy", "--model", model, "--box", "0,0,2,2", "--out", "a.npz"]
    done(kvae(*base, "--label", "ankle boot"))
    assert loaded()["label"].tolist() == [1, 1]
    assert "needs whole images" in error(kvae(*base, "--label", "best"))
    assert "--label NAME" in error(kvae(*base))


def bad_mask(name, content):
    np.save(name, content)
    return ["images.npy", "--mask", name]


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (lambda: ["images.npy"], "no pixel is missing"),
        (lambda: bad_mask("m.npy", np.zeros((8, 8), bool)), "no pixel is missing"),
        (lambda: bad_mask("m.npy", np.zeros((7, 8), bool)), "(7, 8); expected a mask of 8 x 8"),
        (lambda: bad_mask("m.npy", np.zeros((2, 8, 8), bool)), "2 masks for 3 images"),
        (lambda: bad_mask("m.npy", np.full((8, 8), 128, np.uint8)), "not black and white: it has the levels 128"),
        (lambda: bad_mask("m.npy", np.full((8, 8), np.nan)), "not black and white"),
        (lambda: ["images.npy", "--mask", "nothing.png"], "nothing.png cannot be read"),
        (lambda: ["images.npy", "--mask", "empty"], "empty holds no pictures"),
        (lambda: ["empty", "--mask", "mask.png"], "empty holds no pictures"),
        (lambda: ["pngs", "--mask", "others"], "others has no mask named 1.*"),
        (lambda: ["images.npy", "--mask", "others"], "1 masks for 3 images"),
        (lambda: ["images.npy", "--mask", "large.png"], "large.png: it is a mask of 9 x 8"),
        (lambda: ["images.npy", "--mask", "grey.png"], "grey.png is not black and white"),
        (lambda: ["images.npy", "--mask", "cut.png"], "cut.png: it "),
        (lambda: ["images.npy", "--box", "4,0,5,2"], "--box 4,0,5,2"),
        (lambda: ["images.npy", "--box", "0,0,0,2"], "--box 0,0,0,2"),
        (lambda: ["images.npy", "--box", "-1,0,2,2"], "--box -1,0,2,2"),
        (lambda: ["partly.png"], "partly transparent"),
        (lambda: ["holed.png", "--resize"], "resize it first"),
        (lambda: ["holed.npy", "--resize"], "missing pixels (NaN) and another shape"),
        (lambda: ["infinite.npy"], "infinite.npy holds infinity"),
        (lambda: ["images.npy", "--box", "0,0,2,2", "--n", "0"], "n must be an integer from 1"),
        (lambda: ["images.npy", "--box", "0,0,2,2", "--steps", "1"], "steps must be an integer from 4"),
        (lambda: ["images.npy", "--box", "0,0,2,2", "--seed", "-1"], "seed must be"),
        (lambda: ["images.npy", "--box", "0,0,2,2", "--label", "3"], "no labels"),
        (lambda: ["images.npy", "--box", "0,0,2,2", "--out", "a.txt"], "must end in .png, .npy or .npz"),
        (lambda: ["images.npy", "--mask", "m.png", "--out", "m.png"], "is an input"),
    ],
)  # fmt: skip
def test_an_error_is_one_line_and_leaves_no_files(kvae, tmp_path, arguments, facts):
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    Image.fromarray(MASK).save("others/0.png")
    Image.fromarray(MASK).save("m.png")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save("large.png")
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save("grey.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "mask.png").read_bytes()[:40])
    Image.fromarray(np.full((8, 8, 4), 100, np.uint8)).convert("LA").save("partly.png")
    Image.fromarray(np.zeros((16, 16, 2), np.uint8), "LA").save("holed.png")
    np.save("holed.npy", np.full((2, 16, 16), np.nan))
    np.save("infinite.npy", np.full((2, 8, 8), np.inf))
    given = arguments()
    before = sorted(tmp_path.rglob("*"))
    assert facts in error(kvae(*given))
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_usage(kvae):
    assert "give one of them" in error(kvae("images.npy", "--mask", "mask.png", "--box", "0,0,1,1"), 2)
    assert "LEFT,TOP,WIDTH,HEIGHT" in error(kvae("images.npy", "--box", "0,0,1"), 2)
    assert "Missing argument" in error(kvae(), 2)


def test_a_picture_that_cannot_be_used_is_skipped_and_the_others_keep_their_draws(kvae, tmp_path):
    done(kvae("pngs", "--mask", "mask.png", "--out", "a.npz"))
    (tmp_path / "pngs" / "1.png").write_bytes(b"nothing")
    result = done(kvae("pngs", "--mask", "mask.png", "--out", "b.npz"))
    assert "skipped: pngs/1.png" in result.stderr
    np.testing.assert_array_equal(loaded("b.npz")["draws"], loaded()["draws"][[0, 2]])
    assert "1.png" in error(kvae("pngs", "--mask", "mask.png", "--out", "b.npy"))


def test_ctrl_c_ends_long_chains_and_leaves_nothing(kvae, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    base = [word if word != "4" else "9999999" for word in kvae.base]
    command = [sys.executable, "-m", "kvae", *base, "images.npy", "--mask", "mask.png", "--out", "a.npz"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while running.poll() is None and not list(tmp_path.glob(".a.npz*")):
        time.sleep(0.05)  # until it writes
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=60)[1].splitlines() == ["Interrupted."]
    assert running.returncode == 130 and sorted(tmp_path.rglob("*")) == before
