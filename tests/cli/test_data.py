"""`kvae data inspect`: what it prints, for people and for machines."""

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from pictures_on_disk import write_bad, write_colour_folder, write_grey_folder
from PIL import Image

from kvae.cli.data import data
from kvae.errors import ConfigError, DataError, KvaeError
from kvae.files.folders import files_under


def run(*arguments):
    return CliRunner(env={"COLUMNS": "60"}).invoke(data, ["inspect", *map(str, arguments)], catch_exceptions=False)


def test_the_text_says_what_was_found_and_what_cannot_be_used(tmp_path):
    write_colour_folder(tmp_path / "data", 30, labels=("a", "b"))
    write_bad(tmp_path / "data" / "b")
    (tmp_path / "data" / "notes.txt").write_text("x")
    Image.new("L", (32, 24)).save(tmp_path / "data" / "a" / "grey.png")
    done = run(tmp_path / "data")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert lines[0] == f"{tmp_path}/data: folder of pictures"
    assert all(len(line) <= 60 for line in lines[1:])
    text = " ".join(done.stdout.split())
    for row in (
        "images 31 of 57 can be used; files ignored because of their names: 1",
        "colour RGB; 3 grey images",
        "labels 2: a (16), b (15)",
        "skipped 26",
        "3 it is animated, or has several pages: b/animated.gif, b/animated.png, b/animated.webp",
        "5 it is transparent (see --alpha): b/key.png, b/la.png, b/rgba.png, ...",
        "1 it is not 24 x 32 (height x width) like most images (see --image-size): b/other_size.png",
    ):
        assert row in text


def test_the_text_for_a_folder_without_problems(tmp_path):
    write_grey_folder(tmp_path / "grey", 100)
    done = run(tmp_path / "grey")
    for row in (
        "images      100 of 100 can be used\n",
        "formats     PNG (100)\n",
        "sizes       height x width 28 x 28 (100)\n",
        "colour      grey\n",
        "duplicates  none\n",
        "skipped     none\n",
        "training    can begin\n",
    ):
        assert row in done.stdout


def test_machines_get_json(tmp_path):
    write_colour_folder(tmp_path / "data", 60)
    done = run(tmp_path / "data", "--image-size", "16x20", "--grayscale", "--split-seed", 2, "--json")
    found = json.loads(done.stdout)
    assert found["image_shape"] == [16, 20, 1]
    assert (found["count"], found["num_usable"], sum(found["splits"].values())) == (60, 60, 60)
    other = json.loads(run(tmp_path / "data", "--image-size", "16x20", "--grayscale", "--json").stdout)
    assert other["splits"] != found["splits"]


def test_examples_are_written_as_a_picture(tmp_path):
    write_colour_folder(tmp_path / "data", 60)
    run(tmp_path / "data", "--out", tmp_path / "examples.png")
    written = Image.open(tmp_path / "examples.png")
    assert written.mode == "RGB"
    first = Image.open(tmp_path / "data" / "0000.png")
    factor = round(112 / 32)
    cell = written.crop((2 * factor, 2 * factor, (2 + 32) * factor, (2 + 24) * factor)).resize((32, 24), 0)
    np.testing.assert_array_equal(np.asarray(cell), np.asarray(first))


def test_one_picture_outside_the_sub_folders_means_no_labels(tmp_path):
    write_colour_folder(tmp_path / "data", 10, labels=("a", "b"))
    assert "labels      2: a (5), b (5)\n" in run(tmp_path / "data").stdout
    (tmp_path / "data" / "a" / "0000.png").rename(tmp_path / "data" / "stray.png")
    assert "labels      none: 1 of 10 pictures" in run(tmp_path / "data").stdout
    write_colour_folder(tmp_path / "flat", 10)
    assert "labels      none\n" in run(tmp_path / "flat").stdout


def test_a_long_list_of_labels_is_cut(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(300))
    text = " ".join(run(tmp_path / "x.npz").stdout.split())
    assert "labels 300: 0 (1), 1 (1)," in text
    assert "19 (1) and 280 more splits" in text


def test_max_bad_decides_whether_training_would_be_refused(tmp_path):
    write_colour_folder(tmp_path / "data", 60)
    write_bad(tmp_path / "data" / "bad")
    assert "training    can begin\n" in run(tmp_path / "data").stdout
    text = " ".join(run(tmp_path / "data", "--max-bad", 25).stdout.split())
    assert "would be refused: 26 are skipped, more than the 25 of --max-bad" in text


def test_the_folder_is_listed_once(tmp_path, monkeypatch):
    data, found = write_colour_folder(tmp_path / "data", 10), []
    monkeypatch.setattr("kvae.data.listing.files_under", lambda path: found.append(path) or files_under(path))
    run(data)
    assert found == [data]


def test_a_missing_picture_of_examples_is_reported(tmp_path):
    (tmp_path / "data").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "data" / "small.png")
    done = run(tmp_path / "data", "--out", tmp_path / "x.png")
    assert "no picture was written" in done.stderr
    assert "no picture" not in done.stdout
    assert not (tmp_path / "x.png").exists()
    with pytest.raises(KvaeError, match=r"x\.jpg: .* a PNG.*ends in \.png"):
        run(tmp_path / "data", "--out", tmp_path / "x.jpg")


def test_bad_arguments_are_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        run(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="image_size must be"):
        run(tmp_path, "--image-size", "7")


def test_tensorflow_is_not_loaded(tmp_path):
    """Except for TFRecords."""
    write_colour_folder(tmp_path / "data", 20)
    code = (
        "import sys; from kvae.cli.data import data; data(['inspect', sys.argv[1]], standalone_mode=False); "
        "print({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "data"], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_splits_and_the_likelihood_are_said_with_the_reason(tmp_path):
    for name, count in (("train", 60), ("test", 3)):
        write_grey_folder(tmp_path / "data" / name, count)
    text = " ".join(run(tmp_path / "data").stdout.split())
    assert "test (3); your own: train, test; validation is taken from the training images" in text
    assert "duplicates 3 are equal to an earlier image; 3 of them are in another split" in text
    assert "likelihood discretized_logistic: 8-bit grey" in text
    found = json.loads(run(tmp_path / "data", "--json").stdout)
    assert (found["given_splits"], found["num_across"]) == (["test"], 3)
    assert found["likelihood"]["likelihood"] == "discretized_logistic" and found["likelihood"]["why"]


def test_a_table_is_inspected_and_not_pictured(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((120, 5)))
    done = run(tmp_path / "x.npy", "--out", tmp_path / "x.png")
    assert "x.npy: table in a .npy file" in done.stdout.splitlines()[0]
    text = " ".join(done.stdout.split())
    assert "floats are rounded" in text and "can begin" in text
    assert "no picture was written" in done.stderr and not (tmp_path / "x.png").exists()


def test_test_images_of_their_own_are_inspected_too(tmp_path):
    write_grey_folder(tmp_path / "a", 60)
    write_grey_folder(tmp_path / "b", 4)
    found = json.loads(run(tmp_path / "a", "--test-data", tmp_path / "b", "--json").stdout)
    assert (found["count"], found["splits"]["test"], found["num_across"]) == (64, 4, 4)
