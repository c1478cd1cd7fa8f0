"""The verbs that run images through a model: the output is the bundle's, and one line says what is wrong."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from kvae.bundle import locate
from kvae.cli.main import main
from kvae.data.datasets import load
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle

IMAGES = load("fashion_mnist_mini").test.images[:20]
PIXELS = IMAGES.astype(np.float32) / 255


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    """Runs the command, with a shipped model, in a folder that holds the images as PNGs and as one array."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pngs").mkdir()
    for index, image in enumerate(IMAGES):
        Image.fromarray(image[..., 0]).save(tmp_path / "pngs" / f"{index:02d}.png")
    np.save(tmp_path / "images.npy", IMAGES)

    def run(*arguments):
        model = [] if "--model" in arguments else ["--model", "fashion_mnist_small"]
        return CliRunner().invoke(main, [*arguments, *model], catch_exceptions=False)

    return run


@pytest.fixture(scope="module")
def shipped():
    return Bundle.open(locate.shipped()["fashion_mnist_small"])


def said(result):
    """stdout of a command that succeeded without a word on stderr."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def pixels(path):
    """The pixels of a picture."""
    with Image.open(path) as picture:
        return np.asarray(picture)


def error(result, status=1):
    """The one line of a command that failed."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


@pytest.mark.parametrize("source", [["pngs"], ["images.npy"], [f"pngs/{index:02d}.png" for index in range(20)]])
def test_reconstruct(kvae, tmp_path, shipped, source):
    assert said(kvae("reconstruct", *source, "--out", "a.npy")) == "a.npy\n"
    np.testing.assert_allclose(np.load("a.npy"), shipped.reconstruct(PIXELS), atol=1e-6)


def test_reconstruct_draws_each_image_above_its_reconstruction(kvae):
    said(kvae("reconstruct", "pngs"))
    picture = pixels("reconstructions.png")[8::120, 8::120][:, :16]  # a corner of each image, scaled by 4
    expected = np.concatenate([IMAGES[:, 0, 0, 0], [255] * 12]).reshape(2, 16)
    np.testing.assert_array_equal(picture[::2], expected)


def test_encode_and_decode_are_reconstruct(kvae, shipped):
    assert said(kvae("encode", "pngs")) == "codes.npz\n"
    with np.load("codes.npz") as found:
        posterior = shipped.encode(PIXELS)
        np.testing.assert_allclose(found["loc"], posterior.loc, atol=1e-6)
        np.testing.assert_allclose(found["scale"], posterior.scale, atol=1e-6)
        assert found["names"].tolist() == [f"pngs/{index:02d}.png" for index in range(20)]
    assert said(kvae("decode", "codes.npz", "--out", "decoded.npz")) == "decoded.npz\n"
    np.testing.assert_allclose(np.load("decoded.npz")["images"], shipped.reconstruct(PIXELS), atol=1e-6)
    said(kvae("decode", "codes.npz"))
    assert pixels("decoded.png").shape == (488, 608)


def test_score_prints_a_row_per_image(kvae, shipped):
    heading, *rows = said(kvae("score", "pngs")).splitlines()
    assert heading.split() == ["percentile", "elbo", "rate", "distortion", "image"]
    found = scoring.score(shipped, PIXELS)
    percentile = scoring.percentile(shipped.manifest, found.elbo)
    for index, row in enumerate(rows):
        *numbers, name = row.split()
        expected = [percentile[index], found.elbo[index], found.rate[index], found.distortion[index]]
        np.testing.assert_allclose([float(number) for number in numbers], expected, atol=0.051)
        assert name == f"pngs/{index:02d}.png"
    assert len(rows) == 20


def test_score_for_machines(kvae, shipped):
    lines = [json.loads(line) for line in said(kvae("score", "images.npy", "--json")).splitlines()]
    assert said(kvae("score", "images.npy", "--out", "scores.csv")) == "scores.csv\n"
    report = json.loads(said(kvae("score", "images.npy", "--out", "scores.csv", "--json")))
    assert (report["out"], report["n"]) == ("scores.csv", 20)
    with open("scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = scoring.score(shipped, PIXELS).elbo
    np.testing.assert_allclose([line["elbo"] for line in lines], expected, rtol=1e-6)
    np.testing.assert_allclose([float(row["elbo"]) for row in rows], expected, rtol=1e-6)
    assert [row["image"] for row in rows] == [line["image"] for line in lines]
    assert {set(line) == {"image", "percentile", "elbo", "rate", "distortion"} for line in lines} == {True}


def test_an_image_that_is_not_clothing_is_an_anomaly(kvae):
    """White noise and a chessboard score below every training image; clothes do not."""
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    board = (np.indices((28, 28)).sum(axis=0) % 2 * 255).astype(np.uint8)
    np.save("odd.npy", np.stack([noise, board]))
    odd = [json.loads(line) for line in said(kvae("score", "odd.npy", "--json")).splitlines()]
    assert [line["percentile"] for line in odd] == [0.0, 0.0]
    clothes = [json.loads(line)["percentile"] for line in said(kvae("score", "pngs", "--json")).splitlines()]
    assert 20 < np.mean(clothes) < 80


def test_a_bundle_without_statistics_scores_without_percentiles(kvae, tmp_path, bundle_path):
    np.save("small.npy", IMAGES[:, :8, :8])
    result = kvae("score", "small.npy", "--model", str(bundle_path))
    assert result.exit_code == 0
    assert "no percentiles: this bundle has no statistics of its training images" in result.stderr
    assert {line.split()[0] for line in result.stdout.splitlines()[1:]} == {"-"}


def test_interpolate_decodes_a_line_or_a_great_circle(kvae, shipped):
    ends = ["--from", "pngs/00.png", "--to", "pngs/01.png"]
    assert said(kvae("interpolate", *ends, "--path", "line", "--out", "a.npy")) == "a.npy\n"
    one, other = shipped.encode(PIXELS[:2]).loc
    line = np.stack([one + (other - one) * step / 9 for step in range(10)])
    np.testing.assert_allclose(np.load("a.npy"), shipped.decode(line), atol=1e-5)
    said(kvae("interpolate", *ends, "--steps", "3", "--out", "a.npy"))
    lengths = np.linalg.norm([one, other], axis=1)
    middle = one / lengths[0] + other / lengths[1]  # the direction half way
    middle *= lengths.mean() / np.linalg.norm(middle)
    np.testing.assert_allclose(np.load("a.npy"), shipped.decode(np.stack([one, middle, other])), atol=1e-5)
    said(kvae("interpolate", "--from", "pngs/00.png", "--to", "pngs/01.png", "--steps", "7"))
    assert pixels("interpolation.png").shape == (128, 7 * 120 + 8)
    said(kvae("interpolate", *ends, "--steps", "7", "--scale", "2"))
    assert pixels("interpolation.png").shape == (64, 7 * 60 + 4)


def test_the_routes_are_those_of_the_library():
    from kvae.cli import paths as verbs
    from kvae.runtime import paths

    assert verbs.ROUTES == paths.PATHS


def test_traverse_draws_the_dimensions_in_use(kvae, shipped):
    report = json.loads(said(kvae("traverse", "--steps", "3", "--json")))
    rate = shipped.manifest.posterior["rate"]
    used = [index for index in np.argsort(rate)[::-1].tolist() if rate[index] >= 0.01]
    assert (report["dimensions"], report["n"]) == (used, 3 * len(used))
    assert pixels("traversal.png").shape[0] > 120 * len(used)
    said(kvae("traverse", "--image", "pngs/03.png", "--out", "b.png"))


def test_images_of_another_kind_are_refused_or_resized(kvae):
    Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save("large.png")
    for command in (["reconstruct", "large.png"], ["encode", "large.png"], ["score", "large.png", "--out", "a.csv"]):
        assert "large.png: it is a picture of 40 x 30 (height x width), RGB" in error(kvae(*command))
        assert kvae(*command, "--resize").exit_code == 0
    assert "--resize" in error(kvae("traverse", "--image", "large.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "nothing.png"], "nothing.png cannot be read: No such file"),
        (["reconstruct", "nothing.png"], "nothing.png cannot be read: No such file"),
        (["reconstruct", "images.npy", "--out", "a.txt"], "must end in .png, .npy or .npz"),
        (["reconstruct", "images.npy", "--out", "pngs"], "pngs exists and is not a folder that kvae"),
        (["encode", "images.npy", "--out", "a.csv"], "must end in .npz"),
        (["decode", "images.npy"], "expected floating-point codes (n, 12)"),
        (["decode", "nothing.npz"], "nothing.npz cannot be read"),
        (["score", "images.npy", "--out", "a.txt"], "must end in .csv"),
        (["interpolate", "--from", "pngs/00.png", "--to", "images.npy"], "images.npy holds 20 images"),
        (["interpolate", "--from", "pngs/00.png", "--to", "pngs/01.png", "--steps", "1"], "steps must be between 2"),
        (["traverse", "--reach", "-1"], "reach must be above 0"),
        (["traverse", "--out", "a.npy"], "must end in .png"),
        (["score", "images.npy", "--model", "fashion_mnits"], "Did you mean fashion_mnist?"),
    ],
)
def test_an_error_is_one_line_and_leaves_no_files(kvae, tmp_path, arguments, message):
    before = sorted(tmp_path.rglob("*"))
    assert message in error(kvae(*arguments))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["reconstruct", "images.npy", "--out", "images.npy"],
        ["reconstruct", "pngs/00.png", "--out", "pngs/../pngs/00.png"],
        ["decode", "z.npz", "--out", "z.npz"],
        ["encode", "z.npz", "--out", "z.npz"],
        ["interpolate", "--from", "pngs/00.png", "--to", "pngs/01.png", "--out", "pngs/01.png"],
        ["traverse", "--image", "pngs/00.png", "--out", "pngs/00.png"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_input_is_not_overwritten(kvae, tmp_path, arguments):
    np.savez("z.npz", z=np.zeros((2, 16), np.float32))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert "is an input" in error(kvae(*arguments))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_command_works_without_stdout_or_stderr(kvae, tmp_path):
    """As when a service closes them."""
    for closed in ("2>&-", ">&-", ">&- 2>&-"):
        command = f"{sys.executable} -m kvae encode images.npy --model fashion_mnist_small {closed}"
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, (closed, done.stderr)
        (tmp_path / "codes.npz").unlink()


def test_a_table_on_a_terminal_has_no_progress_bar(kvae, tmp_path):
    """In a pseudo-terminal made by `script`."""
    if not (script := shutil.which("script")):
        pytest.skip("script is not installed")
    command = f"{sys.executable} -m kvae score images.npy --model fashion_mnist_small"
    done = subprocess.run([script, "-qec", command, "/dev/null"], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[0].split() == ["percentile", "elbo", "rate", "distortion", "image"]


@pytest.mark.parametrize("verb", ["reconstruct", "encode", "decode", "score", "interpolate"])
def test_missing_arguments_are_a_usage_error(kvae, verb):
    assert "Missing" in error(kvae(verb), 2)


def test_a_lone_decoder_decodes_and_says_what_it_cannot(kvae, tmp_path, bundle_path):
    decoder = str(bundle_path / "decoder.onnx")
    np.save("z.npy", np.zeros((2, 3), np.float32))
    np.save("small.npy", IMAGES[:, :8, :8])
    assert kvae("decode", "z.npy", "--model", decoder).exit_code == 0
    assert "this model has no graph 'encoder'" in error(kvae("encode", "small.npy", "--model", decoder))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["score", "encode"])
def test_a_stream_of_many_images_does_not_grow_in_memory(tmp_path, command):
    """Ten times the images, hardly more memory; in a process of its own, because peak memory is per process."""
    peaks = []
    for count in (2_000, 20_000):
        np.save(tmp_path / "many.npy", np.zeros((count, 8, 8, 1), np.uint8))
        out = tmp_path / ("a.csv" if command == "score" else "a.npz")
        code = (
            "import resource, sys; from kvae.cli.main import main\n"
            "try: main(sys.argv[1:])\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        arguments = [command, str(tmp_path / "many.npy"), "--out", str(out), "--model", sys.argv[0]]
        arguments[-1] = str(tmp_path / "model")
        if not (tmp_path / "model").exists():
            _export_tiny(tmp_path / "model")
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout.split()[-1]))
    assert peaks[1] < peaks[0] + 20_000  # kilobytes; the images alone would be 5 MB as floats, their rows far more


def _export_tiny(path):
    from tiny import DATASET, make_vae

    from kvae.export.bundles import export

    export(make_vae(), path, dataset=DATASET)


@pytest.fixture
def with_bad(kvae, tmp_path):
    """`kvae`, where two of the twenty pictures cannot be read."""
    (tmp_path / "pngs" / "03.png").write_bytes((tmp_path / "pngs" / "03.png").read_bytes()[:-40])
    (tmp_path / "pngs" / "07.png").write_text("no picture")
    return kvae


GOOD = [f"pngs/{index:02d}.png" for index in range(20) if index not in (3, 7)]


def skipped(result):
    """The lines about skipped pictures of a command that succeeded."""
    assert result.exit_code == 0, result.output
    return [line for line in result.stderr.splitlines() if "skipped" in line]


def test_a_bad_picture_costs_a_line_and_not_the_scores_of_the_others(with_bad, tmp_path):
    result = with_bad("score", "pngs", "--out", "scores.csv", "--json")
    one, other, count = skipped(result)
    assert one.startswith("skipped: pngs/03.png: ") and other.startswith("skipped: pngs/07.png: ")
    assert count.startswith("2 of 20 images")
    with open("scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == GOOD
    report = json.loads(result.stdout)
    assert (report["n"], [bad["name"] for bad in report["skipped"]]) == (18, ["pngs/03.png", "pngs/07.png"])
    alone = with_bad("score", *GOOD, "--out", "alone.csv")
    assert not skipped(alone)
    assert (tmp_path / "alone.csv").read_text() == (tmp_path / "scores.csv").read_text()
    printed = with_bad("score", "pngs")
    assert len(skipped(printed)) == 3
    assert [line.split()[-1] for line in printed.stdout.splitlines()[1:]] == GOOD


def test_a_bad_picture_costs_no_other_its_code(with_bad, tmp_path):
    assert len(skipped(with_bad("encode", "pngs", "--out", "codes.npz"))) == 3
    with_bad("encode", *GOOD, "--out", "alone.npz")
    with np.load("codes.npz") as codes, np.load("alone.npz") as alone:
        assert codes["names"].tolist() == GOOD
        for name in ("loc", "scale", "names"):
            np.testing.assert_array_equal(codes[name], alone[name])


def test_reconstructions_say_which_image_they_are_of(with_bad, tmp_path):
    assert len(skipped(with_bad("reconstruct", "pngs", "--out", "r.npz"))) == 3
    with np.load("r.npz") as found:
        assert found["names"].tolist() == GOOD
        assert found["images"].shape == (18, 28, 28, 1)
    skipped(with_bad("reconstruct", "pngs", "--out", "r"))
    assert (tmp_path / "r" / "names.csv").read_text().splitlines()[4] == "000003.png,pngs/04.png"
    line = error(with_bad("reconstruct", "pngs", "--out", "r.npy"))
    assert "pngs/03.png" in line and ".npz" in line
    assert not (tmp_path / "r.npy").exists()


@pytest.mark.parametrize("verb", ["score", "encode", "reconstruct"])
def test_more_bad_pictures_than_allowed_are_an_error(with_bad, verb, tmp_path):
    before = sorted(tmp_path.iterdir())
    line = error(with_bad(verb, "pngs", "--max-bad", "1"))
    assert "more than 1 pictures" in line and "--max-bad" in line and "pngs/03.png" in line
    assert "pngs/03.png" in error(with_bad(verb, "pngs", "--max-bad", "0"))
    assert "none of these 2" in error(with_bad(verb, "pngs/03.png", "pngs/07.png"))
    assert "pngs/07.png" in error(with_bad(verb, "pngs/07.png"))
    assert sorted(tmp_path.iterdir()) == before


def test_an_array_that_is_cut_short_is_an_error(kvae, tmp_path):
    """It is one file, and not one bad picture among many."""
    (tmp_path / "images.npy").write_bytes((tmp_path / "images.npy").read_bytes()[:-10])
    assert "images.npy" in error(kvae("score", "images.npy", "pngs"))
