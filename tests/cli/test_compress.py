"""`kvae compress` and `kvae decompress`: what they print, and one line for what cannot be done."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from tiny import DATASET, make_vae

from kvae.cli.compress import CODINGS
from kvae.cli.main import main
from kvae.compression import coder
from kvae.export import bundles

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    vae = make_vae(likelihood="discretized_logistic")
    return str(bundles.export(vae, tmp_path_factory.mktemp("levels") / "bundle", dataset=DATASET).path)


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    """Runs the command in a folder that holds the images as PNGs and as one array."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pngs").mkdir()
    for index, image in enumerate(IMAGES):
        Image.fromarray(image[..., 0]).save(tmp_path / "pngs" / f"{index:02d}.png")
    np.save(tmp_path / "images.npy", IMAGES)
    return lambda *arguments: CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def error(result, status=1):
    """The one line of a command that failed."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("coding", ["bits-back", "cross-entropy"])
def test_pictures_to_a_file_and_back(kvae, tmp_path, model, coding):
    done = kvae("compress", "pngs", "--model", model, "--coding", coding)
    assert (done.exit_code, done.stderr) == (0, "")
    size = (tmp_path / "images.kvz").stat().st_size
    heading, *lines = done.stdout.splitlines()
    assert heading.startswith(f"images.kvz: 6 images, {size:,} bytes, ")
    numbers = {line[:12].strip(): float(line[12:].split()[0]) for line in lines}
    assert numbers["the file"] == pytest.approx(8 * size / IMAGES.size, abs=1e-4)
    cost = "KL(q||p)" if coding == "bits-back" else "H(q, p)"
    if coding == "bits-back":
        assert numbers["distortion"] + numbers[cost] == pytest.approx(numbers["-ELBO"], abs=2e-4)
    assert cost in numbers
    done = kvae("decompress", "images.kvz", "--model", model)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "decompressed\n", "")
    back = [np.asarray(Image.open(tmp_path / "decompressed" / f"{index:06d}.png")) for index in range(6)]
    np.testing.assert_array_equal(np.stack(back), IMAGES[..., 0])


def test_for_machines(kvae, tmp_path, model):
    done = kvae("compress", "images.npy", "--model", model, "--out", "a.kvz", "--portable", "--batch", "4", "--json")
    found = json.loads(done.stdout)
    assert (found["out"], found["images"], found["portable"]) == ("a.kvz", 6, True)
    assert found["bytes"] == (tmp_path / "a.kvz").stat().st_size
    assert found["note_bits_per_dim"] > 0
    done = kvae("decompress", "a.kvz", "--model", model, "--out", "b.npy", "--json")
    assert json.loads(done.stdout) == {"out": "b.npy", "n": 6, "model": model}
    np.testing.assert_array_equal(np.load("b.npy"), IMAGES)


def test_what_cannot_be_done_is_said_in_one_line(kvae, tmp_path, model, bundle_path):
    np.save("wide.npy", np.zeros((2, 8, 9), np.uint8))
    assert "the model takes" in error(kvae("compress", "wide.npy", "--model", model))
    assert "discretized_logistic" in error(kvae("compress", "pngs", "--model", str(bundle_path)))
    assert "no such file" in error(kvae("decompress", "missing.kvz", "--model", model)).lower()
    (tmp_path / "other.kvz").write_bytes((tmp_path / "images.npy").read_bytes())
    assert "not a file that kvae compress wrote" in error(kvae("decompress", "other.kvz", "--model", model))
    assert "pngs" in error(kvae("compress", "pngs", "--model", model, "--out", "pngs/a.kvz"))
    assert ".kvz" in error(kvae("compress", "pngs", "--model", model, "--out", "a.zip"))
    np.save("none.npy", np.zeros((0, 8, 8), np.uint8))
    assert "no numbers" in error(kvae("compress", "none.npy", "--model", model))
    kvae("compress", "pngs", "--model", model)
    assert ".npy" in error(kvae("decompress", "images.kvz", "--model", model, "--out", "a.jpg"))
    assert "images.kvz" in error(kvae("decompress", "images.kvz", "--model", model, "--out", "images.kvz"))
    assert "another bundle" in error(kvae("decompress", "images.kvz", "--model", str(bundle_path)))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert "left unchanged" in error(kvae("decompress", "images.kvz", "--model", model, "--out", "mine"))


def test_codings_are_those_of_the_coder():
    assert CODINGS == coder.CODINGS


def test_without_a_model_the_error_names_one_of_8_bit_images(kvae, tmp_path):
    """The model that comes with kvae is one of bits, which is said before it asks for labels."""
    np.save("grey.npy", np.random.default_rng(0).integers(0, 256, (2, 28, 28)).astype(np.uint8))
    line = error(kvae("compress", "grey.npy", "--out", "x.kvz"))
    assert "grey.npy[0] is grey" in line and "--model" in line and "discretized_logistic" in line
    assert not (tmp_path / "x.kvz").exists()


def test_pictures_are_read_as_in_training(kvae, tmp_path):
    """A model whose training resized its images and made them grey compresses such images without being told."""
    vae = make_vae(likelihood="discretized_logistic")
    training = {"image_size": [8, 8], "grayscale": True}
    model = str(bundles.export(vae, tmp_path / "bundle", dataset=DATASET, training=training).path)
    Image.new("RGB", (16, 16), (10, 200, 30)).save("colour.png")
    assert kvae("compress", "colour.png", "--model", model).exit_code == 0


def test_resized_pictures_are_kept_as_the_model_takes_them(kvae, tmp_path, model):
    Image.new("RGB", (16, 16), (10, 200, 30)).save("colour.png")
    assert "--resize" in error(kvae("compress", "colour.png", "--model", model))
    assert kvae("compress", "colour.png", "--resize", "--model", model).exit_code == 0
    assert kvae("decompress", "images.kvz", "--model", model, "--out", "back.npy").exit_code == 0
    assert np.load("back.npy").shape == (1, 8, 8, 1)
