"""The page "Why the KL" in a real browser, from a file: what it shows at each stop, in both languages, by keyboard."""

import json
import math
import re

import numpy as np
import pytest
from browser import browser_fixture  # noqa: F401

from kvae.explorer import why_kl

pytestmark = pytest.mark.slow

PIXELS = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"


@pytest.fixture(scope="module")
def page_file(why_kl_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "why.html"
    why_kl.write(why_kl.page(why_kl_folder), path)
    return path


@pytest.fixture(scope="module")
def points(page_file):
    html = page_file.read_text()
    return json.loads(re.search(r'type="application/json">(.*?)</script>', html, re.DOTALL)[1])["points"]


@pytest.fixture
def opened(browser, page_file):  # noqa: F811
    """Opens the page at a fragment; at the end nothing may have gone wrong, and nothing been asked for."""

    def open_(fragment="", **settings):
        requests = []
        page = browser.open("about:blank", **({"reduced_motion": "reduce", "locale": "en-GB"} | settings))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri() + fragment)
        page.wait_for_selector("body[data-ready]")
        assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
        return page

    yield open_
    assert browser.trouble == []


def number(text):
    return float(re.sub(r"[^\d.,−]", "", text.partition("±")[0]).replace("−", "-").replace(",", "."))


def test_the_numbers_of_each_stop_are_those_of_the_data(opened, points):
    page = opened()
    assert page.get_attribute("#lambda", "max") == "2"
    for stop, point in enumerate(points):
        page.locator("#lambda").fill(str(stop))
        page.wait_for_function(
            "stop => document.querySelector('#ticks .now')?.textContent === stop", arg=f"{point['lambda']:g}"
        )
        shown = {name: number(page.text_content(f"#{name}")) for name in ("loss", "elbo", "nll", "scale")}
        assert shown["loss"] == pytest.approx(point["loss"][0], abs=0.05)
        assert shown["elbo"] == pytest.approx(-point["elbo"][0], abs=0.05)
        assert shown["nll"] == pytest.approx(point["nll"][0], abs=0.05)
        assert shown["scale"] == pytest.approx(point["scale"], rel=0.06)
        assert page.text_content("#nll").startswith("≤") == (not point["believable"])
        bits = point["rate"][0] / math.log(2)
        back = point["entropy"] / math.log(2) + 2 * 16
        assert page.get_attribute("#cost", "aria-label") == (
            f"H(q, p), {bits + back:.1f} bits, is written; H(q), {back:.1f} bits, comes back; the KL, {bits:.1f} bits, "
            f"is paid"
        )
        image = point["distortion"][0] / math.log(2)
        assert f"costs {(image + bits) / 8:.1f} bytes with bits back" in page.text_content("#bytes")
        assert f"{(image + bits + back) / 8:.1f} without" in page.text_content("#bytes")
    assert page.evaluate("location.hash") == "#lang=en&lambda=2"


def test_sentences_follow_from_the_numbers(opened):
    page = opened("#lang=en&lambda=0")
    assert "15.0 nats below the NLL as far as that is known" in page.text_content("#sentence")
    assert "by 1.50 ± 0.25 nats" in page.text_content("#sentence")
    page.evaluate("location.hash = '#lang=en&lambda=1'")
    page.wait_for_function("() => document.querySelector('#sentence').textContent.startsWith('The KL')")
    assert "4.0 nats above it" in page.text_content("#sentence")


def test_it_is_whole_in_either_language(opened):
    """What is visible has no word of the other one, and the switch is kept in the address."""
    page = opened("#lang=en")
    assert not re.search("[а-яА-Я]", page.inner_text("main") + page.inner_text("#more"))
    page.click("text=Русский")
    russian = page.inner_text("main") + page.inner_text("#more")
    assert page.title() == "Почему KL" and "искажение" in russian and "футболка" in russian
    words = set(re.findall(r"[A-Za-z]{3,}", russian)) - {"ELBO", "NLL", "mlp", "Procrustes"}
    assert words <= {"VAE", "fashion", "mnist", "mini", "fashion_mnist_mini", "log"}
    assert page.evaluate("location.hash").startswith("#lang=ru")
    assert page.evaluate("document.documentElement.lang") == "ru"


def test_a_russian_browser_gets_russian_and_any_other_english(opened):
    assert opened(locale="ru-RU").title() == "Почему KL"
    assert opened(locale="de-DE").title() == "Why the KL"


def test_an_ellipse_stands_where_its_code_is(opened, points):
    """The picture of one class alone changes where its codes are."""
    page = opened("#lang=en&lambda=1", viewport={"width": 700, "height": 900})
    canvas = page.locator("#plane")
    size = int(canvas.get_attribute("width"))

    def pixels():
        return np.array(canvas.evaluate(PIXELS), np.int16).reshape(size, size, 4)

    before = pixels()
    page.click("#classes button >> nth=0")
    changed = np.abs(pixels() - before).sum(axis=2) > 60
    stop = points[1]
    expected = np.zeros((size, size), bool)
    for x, y, across, up in stop["codes"][10:]:
        unit = size / 2 / why_kl.EXTENT
        column, row = size / 2 + x * unit, size / 2 - y * unit
        reach = 2 * max(across, up) * unit + 4
        rows, columns = np.ogrid[:size, :size]
        expected |= np.hypot(columns - column, rows - row) < reach
    assert changed.any() and not (changed & ~expected).any()


def test_images_are_reached_by_keyboard_and_named(opened, points):
    page = opened("#lang=en&lambda=0")
    page.focus("#plane")
    page.keyboard.press("ArrowRight")
    assert page.is_visible("#card")
    name, scales = page.text_content("#which").splitlines()
    assert name == "T-shirt/top"
    first = points[0]["codes"][0]
    assert [float(text) for text in re.findall(r"[\d.]+", scales)] == pytest.approx(first[2:], rel=0.06)
    page.keyboard.press("ArrowLeft")
    assert page.text_content("#which").startswith("Ankle boot")
    page.keyboard.press("Escape")
    assert page.is_hidden("#card")


def test_it_begins_in_motion_and_stops_at_the_first_touch(opened):
    page = opened(reduced_motion="no-preference")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.wait_for_function("() => document.querySelector('#lambda').value === '0'")
    page.mouse.click(5, 5)
    assert page.get_attribute("#play", "aria-pressed") == "false"
    page.wait_for_timeout(600)
    stays = page.input_value("#lambda")
    page.wait_for_timeout(1800)
    assert page.input_value("#lambda") == stays


def test_with_less_motion_it_stands_still_at_the_kl(opened):
    page = opened(reduced_motion="reduce")
    assert page.get_attribute("#play", "aria-pressed") == "false"
    page.wait_for_timeout(500)
    assert page.text_content("#value") == "= 1"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_nothing_is_wider_than_the_window(opened, width, scheme):
    for language in ("en", "ru"):
        page = opened(f"#lang={language}&lambda=0", viewport={"width": width, "height": 844}, color_scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.context.close()
