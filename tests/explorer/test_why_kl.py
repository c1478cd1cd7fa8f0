"""The numbers and pictures of the page "Why the KL" against the files that they come from; test_why_kl_page.py has the
page in a browser."""

import base64
import hashlib
import io
import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from programs import ROOT

from kvae.cli.main import main
from kvae.data import datasets
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.explorer import points, why_kl
from kvae.files import pictures


@pytest.fixture(scope="module")
def html(why_kl_folder):
    return why_kl.page(why_kl_folder).decode()


@pytest.fixture(scope="module")
def data(html):
    return json.loads(re.search(r'type="application/json">(.*?)</script>', html, re.DOTALL)[1])


@pytest.fixture(scope="module")
def found(why_kl_folder):
    return points.read(why_kl_folder)


@pytest.fixture(scope="module")
def test_set():
    return datasets.load("fashion_mnist_mini")


def decoded(address):
    """The pixels of a picture in a data: address, `(height, width)`."""
    kind, _, content = address.partition(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("L"), np.float64) / 255


def rotation(angle):
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def test_the_figures_are_those_of_the_comparison(data, found):
    for shown, point in zip(data["points"], found, strict=True):
        for name in ("loss", "elbo", "distortion", "rate", "nll"):
            assert shown[name] == list(point.figures[name].values())
        assert (shown["lambda"], shown["believable"]) == (point.config.entropy_weight, point.nll_is_believable)
    assert [point["difference"] for point in data["points"]] == [[1.5, 0.25], None, [1.5, 0.25]]


def test_the_entropy_is_that_of_the_posteriors_of_all_test_images(data, found, test_set):
    bits = held_out(test_set, "test", True) / np.float32(255)
    for shown, point in zip(data["points"], found, strict=True):
        scale = point.bundle.encode(bits).scale.astype(np.float64)
        assert shown["entropy"] == pytest.approx(np.mean(np.log(scale).sum(1)) + np.log(2 * np.pi * np.e), rel=1e-6)
        assert shown["scale"] == pytest.approx(np.prod(scale ** (1 / scale.size)), rel=1e-6)


def test_ellipses_are_the_posteriors_of_images_of_every_class_turned_as_a_whole(data, found, test_set):
    """Mean and covariance of each, whatever the names of its axes; the codes of the KL's model are not turned."""
    labels = held_out_labels(test_set, "test")
    assert np.bincount(data["labels"]).tolist() == [10] * 10
    first = [np.flatnonzero(labels == label)[0] for label in range(10)]
    bits = held_out(test_set, "test", True)[first] / np.float32(255)
    for shown, point in zip(data["points"], found, strict=True):
        posterior = point.bundle.encode(bits)
        codes = np.array(shown["codes"])[::10]
        turn = np.linalg.lstsq(posterior.loc.astype(np.float64), codes[:, :2], rcond=None)[0]
        assert turn @ turn.T == pytest.approx(np.eye(2), abs=2e-3)
        if shown["lambda"] == 1:
            assert turn == pytest.approx(np.eye(2), abs=2e-3)
        assert abs(shown["angle"]) <= np.pi / 4 + 1e-9
        for code, scale in zip(codes, posterior.scale.astype(np.float64), strict=True):
            axes = rotation(shown["angle"])
            assert axes @ np.diag(code[2:] ** 2) @ axes.T == pytest.approx(
                turn.T @ np.diag(scale**2) @ turn, rel=0.02, abs=2e-3
            )


def test_the_plane_shows_what_the_decoder_draws_there(data, found):
    """In the model that is not turned; up is up."""
    picture = decoded(data["points"][1]["plane"])
    tiles = why_kl.TILES
    assert picture.shape == (28 * tiles, 28 * tiles)
    for row, column in ((0, 0), (0, tiles - 1), (tiles - 1, 3)):
        z = [(column + 0.5) / tiles * 2 - 1, 1 - (row + 0.5) / tiles * 2]
        expected = found[1].bundle.decode(np.array([z], np.float32) * np.float32(why_kl.EXTENT))[0, ..., 0]
        shown = picture[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)]
        assert np.abs(shown - expected).mean() < 0.06
        assert abs(shown.mean() - expected.mean()) < 0.02


def test_thumbnails_are_the_grey_images(data, test_set):
    sheet = decoded(data["thumbnails"])
    grey, labels = held_out(test_set, "test", False), held_out_labels(test_set, "test")
    expected = grey[np.flatnonzero(labels == 3)[4], ..., 0] / 255
    assert np.abs(sheet[3 * 28 : 4 * 28, 4 * 28 : 5 * 28] - expected).mean() < 0.05


def test_the_page_is_one_small_file_that_asks_for_nothing(html):
    assert len(html.encode()) < 500 * 1024
    assert not re.search(r'(?:src|href)="(?!data:)|https?://(?!www\.w3\.org/2000/svg)|@import|url\(|fetch\(', html)
    assert "{DATA}" not in html and "{SCRIPT" not in html and "{STYLE}" not in html


def test_the_page_s_own_code_is_small():
    assert sum(len(part.read_bytes()) for part in why_kl.PAGE.iterdir()) < 90 * 1024


def test_only_the_page_s_own_script_may_run(html):
    script = re.search(r'<script type="module">(.*?)</script>', html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in html


def test_every_module_is_joined_after_those_that_it_imports():
    assert {path.name for path in why_kl.PAGE.iterdir() if path.name.endswith(".mjs")} == {
        f"{name}.mjs" for name in why_kl.MODULES
    }
    for index, name in enumerate(why_kl.MODULES):
        imported = re.findall(r'from "\./(\w+)\.mjs"', (why_kl.PAGE / f"{name}.mjs").read_text())
        assert set(imported) <= set(why_kl.MODULES[:index])


def test_text_is_there_in_both_languages():
    """As many blocks of each, with as many paragraphs."""
    html = (why_kl.PAGE / "page.html").read_text()
    blocks = [re.findall(rf'<(\w+)[^>]* lang="{language}"', html.partition("<body>")[2]) for language in ("en", "ru")]
    assert blocks[0] == blocks[1] and len(blocks[0]) > 12


def test_modules_are_joined_without_their_imports_and_exports():
    joined = why_kl.script_of(["export const a = 1;\n", 'import { a } from "./a.mjs";\nexport function b() {}\n'])
    assert joined == "const a = 1;\n\nfunction b() {}\n"


def test_data_that_looks_like_markup_stays_data():
    assert "</script><b>" not in why_kl.html_of({"name": "</script><b>"}).decode()


def test_pictures_of_an_odd_number_leave_room(found):
    image = why_kl.tiled(pictures.to_uint8(np.ones((5, 2, 3, 1))), 3)
    pixels = np.asarray(image)
    assert pixels.shape == (4, 9)
    assert pixels[:2].all() and pixels[2:, :6].all() and not pixels[2:, 6:].any()


# The command


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["explore", *map(str, arguments)], catch_exceptions=False)


def test_out_writes_one_file_and_replaces_it(kvae, tmp_path, why_kl_folder, html):
    done = kvae("--why-kl", why_kl_folder, "--out", "why.html")
    assert (done.exit_code, done.stdout) == (0, "why.html\n")
    assert (tmp_path / "why.html").read_text() == html
    again = kvae("--why-kl", why_kl_folder, "--out", "why.html", "--json")
    assert json.loads(again.stdout) == {"out": "why.html", "comparison": str(why_kl_folder)}
    assert [path.name for path in tmp_path.iterdir()] == ["why.html"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--why-kl", "nowhere"], 1, "nowhere is not the folder of a comparison"),
        (["--why-kl", "nowhere", "--out", "page"], 2, ".html"),
        (["fashion_mnist_small", "--why-kl", "x"], 2, "leave out MODEL"),
        (["--why-kl", "x", "--ort-dir", "y"], 2, "--ort-dir"),
        (["--why-kl", "x", "--out", "x/why.html"], 1, "--out"),
        (["--why-kl", "x", "--out", "a.html", "--port", "80"], 2, "leave out --port"),
        (["fashion_mnist_small", "--data-dir", "x", "--out", "y"], 2, "--data-dir goes with --why-kl"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(kvae, tmp_path, arguments, status, message):
    (tmp_path / "x").mkdir()
    done = kvae(*arguments)
    assert (done.exit_code, done.stdout) == (status, "")
    assert message in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.rglob("*")] == ["x"]


def test_the_page_in_docs_is_one_of_this_kvae():
    """It has the text, style and code of today; its data were measured once: `docs/why-kl.md` has the commands."""
    html = (ROOT / "docs" / "why-kl-page.html").read_bytes()
    shown = json.loads(re.search(rb'type="application/json">(.*?)</script>', html, re.DOTALL)[1])
    assert why_kl.html_of(shown) == html
    assert len(html) < 500 * 1024
    weights = [point["lambda"] for point in shown["points"]]
    assert min(weights) == 0 and max(weights) == 2 and all(len(point["codes"]) == 100 for point in shown["points"])
    listed = ",".join(f"{weight:g}" for weight in weights)
    for page in ("why-kl.md", "why-kl.ru.md"):
        assert f"--vary entropy_weight={listed} " in (ROOT / "docs" / page).read_text()
