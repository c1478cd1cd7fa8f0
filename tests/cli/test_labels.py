"""--label: a tiny conditional bundle, through every verb that takes images, codes or nothing."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from family import export_member
from PIL import Image
from tiny import DATASET, make_vae, random_images

from kvae.cli.main import main
from kvae.export import bundles
from kvae.runtime import Bundle, scoring

NAMES = ["ankle boot", "bag", "coat"]
PIXELS = np.rint(random_images(6) * 255).astype(np.uint8)
OWN = np.array([1, 2, 0, 1, 2, 0])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    vae = make_vae(num_labels=3)
    out = tmp_path_factory.mktemp("labelled") / "bundle"
    known = {"train_images": PIXELS, "train_labels": OWN, "test_images": PIXELS, "test_labels": OWN}
    return bundles.export(vae, out, dataset=DATASET, labels=NAMES, label_counts=[1, 1, 2], **known).path


@pytest.fixture(scope="module")
def bundle(path):
    return Bundle.open(path, device="cpu")


@pytest.fixture
def kvae(tmp_path, monkeypatch, path):
    """Runs the command with the bundle in a folder with pictures by class, an array, and an archive with labels."""
    monkeypatch.chdir(tmp_path)
    for index, (image, label) in enumerate(zip(PIXELS, OWN, strict=True)):
        place = tmp_path / "pics" / NAMES[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(place / f"{index}.png")
    np.save("images.npy", PIXELS)
    np.savez("images.npz", images=PIXELS, labels=np.array(NAMES)[OWN])
    return lambda *arguments: CliRunner().invoke(main, [*arguments, "--model", str(path)], catch_exceptions=False)


def load(path):
    """The array of a .npy, or those of an .npz by name."""
    found = np.load(path)
    if isinstance(found, np.ndarray):
        return found
    with found:
        return dict(found)


def made(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def error(result):
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.mark.parametrize("label", ["bag", "BAG", "1"])
def test_sample_draws_one_class(kvae, bundle, label):
    made(kvae("sample", "--label", label, "--n", "5", "--seed", "3", "--out", "x.npy"))
    np.testing.assert_array_equal(load("x.npy"), bundle.sample(5, seed=3, label=1))


def test_sample_without_a_label_draws_the_labels_too(kvae, bundle):
    made(kvae("sample", "--n", "5", "--out", "x.npy"))
    np.testing.assert_array_equal(load("x.npy"), bundle.sample(5))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--n", "9"], None),
        (["--n", "2", "--label", "bag"], [1, 1]),
        (["--n", "2", "--label", "all"], [0, 0, 1, 1, 2, 2]),
    ],
)
def test_an_npz_of_samples_has_their_labels(kvae, bundle, options, expected):
    made(kvae("sample", *options, "--seed", "4", "--out", "x.npz"))
    found = load("x.npz")
    assert set(found) == {"images", "labels"}
    numbers = [NAMES.index(name) for name in found["labels"].tolist()]
    assert expected is None or numbers == expected
    assert len(set(numbers)) > 1 or options[-1] == "bag"
    np.testing.assert_allclose(found["images"], bundle.sample(len(numbers), seed=4, label=numbers), atol=1e-6)


def test_an_npz_of_a_model_without_labels_has_images_alone(bundle_path, tmp_path):
    out = tmp_path / "x.npz"
    made(CliRunner().invoke(main, ["sample", "--n", "2", "--out", str(out), "--model", str(bundle_path)]))
    assert set(load(out)) == {"images"}


def test_a_class_named_like_a_choice_hides_neither(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = bundles.export(make_vae(num_labels=3), tmp_path / "b", dataset=DATASET, labels=["all", "best", "coat"]).path
    bundle, pixels = Bundle.open(path, "cpu"), PIXELS.astype(np.float32) / 255
    np.save("images.npy", PIXELS)

    def run(*arguments):
        return CliRunner().invoke(main, [*arguments, "--model", str(path)], catch_exceptions=False)

    for label in ("Best", "1"):
        result = run("encode", "images.npy", "--label", label, "--out", "x.npz")
        made(result)
        assert "note" not in result.stderr and load("x.npz")["label"].tolist() == [1] * 6
    result = run("encode", "images.npy", "--label", "best", "--out", "x.npz")
    assert "note: --label best is a choice" in made(result) + result.stderr and "--label Best" in result.stderr
    settings = scoring.recorded_settings(bundle.manifest)
    elbos = [scoring.score(bundle, pixels, *settings, label=label).elbo for label in range(3)]
    np.testing.assert_array_equal(load("x.npz")["label"], np.argmax(elbos, axis=0))
    result = run("sample", "--label", "all", "--n", "2", "--out", "x.npz")
    assert "note: --label all is a choice" in made(result) + result.stderr and len(load("x.npz")["labels"]) == 6
    made(run("sample", "--label", "All", "--n", "2", "--out", "x.npz"))
    assert load("x.npz")["labels"].tolist() == ["all"] * 2
    made(run("sample", "--label", "best", "--n", "2", "--out", "x.npz"))  # no choice there
    assert load("x.npz")["labels"].tolist() == ["best"] * 2


def test_sample_all_makes_a_row_of_each_class(kvae, bundle):
    found = json.loads(made(kvae("sample", "--label", "all", "--n", "2", "--out", "x.npy", "--json")))
    assert (found["n"], found["label"]) == (6, "all")
    np.testing.assert_array_equal(load("x.npy"), bundle.sample(6, label=[0, 0, 1, 1, 2, 2]))
    made(kvae("sample", "--label", "all", "--n", "2", "--out", "x.png"))
    made(kvae("sample", "--n", "6", "--out", "plain.png"))
    with Image.open("x.png") as named, Image.open("plain.png") as plain:
        assert named.width > plain.width * 2 / 3  # the names stand beside two columns


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        (["sample", "--label", "anle boot"], "Did you mean ankle boot?"),
        (["sample", "--label", "3"], "numbered from 0 to 2"),
        (["encode", "images.npy"], "give --label NAME"),
        (["reconstruct", "images.npy"], "--label best"),
        (["score", "images.npy"], "folders named like the classes"),
        (["score", "images.npy", "--label", "cot"], "Did you mean coat?"),
        (["traverse"], "give --label NAME"),
        (["traverse", "--label", "best"], "needs a picture"),
        (["interpolate", "--from", "images.npy", "--to", "images.npy"], "give --label NAME"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_or_missing_label_is_one_line(kvae, verb, words):
    line = error(kvae(*verb))
    assert line.startswith("Error: ") and words in line


def test_encode_takes_the_labels_of_folders_and_archives(kvae, bundle):
    pixels = PIXELS.astype(np.float32) / 255
    expected = bundle.encode(pixels, OWN)
    made(kvae("encode", "images.npz", "--out", "x.npz"))
    found = load("x.npz")
    np.testing.assert_array_equal(found["label"], OWN)
    np.testing.assert_allclose(found["loc"], expected.loc, atol=1e-6)
    made(kvae("encode", "pics", "--out", "y.npz"))
    found = load("y.npz")
    order = [int(name.rpartition("/")[2][:-4]) for name in found["names"].tolist()]
    np.testing.assert_array_equal(found["label"], OWN[order])
    np.testing.assert_allclose(found["loc"], expected.loc[order], atol=1e-6)
    made(kvae("encode", "pics", "--label", "coat", "--out", "y.npz"))
    assert load("y.npz")["label"].tolist() == [2] * 6


def test_decode_takes_the_labels_beside_the_codes_or_the_one_given(kvae, bundle):
    made(kvae("encode", "images.npz", "--out", "codes.npz"))
    z = load("codes.npz")["loc"]
    made(kvae("decode", "codes.npz", "--out", "x.npy"))
    np.testing.assert_allclose(load("x.npy"), bundle.decode(z, OWN), atol=1e-6)
    made(kvae("decode", "codes.npz", "--label", "bag", "--out", "x.npy"))
    np.testing.assert_allclose(load("x.npy"), bundle.decode(z, 1), atol=1e-6)
    np.save("z.npy", z)
    assert "give --label NAME" in error(kvae("decode", "z.npy", "--out", "x.npy"))


def test_reconstruct_takes_them_too(kvae, bundle):
    made(kvae("reconstruct", "images.npz", "--out", "x.npy"))
    expected = bundle.reconstruct(PIXELS.astype(np.float32) / 255, OWN)
    np.testing.assert_allclose(load("x.npy"), expected, atol=1e-6)


def test_best_is_the_label_with_the_highest_elbo(kvae):
    rows = {}
    for label in [*NAMES, "best"]:
        result = kvae("score", "images.npy", "--label", label, "--json")
        rows[label] = [json.loads(line) for line in made(result).splitlines()]
        assert "log p(x|y)" in result.stderr  # what labels mean for the numbers
    for index, best in enumerate(rows["best"]):
        elbos = {name: rows[name][index]["elbo"] for name in NAMES}
        assert best["label"] == max(elbos, key=elbos.get)
        assert best["elbo"] == pytest.approx(max(elbos.values()))


def test_score_writes_the_label_of_each_image(kvae):
    made(kvae("score", "pics", "--out", "x.csv"))
    with open("x.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == [row["image"].split("/")[-2] for row in rows]


def test_paths_take_the_labels_of_their_ends(kvae, bundle):
    one, other = "pics/bag/0.png", "pics/coat/1.png"
    made(kvae("interpolate", "--from", one, "--to", other, "--steps", "4", "--path", "line", "--out", "x.npy"))
    loc = bundle.encode(PIXELS[:2].astype(np.float32) / 255, [1, 2]).loc
    share = np.linspace(0, 1, 4, dtype=np.float32)[:, None]
    expected = bundle.decode((1 - share) * loc[0] + share * loc[1], [1, 1, 2, 2])
    np.testing.assert_allclose(load("x.npy"), expected, atol=1e-6)
    made(kvae("traverse", "--label", "bag", "--out", "x.png"))
    made(kvae("traverse", "--image", one, "--label", "best", "--out", "x.png"))


@pytest.mark.parametrize(
    "verb", [["sample"], ["encode", "images.npy"], ["score", "images.npy"], ["traverse"], ["reconstruct", "images.npy"]]
)
@pytest.mark.parametrize("label", ["bag", "best", "all"])
def test_a_model_without_labels_refuses_the_option(kvae, bundle_path, verb, label):
    result = CliRunner().invoke(main, [*verb, "--label", label, "--model", str(bundle_path)], catch_exceptions=False)
    assert "this model has no labels" in error(result)


def test_info_lists_the_labels(path):
    result = CliRunner().invoke(main, ["info", str(path)], catch_exceptions=False)
    text = made(result)
    assert "labels        3" in text and all(name in text for name in NAMES)


def test_a_ladder_takes_a_temperature_for_each_group(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ladder = export_member(tmp_path / "ladder", groups=(1, 2)).path

    def run(temperature):
        call = ["sample", "--n", "3", "--out", "x.npy", "--model", str(ladder), "--temperature", temperature]
        return CliRunner().invoke(main, call)

    for text, value in (("0.5", 0.5), ("1,0.5", [1, 0.5]), (" 0, 2e0 ", [0, 2])):
        assert run(text).exit_code == 0
        np.testing.assert_array_equal(np.load("x.npy"), Bundle.open(ladder, "cpu").sample(3, 0, value))
    for text, status, words in (
        ("1,2,3", 1, "one for each of the 2 groups; got 3"),
        ("1,nan", 1, "between 0 and 1e+06; got nan"),
        ("1,", 2, "expected a number, or one for each group of a ladder, such as 1,0.7; got '1,'"),
        ("", 2, "got ''"),
        ("cold", 2, "got 'cold'"),
    ):
        result = run(text)
        (line,) = result.stderr.strip().splitlines()
        assert result.exit_code == status and words in line
