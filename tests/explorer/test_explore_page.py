"""The explorer in a real browser: it shows what Python computes for the same seed, code, image and link."""

import base64
import io
import json
import re
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from types import SimpleNamespace

import format_2
import numpy as np
import pytest
from browser import ARGUMENTS, Browser
from browser import served as hosted
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo
from programs import ROOT, missing, node_modules, program
from tiny import DATASET, make_vae, random_images

from kvae.bundle import binarization, noise, onnxruntime_web
from kvae.bundle.densities import log_density
from kvae.bundle.manifest import Manifest
from kvae.conversion.conversion import convert
from kvae.data.images import open_images
from kvae.errors import KvaeError
from kvae.explorer import pages
from kvae.explorer.server import Server
from kvae.export.bundles import export
from kvae.files import pictures
from kvae.files.reading import PLAIN, Reading
from kvae.runtime import scoring
from kvae.runtime.bundle import Bundle

pytestmark = pytest.mark.slow

SHIPPED = ROOT / "exported" / "fashion_mnist_small"
ORT_DIR = ROOT / "examples" / "browser" / "node_modules" / "onnxruntime-web"


@pytest.fixture(autouse=True)
def _onnxruntime_web():
    """Every page needs it; without it the test is skipped, with the command that installs it."""
    node_modules(ROOT / "examples" / "browser")


READY, FAILED = "main[aria-busy=false]", "body[data-failed]"
PIXELS = """canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"""
FRAME = "() => new Promise(requestAnimationFrame)"


class Explorer:
    """An open page, and what can be read from it."""

    def __init__(self, page, url, bundle):
        self.page, self.url, self.bundle = page, url, bundle

    def text(self, selector):
        return self.page.text_content(selector)

    def code(self):
        """The code whose picture is shown, float32 `(latent_dim,)`."""
        return np.array(json.loads(self.text("#code")), np.float32)

    def await_code(self, reached):
        """The code, once `reached(code)` is true."""
        for _ in range(500):
            code = self.code()
            if reached(code):
                return code
            self.page.wait_for_timeout(20)
        raise AssertionError(f"the code stays {code}")

    def settle(self):
        """Wait until all pictures are painted."""
        self.page.wait_for_selector("#field[aria-busy=false]")
        for busy in ("#grid", "#strip"):
            self.page.wait_for_selector(f"{busy}[aria-busy=false]")

    def pixels(self, selector="#picture", index=0):
        """Bytes of a canvas, `(height, width, 3)`."""
        canvas = self.page.locator(selector).nth(index)
        width, height = (int(canvas.get_attribute(name)) for name in ("width", "height"))
        rgba = np.array(canvas.evaluate(PIXELS), np.uint8).reshape(height, width, 4)
        assert (rgba[..., 3] == 255).all()
        return rgba[..., :3]

    def give(self, content, name="image.png", kind="image/png"):
        """Choose an image file, given as its bytes."""
        self.page.set_input_files("#file", files=[{"name": name, "mimeType": kind, "buffer": content}])
        self.page.wait_for_selector("#inspection[aria-busy=false]")

    def notes(self):
        """The page's notes on an image, after its name and score."""
        return self.text("#note").partition(" nats")[2].partition(". ")[2]

    def value(self, name):
        return float(self.page.get_attribute(f"#{name}", "value"))


@contextmanager
def served(files):
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def exploring(browser, bundle, link="", files=None, ready=READY, **settings):
    """The page of a bundle, once it is ready; checks at the end that nothing went wrong in it."""
    node_modules(ROOT / "examples" / "browser")
    files = files or pages.page(bundle, "tiny", ORT_DIR)
    if not link:  # else it begins with a walk
        settings.setdefault("reduced_motion", "reduce")
    with served(files) as url:
        page = browser.open(url + link, **settings)
        page.wait_for_selector(ready, state="attached")
        yield Explorer(page, url, bundle)
        if ready == READY:
            assert browser.trouble == []


@pytest.fixture(scope="module")
def chromium():
    """One Chromium for all tests here, because starting it takes longer than most of them."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    path = program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def browser(chromium):
    """Starts with nothing in `trouble`; the pages of a test are closed after it."""
    before = chromium.contexts
    yield Browser(chromium)
    for context in chromium.contexts:
        if context not in before:
            context.close()


@pytest.fixture
def bundle(bundle_path):
    return Bundle.open(bundle_path)


@pytest.fixture(scope="module")
def shared(chromium, bundle_path):
    """A page of the tiny model that many tests share, each starting from a link back to its initial state."""
    browser = Browser(chromium)
    with exploring(browser, Bundle.open(bundle_path), reduced_motion="no-preference") as found:
        yield browser, found, START.format(*(as_text(z) for z in noise.standard_normal(0, 0, 24, 3)[[0, 23]]))


@pytest.fixture
def explorer(shared):
    browser, found, start = shared
    # The address follows the state with a delay, so it may already be the target.
    found.page.evaluate(
        "start => { history.replaceState(null, '', '#'); location.hash = start; scrollTo(0, 0); }", start
    )
    found.await_code(lambda code: as_text(code) in start.partition("&a=")[0])
    found.settle()
    yield found
    assert browser.trouble == []


START = "seed=0&temperature=1&across=0&up=1&z={0}&a={0}&b={1}"


def as_text(code):
    return ",".join(repr(float(value)) for value in code)


def read(path, shape, reading=PLAIN):
    """A picture as `kvae score --resize` reads it."""
    return next(open_images([path], shape, resize=True, reading=reading).batches()).images


def rgb(images):
    """Floats in [0, 1] as the bytes of a canvas."""
    bytes_ = pictures.to_uint8(images)
    return np.broadcast_to(bytes_, (*bytes_.shape[:-1], 3)).astype(int)


def assert_same_picture(found, image):
    """Equal within one level: the two runtimes may differ in the last bit, at the edge between two levels."""
    assert np.abs(found.astype(int) - rgb(image)).max() <= 1
    assert found.std() > 0


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


# Pictures of codes


@pytest.mark.parametrize("model", ["tiny", "shipped"])
def test_samples_match_the_seed(browser, model, bundle_path):
    bundle = Bundle.open(bundle_path if model == "tiny" else SHIPPED)
    with exploring(browser, bundle, "#seed=18446744073709551615&temperature=0.7") as explorer:
        expected = bundle.sample(24, seed=2**64 - 1, temperature=0.7)
        for index in (0, 1, 12, 23):
            assert_same_picture(explorer.pixels("#grid canvas", index), expected[index])
        explorer.page.click("#next")  # the seed after the last is 0
        assert explorer.page.input_value("#seed") == "0"
        explorer.page.click("#previous")
        assert explorer.page.input_value("#seed") == str(2**64 - 1)


def test_choosing_a_sample_sets_the_code(explorer, bundle):
    z = noise.standard_normal(0, 0, 24, 3)
    np.testing.assert_array_equal(explorer.code(), z[0])
    explorer.page.click("#grid button >> nth=5")
    explorer.await_code(lambda code: np.array_equal(code, z[5]))
    assert_same_picture(explorer.pixels(), bundle.decode(z[5:6])[0])
    assert explorer.page.locator("#grid button[aria-pressed=true]").count() == 1
    steps = explorer.page.evaluate("history.length")
    explorer.page.click("#grid button >> nth=5")
    assert explorer.page.evaluate("history.length") == steps


def test_samples_can_be_chosen_with_keys(explorer):
    """They are one stop of the Tab key; arrows move among them, Enter chooses."""
    z = noise.standard_normal(0, 0, 24, 3)
    explorer.page.focus("#grid button[tabindex='0']")
    for key in ("End", "ArrowLeft", "ArrowUp", "Enter"):
        explorer.page.keyboard.press(key)
    explorer.await_code(lambda code: np.array_equal(code, z[22 - 12]))
    assert explorer.page.locator("#grid button[tabindex='0']").count() == 1


def test_an_invalid_seed_is_reported_and_changes_nothing(explorer):
    before = explorer.pixels("#grid canvas", 3)
    for text in ("-1", "1.5", str(2**64)):
        explorer.page.fill("#seed", text)
        assert explorer.page.eval_on_selector("#seed", "input => input.validationMessage").startswith(
            "A seed is a whole"
        )
    np.testing.assert_array_equal(explorer.pixels("#grid canvas", 3), before)


@pytest.mark.parametrize("way", ["#next", "link"])
def test_a_seed_set_in_another_way_clears_the_error(explorer, way):
    page = explorer.page
    page.fill("#seed", "x")
    assert page.locator("#seed:invalid").count() == 1
    if way == "link":
        page.evaluate("location.hash = '#seed=7'")
        page.wait_for_function("seed.value === '7'")
    else:
        page.click(way)
    assert page.locator("#seed:invalid").count() == 0


def test_a_seed_is_only_reported_as_invalid_once_it_is_typed(explorer):
    page = explorer.page
    page.evaluate("""() => {
        globalThis.told = 0;
        seed.reportValidity = () => told++;
    }""")
    page.focus("#seed")
    page.keyboard.press("Control+A")
    page.keyboard.type("1e5")
    assert page.evaluate("told") == 0
    page.keyboard.press("Tab")
    assert page.evaluate("told") == 1
    page.evaluate("delete seed.reportValidity")


def test_the_largest_seed_can_be_typed_digit_by_digit(explorer):
    explorer.page.fill("#seed", "")
    explorer.page.type("#seed", str(2**64 - 1))
    assert explorer.page.input_value("#seed") == str(2**64 - 1)
    assert explorer.page.locator("#seed:invalid").count() == 0


def test_a_slider_changes_only_its_dimension(explorer, bundle):
    before = explorer.code()
    explorer.page.focus("#z1")
    explorer.page.keyboard.press("Home")
    for _ in range(3):
        explorer.page.keyboard.press("ArrowRight")
    expected = np.array([before[0], -3.85, before[2]], np.float32)
    explorer.await_code(lambda code: np.array_equal(code, expected))
    assert_same_picture(explorer.pixels(), bundle.decode(expected[None])[0])
    assert explorer.text("#sliders .used li:nth-child(2) output") == "−3.85"


def test_many_changes_between_two_frames_are_one_update(explorer, bundle):
    """Updates never queue up: 300 movements of a slider draw few pictures, and the last is the right one."""
    explorer.page.evaluate("""() => {
        globalThis.seen = 0;
        const observer = new PerformanceObserver((list) => (seen += list.getEntriesByName("update").length));
        observer.observe({ entryTypes: ["measure"] });
    }""")
    explorer.page.eval_on_selector(
        "#z0",
        """input => {
        for (let i = 1; i <= 300; i++) { input.value = i / 100; input.dispatchEvent(new Event("input")); }
    }""",
    )
    code = explorer.await_code(lambda code: code[0] == 3)
    assert_same_picture(explorer.pixels(), bundle.decode(code[None])[0])
    assert 1 <= explorer.page.evaluate("() => new Promise((done) => setTimeout(() => done(seen), 100))") <= 3


@pytest.mark.parametrize("latent_dim", [1, 2, 40])
def test_sliders_are_sorted_by_rate_and_unused_ones_folded_away(browser, tmp_path, latent_dim):
    bundle = Bundle.open(export(make_vae(latent_dim=latent_dim), tmp_path / "b", dataset=DATASET).path)
    rates = np.random.default_rng(0).permutation(latent_dim) / 4.0
    lists = {name: [0.0] * latent_dim for name in ("loc_mean", "loc_std", "scale_mean")}
    bundle.manifest = replace(bundle.manifest, posterior={"num_images": 10, "rate": rates.tolist(), **lists})
    with exploring(browser, bundle) as explorer:
        labels = explorer.page.locator("#dimensions li label").all_text_contents()
        assert labels == [f"z{d}" for d in np.argsort(-rates)]
        assert explorer.page.locator("#sliders .used li").count() == min(16, latent_dim - 1)
        assert explorer.page.locator("#sliders .more li").count() == max(0, latent_dim - 17)
        assert explorer.text("#sliders .unused summary") == "1 unused (below 0.01 nats)"
        assert not explorer.page.is_visible("#sliders .unused li")
        assert explorer.page.is_visible("#map") == (latent_dim > 1)
        if latent_dim > 1:
            assert explorer.text("#dimensions li .rate") == f"{(latent_dim - 1) / 4:.2f}"
            assert explorer.page.input_value("#across") == str(np.argmax(rates))


def test_a_bundle_without_rates_keeps_the_order_of_dimensions_and_says_so(explorer):
    assert explorer.page.locator("#dimensions li label").all_text_contents() == ["z0", "z1", "z2"]
    assert "does not say what each dimension does" in explorer.text("#order")
    row = explorer.page.locator("#sliders .used li").first
    ends = [it.bounding_box() for it in (row, row.locator("output"))]
    assert len({end["x"] + end["width"] for end in ends}) == 1  # no empty column for a rate


# The map


def test_the_map_can_be_moved_with_keys(explorer, bundle):
    explorer.page.select_option("#across", "2")
    explorer.page.select_option("#up", "0")
    before = explorer.code()
    for key in ("ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        explorer.page.press("#handle", key)
    code = explorer.await_code(lambda code: abs(code[0] - before[0]) > 0.5)
    np.testing.assert_allclose(code, before + [0.6, 0.0, 0.1], atol=1e-6)
    assert_same_picture(explorer.pixels(), bundle.decode(code[None])[0])
    text = explorer.page.get_attribute("#handle", "aria-valuetext").replace("−", "-")
    assert text == f"z2 {code[2]:.2f}, z0 {code[0]:.2f}"


def test_the_map_has_keys_for_its_edges_and_larger_steps(explorer):
    explorer.page.evaluate("location.hash = '#z=0,0.5,0'")
    explorer.await_code(lambda code: code[0] == 0)
    explorer.page.focus("#handle")
    top = explorer.page.evaluate("scrollY")
    expected = {"Home": [-3, 0], "End": [3, 0], "PageUp": [3, 1], "PageDown": [3, 0]}
    for key, (right, up) in expected.items():
        explorer.page.keyboard.press(key)
        explorer.await_code(lambda code, place=(right, 0.5 + up): np.allclose(code[:2], place))
    assert explorer.page.evaluate("scrollY") == top
    explorer.page.evaluate("location.hash = '#z=9,0,0'")
    explorer.await_code(lambda code: code[0] == 9)
    assert explorer.page.get_attribute("#handle", "aria-valuenow") == "3"
    assert explorer.page.get_attribute("#handle", "aria-valuetext") == "z0 9.00, z1 0.00"


def test_the_map_is_dragged_and_stops_at_its_edges(explorer, bundle):
    page, before = explorer.page, explorer.code()
    page.locator("#field").scroll_into_view_if_needed()
    box = page.locator("#field").bounding_box()

    def place(right, up):
        return box["x"] + box["width"] * right, box["y"] + box["height"] * (1 - up)

    page.mouse.move(*place(0.5, 0.5))
    page.mouse.down()
    explorer.await_code(lambda code: np.abs(code[:2]).max() < 0.05)
    page.mouse.move(*place(0.25, 0.75), steps=4)
    code = explorer.await_code(lambda code: code[0] < -1.45)
    np.testing.assert_allclose(code, [-1.5, 1.5, before[2]], atol=0.03)
    assert_same_picture(explorer.pixels(), bundle.decode(code[None])[0])
    page.mouse.move(*place(2.0, -0.5))
    np.testing.assert_array_equal(explorer.await_code(lambda code: code[0] > 0), [3, -3, before[2]])
    page.mouse.up()
    page.mouse.move(*place(0.5, 0.5))
    page.evaluate(FRAME)
    assert explorer.code()[0] == 3


def test_the_map_shows_the_image_at_each_point(explorer, bundle):
    """Its small pictures are decoded from the codes at their centres, with the other dimensions unchanged."""
    explorer.page.wait_for_selector("#field[aria-busy=false]")
    found = explorer.pixels("#background")
    assert found.shape == (72, 72, 3)
    z = np.repeat(explorer.code()[None], 81, axis=0)
    values = np.linspace(-3, 3, 19)[1::2]
    z[:, 0], z[:, 1] = np.tile(values, 9), np.repeat(values[::-1], 9)
    expected = bundle.decode(z).reshape(9, 9, 8, 8, 1).transpose(0, 2, 1, 3, 4).reshape(72, 72, 1)
    assert_same_picture(found, expected)


def test_choosing_the_dimension_of_the_other_axis_swaps_them(explorer):
    explorer.page.select_option("#across", "1")
    assert (explorer.page.input_value("#across"), explorer.page.input_value("#up")) == ("1", "0")


# Interpolation


def test_the_strip_goes_from_a_to_b(explorer, bundle):
    z = noise.standard_normal(0, 0, 24, 3)
    explorer.page.click("#grid button >> nth=3")
    explorer.page.click("#take-a")
    explorer.page.click("#grid button >> nth=8")
    explorer.page.click("#take-b")
    explorer.page.click("#strip button >> nth=6")
    code = explorer.await_code(lambda code: not np.array_equal(code, z[8]))
    np.testing.assert_allclose(code, 0.25 * z[3] + 0.75 * z[8], rtol=1e-6)
    line = np.stack([(1 - t) * z[3] + t * z[8] for t in np.linspace(0, 1, 9)]).astype(np.float32)
    for index, image in enumerate(bundle.decode(line)):
        assert_same_picture(explorer.pixels("#strip canvas", index), image)
    assert float(explorer.page.input_value("#position")) == 0.75


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_the_animation_plays_and_pauses(browser, bundle, motion):
    """Smoothly, or from picture to picture if the user's system asks for reduced motion."""
    z = noise.standard_normal(0, 0, 24, 3)[[0, 23]]
    with exploring(browser, bundle, reduced_motion=motion) as explorer:
        explorer.page.click("#play")
        assert explorer.text("#play") == "Pause"
        assert explorer.page.get_attribute("#play", "aria-pressed") is None
        places = []
        for _ in range(40):
            explorer.page.wait_for_timeout(25)
            places.append((explorer.code()[0] - z[0, 0]) / (z[1, 0] - z[0, 0]))
        explorer.page.click("#play")
        explorer.page.evaluate(FRAME)
        explorer.page.evaluate(FRAME)
        paused = explorer.code()
        explorer.page.wait_for_timeout(300)
        np.testing.assert_array_equal(explorer.code(), paused)
    steps = np.array(places) * 8
    on_the_strip = np.abs(steps - np.rint(steps)) < 1e-3
    assert steps[-1] > 1
    assert on_the_strip.all() if motion == "reduce" else on_the_strip.mean() < 0.5


# The visitor's own images


def expected_score(bundle, image):
    """Rate, distortion and ELBO by numpy, as docs/bundle-format.md defines them."""
    (loc,), (scale,) = bundle.encode(image[None])
    z = loc + scale * noise.standard_normal(0, 0, 10, len(loc))
    parameters = bundle.run("decoder", {"z": z}, ["likelihood_parameters"])["likelihood_parameters"]
    distortion = -log_density(bundle.manifest.likelihood, parameters, image).mean()
    rate = np.sum((loc.astype(float) ** 2 + scale.astype(float) ** 2 - 1) / 2 - np.log(scale.astype(float)))
    return {"rate": rate, "distortion": distortion, "elbo": -distortion - rate}, loc


def assert_inspected(explorer, bundle, image):
    """The page shows this image, its reconstruction and its score."""
    assert_same_picture(explorer.pixels("#reconstruction"), bundle.reconstruct(image[None])[0])
    np.testing.assert_array_equal(explorer.pixels("#original"), rgb(image))
    score, loc = expected_score(bundle, image)
    for name, value in score.items():
        assert explorer.value(name) == pytest.approx(value, rel=1e-3)
        assert explorer.text(f"#{name}") == f"{explorer.value(name):.2f} nats".replace("-", "−")
    explorer.page.click("#explore")
    np.testing.assert_allclose(explorer.await_code(lambda code: np.allclose(code, loc, atol=1e-3)), loc, atol=1e-5)


@pytest.mark.parametrize(
    ("likelihood", "channels"),
    [("bernoulli", 1), ("continuous_bernoulli", 1), ("normal", 3), ("discretized_logistic", 3)],
)
def test_an_image_is_reconstructed_and_scored(browser, tmp_path, likelihood, channels):
    """A PNG of the right size reaches the model byte for byte."""
    vae = make_vae((6, 8, channels), likelihood=likelihood)
    bundle = Bundle.open(export(vae, tmp_path / "b", dataset=DATASET).path)
    bytes_ = pictures.to_uint8(random_images(1, (6, 8, channels))[0])
    with exploring(browser, bundle) as explorer:
        explorer.give(png(bytes_ if channels == 3 else bytes_[..., 0]))
        assert explorer.notes() == ""
        assert_inspected(explorer, bundle, bytes_.astype(np.float32) / 255)
        assert explorer.text("#percentile").startswith("unknown")


def test_a_model_of_binarised_images_gets_bits(browser, tmp_path):
    bundle = Bundle.open(export(make_vae(), tmp_path / "b", dataset=DATASET, binarize="dynamic").path)
    bytes_ = pictures.to_uint8(random_images(1)[0])
    words = np.random.Philox(key=3).random_raw(64) >> np.uint64(11)
    bits = (words.astype(float) * 2.0**-53 < bytes_.ravel() / 255).astype(np.float32).reshape(8, 8, 1)
    with exploring(browser, bundle) as explorer:
        explorer.give(png(bytes_[..., 0]))
        assert explorer.notes().startswith("Binarised")
        assert_inspected(explorer, bundle, bits)
        explorer.give(png(pictures.to_uint8(bits)[..., 0]))
        assert explorer.notes() == ""


def test_the_percentile_of_a_picture_among_training_images(browser):
    bundle = Bundle.open(SHIPPED)
    quantiles = bundle.manifest.scoring
    with exploring(browser, bundle) as explorer:
        explorer.page.click("#reconstruct")
        explorer.page.wait_for_selector("#result", state="visible")
        image = explorer.pixels()[..., :1].astype(np.float32) / 255
        expected = np.interp(explorer.value("elbo"), quantiles["elbo"], quantiles["percents"])
        assert 0 < expected < 100
        assert explorer.value("percentile") == pytest.approx(expected)
        assert explorer.text("#percentile") == f"{expected:.1f} (among {quantiles['num_images']:,} training images)"
        score = scoring.score(bundle, image[None], *scoring.recorded_settings(bundle.manifest))
        for name in ("elbo", "rate", "distortion"):
            assert explorer.value(name) == pytest.approx(getattr(score, name)[0], rel=1e-3)


def test_a_change_of_size_and_colour_is_noted(explorer):
    """Colour becomes grey as in Pillow; a wide image is cropped to its middle."""
    colour = Image.new("RGB", (40, 16), (0, 0, 255))
    colour.paste((200, 100, 50), (12, 0, 28, 16))
    buffer = io.BytesIO()
    colour.save(buffer, "PNG")
    explorer.give(buffer.getvalue())
    assert explorer.notes() == "Resized from 40 × 16 to 8 × 8, its middle alone. Colours became grey."


def texture(width, height, mode="RGB"):
    """Waves, noise and hard edges, for which different resampling cannot agree by accident."""
    rng = np.random.default_rng(width)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    waves = 127 + 127 * np.sin(0.9 * x[..., None] + 0.31 * np.arange(1, 5) * y[..., None])
    waves[(x // 5 + y // 3) % 4 == 0] = 255
    bytes_ = (0.7 * waves + 0.3 * rng.integers(0, 256, waves.shape)).astype(np.uint8)
    return Image.fromarray(bytes_, "RGBA").convert(mode)


@pytest.fixture(scope="module")
def taking(chromium, tmp_path_factory):
    """Pages of models that take 8 x 8 x 1, and 12 x 9 x 3 as width, height and channels."""
    browser, found = Browser(chromium), {}
    with ExitStack() as stack:
        for shape in ((8, 8, 1), (9, 12, 3)):
            vae = make_vae(shape, likelihood="bernoulli" if shape[-1] == 1 else "discretized_logistic")
            path = export(vae, tmp_path_factory.mktemp("taking") / "b", dataset=DATASET).path
            found[shape] = stack.enter_context(exploring(browser, Bundle.open(path)))
        yield found


SIZES = [(8, 8), (12, 9), (5, 3), (3, 7), (1, 1), (1, 900), (700, 1), (31, 17), (64, 48), (403, 301)]
SIZES += [(37, 600), (11, 90), (20, 48)]  # so tall that Pillow 13 reduces the height first


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 12, 3)], ids=["grey", "colour"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_picture_of_any_size_is_read_as_by_kvae_score_resize(taking, tmp_path, shape, mode):
    """The pixels within one level, the scores within 1 nat."""
    explorer = taking[shape]
    for size in SIZES:
        path = tmp_path / f"{size}.png"
        texture(*size, mode).save(path)
        explorer.give(path.read_bytes())
        expected = read(path, shape, Reading(alpha="black"))  # as on the page
        found = explorer.pixels("#original")
        assert np.abs(found.astype(int) - rgb(expected[0])).max() <= 1, size
        elbo = scoring.score(explorer.bundle, expected).elbo[0]
        assert explorer.value("elbo") == pytest.approx(elbo, abs=1), size


def test_a_rotated_photograph_is_read_upright(taking, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it to the right
    path = tmp_path / "turned.png"
    texture(60, 40).save(path, exif=exif)
    taking[9, 12, 3].give(path.read_bytes())
    expected = rgb(read(path, (9, 12, 3))[0])
    assert np.abs(taking[9, 12, 3].pixels("#original").astype(int) - expected).max() <= 1


def test_transparent_parts_become_black_with_a_note(explorer):
    colours = np.full((8, 8, 4), 200, np.uint8)
    colours[..., 3] = 51  # a fifth
    explorer.give(png(colours))
    assert explorer.notes() == "Transparent parts became black."
    assert set(explorer.pixels("#original").ravel()) == {40}
    colours[..., 3] = 255
    explorer.give(png(colours))
    assert explorer.notes() == ""


def test_the_first_frame_of_an_animation_is_used_with_a_note(explorer):
    frames, buffer = [Image.new("L", (8, 8), level) for level in (80, 160)], io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    explorer.give(buffer.getvalue(), "it.gif", "image/gif")
    assert explorer.notes() == "Animated: its first frame alone."
    assert set(explorer.pixels("#original").ravel()) == {80}


def test_a_picture_that_is_too_large_is_an_error_in_one_line(explorer):
    buffer = io.BytesIO()
    Image.new("1", (9460, 9460)).save(buffer, "PNG")
    explorer.give(buffer.getvalue(), "huge.png")
    assert explorer.text("#note.error") == "huge.png has more than 89,478,485 pixels; make it smaller first."


def test_an_image_is_named_and_its_score_announced(explorer):
    """In the live region, so that screen readers announce it."""
    assert explorer.page.get_attribute("#note", "role") == "status"
    explorer.page.evaluate("""() => {
        globalThis.told = [];
        new MutationObserver(() => told.push(note.textContent)).observe(note, { childList: true });
    }""")
    explorer.give(png(np.full((8, 8), 77, np.uint8)), "grey.png")
    elbo = f"{explorer.value('elbo'):.2f}".replace("-", "−")
    assert explorer.page.evaluate("told") == ["Reading grey.png…", f"grey.png: ELBO {elbo} nats."]


def test_colours_become_grey_as_in_pillow(explorer):
    colour = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    explorer.give(png(colour))
    np.testing.assert_array_equal(
        explorer.pixels("#original")[..., 0], np.asarray(Image.fromarray(colour).convert("L"))
    )


def test_the_gamma_of_a_png_changes_no_byte(explorer):
    """Pillow, which reads the training images, ignores it too."""
    bytes_ = np.random.default_rng(1).integers(0, 256, (8, 8), np.uint8)
    about, buffer = PngInfo(), io.BytesIO()
    about.add(b"gAMA", (100_000).to_bytes(4, "big"))
    Image.fromarray(bytes_).save(buffer, "PNG", pnginfo=about)
    explorer.give(buffer.getvalue())
    np.testing.assert_array_equal(explorer.pixels("#original")[..., 0], bytes_)


def test_a_file_that_is_not_an_image_is_an_error_in_one_line(explorer):
    """And the previous image is no longer shown beside it."""
    explorer.give(png(np.full((8, 8), 77, np.uint8)))
    assert explorer.page.is_visible("#result")
    explorer.give(b"Dear diary", "diary.txt")
    assert explorer.text("#note.error") == "diary.txt is no image that this browser can read."
    assert not explorer.page.is_visible("#result")
    explorer.give(png(np.full((8, 8), 77, np.uint8)))
    assert explorer.page.locator("#note.error").count() == 0


def drop(page, content):
    """Drop a file on the page, and return what the browser then does, "stays" or "leaves"."""
    return page.evaluate(
        """content => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(content)], "grey.png", { type: "image/png" }));
            const settings = { dataTransfer, bubbles: true, cancelable: true };
            const left = ["dragover", "drop"].map((type) => document.body.dispatchEvent(new DragEvent(type, settings)));
            return left.includes(true) ? "leaves" : "stays";
        }""",
        list(content),
    )


def test_dropping_a_file_on_a_page_without_an_encoder_does_no_harm(browser, bundle_path):
    with exploring(browser, Bundle.open(bundle_path / "decoder.onnx")) as explorer:
        assert drop(explorer.page, b"Dear diary") == "stays"


def test_dropping_a_file_while_the_model_loads_does_no_harm(browser, bundle):
    with served(pages.page(bundle, "tiny", ORT_DIR)) as url:
        page = browser.open("about:blank")
        page.route("**/config.json", lambda route: None)  # it never comes
        page.goto(url, wait_until="load")
        assert drop(page, b"Dear diary") == "stays"


def test_an_image_can_be_dropped_anywhere(explorer):
    """Without this, dropping it outside the drop area would make the browser leave the page for the file."""
    assert drop(explorer.page, png(np.full((8, 8), 77, np.uint8))) == "stays"
    explorer.page.wait_for_selector("#inspection[aria-busy=false]")
    assert set(explorer.pixels("#original").ravel()) == {77}


def test_with_only_a_decoder_the_page_says_why_it_takes_no_images(browser, bundle_path):
    bundle = Bundle.open(bundle_path / "decoder.onnx")
    with exploring(browser, bundle) as explorer:
        assert explorer.page.is_visible("#absent")
        assert not explorer.page.is_visible("#drop")
        assert_same_picture(explorer.pixels(), bundle.sample(1)[0])


# Links and files


def test_a_link_restores_the_page_s_state(browser, bundle):
    with exploring(browser, bundle, permissions=["clipboard-read", "clipboard-write"]) as explorer:
        page = explorer.page
        page.click("#next")
        page.click("#grid button >> nth=4")
        page.click("#take-b")
        page.press("#z2", "ArrowLeft")
        page.select_option("#up", "2")
        page.press("#temperature", "Home")
        page.wait_for_timeout(50)
        page.click("#copy")
        page.wait_for_selector("#copy:text('Copied')")
        link = page.evaluate("navigator.clipboard.readText()")
        again = Explorer(browser.open(link), explorer.url, bundle)
        again.page.wait_for_selector(READY)
        np.testing.assert_array_equal(again.code(), explorer.code())
        for selector in ("#picture", "#strip canvas >> nth=4", "#grid canvas >> nth=7"):
            np.testing.assert_array_equal(again.pixels(selector), explorer.pixels(selector))
        for field in ("seed", "temperature", "across", "up"):
            assert again.page.input_value(f"#{field}") == page.input_value(f"#{field}")
        assert again.page.evaluate("location.hash") == page.evaluate("location.hash")


def test_numbers_in_a_link_are_exact(browser, bundle):
    """Any float32 in few digits, including those between two candidates for a shorter number."""
    z = np.array([0.1, 1e-38 / 3, -16777215.0 / 16777216], np.float32)
    with exploring(browser, bundle, "#z=" + ",".join(repr(float(value)) for value in z)) as explorer:
        np.testing.assert_array_equal(explorer.code(), z)
        explorer.page.press("#temperature", "ArrowLeft")
        explorer.page.wait_for_url(re.compile("temperature=0.95"))
        written = re.search("z=([^&]*)", explorer.page.evaluate("location.hash"))[1]
        np.testing.assert_array_equal(np.array(written.split(","), np.float32), z)
        assert written.startswith("0.1,")


BAD_LINKS = {
    "#z=1,2": "The link is of another model: its code has 2 numbers, this model's 3.",
    "#z=1,2,x": 'The link is damaged: "x" is no number from -1000000 to 1000000.',
    "#z=1,0x1,2": 'The link is damaged: "0x1" is no number from -1000000 to 1000000.',
    "#across=2&up=2": "The link is damaged: its map shows one dimension both ways.",
    "#across=1": "The link is damaged: its map shows one dimension both ways.",
    "#z=1,,2": 'The link is damaged: "" is no number from -1000000 to 1000000.',
    "#across=3": "The link is of another model: it has no dimension 3.",
    "#seed=-1": 'The link is damaged: "-1" is no whole number from 0 to 2^64 - 1.',
    "#temperature=9": 'The link is damaged: "9" is no number from 0 to 2.',
}


def test_a_bad_link_is_an_error_in_one_line_and_the_page_works(browser, bundle):
    with exploring(browser, bundle, "#z=1") as explorer:
        assert explorer.text("#status.error").endswith("its code has 1 numbers, this model's 3.")
        for link, message in BAD_LINKS.items():
            explorer.page.evaluate("link => { location.hash = link; }", link)
            explorer.page.wait_for_selector(f"#status.error:text-is({json.dumps(message)})")
        assert_same_picture(explorer.pixels(), bundle.sample(1)[0])
        explorer.page.press("#z0", "Home")
        explorer.await_code(lambda code: code[0] == -4)
        assert explorer.text("#status").startswith("The model runs in this browser")
        for link in ("#z=1", "#z=1,2,3e-1"):
            explorer.page.evaluate("link => { location.hash = link; }", link)
            explorer.page.wait_for_selector("#status.error" if link == "#z=1" else "#status:not(.error)")
        assert explorer.text("#status").startswith("The model runs in this browser")


def test_the_back_button_undoes_a_choice(explorer):
    before = explorer.code()
    explorer.page.click("#grid button >> nth=4")
    chosen = explorer.await_code(lambda code: not np.array_equal(code, before))
    explorer.page.go_back()
    explorer.await_code(lambda code: np.array_equal(code, before))
    explorer.page.go_forward()
    explorer.await_code(lambda code: np.array_equal(code, chosen))


def test_pictures_are_saved_as_png(explorer, bundle):
    with explorer.page.expect_download() as picture:
        explorer.page.click("#save")
    with Image.open(picture.value.path()) as image:
        assert (picture.value.suggested_filename, image.format, image.size) == ("tiny.png", "PNG", (8, 8))
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), explorer.pixels())
    with explorer.page.expect_download() as grid:
        explorer.page.click("#save-grid")
    with Image.open(grid.value.path()) as image:
        assert grid.value.suggested_filename == "tiny-seed-0.png"
        expected = np.asarray(pictures.grid(bundle.sample(24), columns=12).convert("RGB"))
        assert image.size == expected.shape[1::-1]
        assert np.abs(np.asarray(image.convert("RGB")).astype(int) - expected).max() <= 1


# Format 2: labels, priors of their own, groups of latent dimensions


def opened(path):
    """A bundle as `pages.page` needs it, made without kvae's runtime."""
    manifest = Manifest.read(path)
    return SimpleNamespace(manifest=manifest, graphs={role: path / f"{role}.onnx" for role in manifest.tensors})


@contextmanager
def exploring_member(browser, name, folder, link="", **settings):
    """The page of a member of `format_2`, and the same model in numpy."""
    member = format_2.member(name)
    bundle = opened(member.write(folder / name))
    with exploring(browser, bundle, link, **settings) as explorer:
        yield explorer, member


def assert_grid(explorer, member, *call, **settings):
    explorer.settle()
    for index, image in enumerate(member.decode(*member.drawn(*call, **settings))):
        assert_same_picture(explorer.pixels("#grid canvas", index), image)


@pytest.mark.parametrize("name", format_2.MEMBERS)
def test_members_of_format_2_are_drawn_and_scored(browser, tmp_path, name):
    """Samples at two seeds and two temperatures, the picture, and the score of an image."""
    with exploring_member(browser, name, tmp_path, "#seed=7&temperature=0.7") as (explorer, member):
        assert_grid(explorer, member, 7, 0, 24, temperature=0.7)
        explorer.page.click("#next")
        explorer.page.press("#temperature", "End")
        assert_grid(explorer, member, 8, 0, 24, temperature=2.0)
        z, label = member.drawn(0, 0, 1)  # the picture that the page begins with
        np.testing.assert_allclose(explorer.code(), z[0], rtol=1e-6)
        assert_same_picture(explorer.pixels(), member.decode(z, label)[0])
        bytes_ = pictures.to_uint8(random_images(1)[0])
        image = bytes_ / 255.0
        explorer.give(png(bytes_[..., 0]))
        for part, value in member.score(image, label).items():
            assert explorer.value(part) == pytest.approx(value, rel=1e-5)
        loc, _ = member.encode(image[None], label)
        assert_same_picture(explorer.pixels("#reconstruction"), member.decode(loc, label)[0])
        explorer.page.click("#explore")
        explorer.await_code(lambda code: np.allclose(code, loc[0], atol=1e-5))


def test_the_label_applies_to_samples_pictures_paths_and_reconstructions(browser, tmp_path):
    with exploring_member(browser, "conditional", tmp_path) as (explorer, member):
        page = explorer.page
        z, drawn = member.drawn(0, 0, 24)
        assert page.locator("#label option").all_text_contents() == format_2.LABELS
        assert page.is_checked("#mixed")
        names = [f"Sample {index}: {format_2.LABELS[label]}" for index, label in enumerate(drawn)]
        assert page.locator("#grid button").evaluate_all("all => all.map((it) => it.ariaLabel)") == names
        other = int(np.flatnonzero(drawn != drawn[0])[0])
        page.click(f"#grid button >> nth={other}")
        explorer.await_code(lambda code: np.allclose(code, z[other]))
        assert page.input_value("#label") == str(drawn[other])
        assert_same_picture(explorer.pixels(), member.decode(z[[other]], drawn[[other]])[0])
        assert_grid(explorer, member, 0, 0, 24)  # as it was
        bytes_ = pictures.to_uint8(random_images(1)[0])
        explorer.give(png(bytes_[..., 0]))

        page.select_option("#label", "right shoe")
        page.wait_for_selector("#inspection[aria-busy=false]")
        page.wait_for_selector("#note:text('image.png: ELBO')")
        assert not page.is_checked("#mixed")
        assert_grid(explorer, member, 0, 0, 24, label=1)
        assert_same_picture(explorer.pixels(), member.decode(z[[other]], [1])[0])
        line = np.stack([(1 - t) * z[0] + t * z[23] for t in np.linspace(0, 1, 9)])
        for index, image in enumerate(member.decode(line, np.ones(9, int))):
            assert_same_picture(explorer.pixels("#strip canvas", index), image)
        middle = explorer.pixels("#background")[32:40, 32:40]
        assert_same_picture(middle, member.decode(np.float32([[0, 0, z[other, 2]]]), [1])[0])
        assert explorer.value("elbo") == pytest.approx(member.score(bytes_ / 255.0, 1)["elbo"], rel=1e-5)

        link = page.evaluate("location.href") if page.evaluate("location.hash") else ""
        assert "&label=1&mixed=0&" in link
        again = browser.open(link)
        again.wait_for_selector(READY)
        assert (again.input_value("#label"), again.is_checked("#mixed")) == ("1", False)

        page.click("#best")
        best = max(range(4), key=lambda label: member.score(bytes_ / 255.0, label)["elbo"])
        page.wait_for_function("label => document.querySelector('#label').value === label", arg=str(best))
        page.check("#mixed")
        assert_grid(explorer, member, 0, 0, 24)
        for text, words in {"label=4": "it has no label 4", "mixed=2": "it has no mixture of labels 2"}.items():
            page.evaluate("link => { location.hash = link; }", text)
            page.wait_for_selector(f"#status.error:text-is('The link is of another model: {words}.')")


def test_sliders_and_temperatures_of_a_ladder_go_by_group(browser, tmp_path):
    member = format_2.member("ladder")
    rates = {"rate": [0.5, 0.001, 0.25]} | {name: [0.0] * 3 for name in ("loc_mean", "loc_std", "scale_mean")}
    bundle = opened(member.write(tmp_path / "b"))
    bundle.manifest = replace(bundle.manifest, posterior={"num_images": 10, **rates})
    phone = {"viewport": {"width": 360, "height": 740}}
    with exploring(browser, bundle, **phone) as explorer:
        page = explorer.page
        titles = page.locator("#sliders .group > summary").all_text_contents()
        assert titles == ["Group 1, coarsest · 1 dimension · 0.50 nats", "Group 2, finest · 2 dimensions · 0.25 nats"]
        assert page.locator("#sliders label").all_text_contents() == ["z0"]
        page.click("#sliders .group >> nth=1")
        page.wait_for_selector("#z2")
        assert page.is_hidden("#z1")
        page.click("#sliders .group .unused")
        page.press("#z1", "Home")
        explorer.await_code(lambda code: code[1] == -4)
        groups = page.locator("#across optgroup").evaluate_all("all => all.map((it) => [it.label, it.children.length])")
        assert groups == [["Group 1, coarsest", 1], ["Group 2, finest", 2]]
        page.click("#temperatures summary")
        page.press("#t1", "Home")
        assert page.text_content("#temperature-value") == "mixed"
        assert_grid(explorer, member, 0, 0, 24, temperature=[1.0, 0.0, 0.0])
        page.wait_for_url(re.compile("temperature=1,0&"))
        again = browser.open(page.evaluate("location.href"))
        again.wait_for_selector(READY)
        assert (again.input_value("#t0"), again.input_value("#t1")) == ("1", "0")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        page.press("#temperature", "End")
        assert_grid(explorer, member, 0, 0, 24, temperature=2.0)
        page.evaluate("location.hash = '#temperature=1,1,1'")
        page.wait_for_selector("#status.error:text('it has 3 temperatures, this model 2 groups')")


def test_sliders_span_the_draws_of_a_prior_with_graphs(browser, tmp_path):
    """And stand for z itself; the map too; they go back to the prior's mean."""
    with exploring_member(browser, "mixture", tmp_path) as (explorer, member):
        z, _ = member.drawn(0, 0, 256)
        mean, deviation = z.mean(axis=0), z.std(axis=0)
        for d in range(3):
            low, high = (float(explorer.page.get_attribute(f"#z{d}", name)) for name in ("min", "max"))
            assert low == pytest.approx(mean[d] - 4 * deviation[d], abs=0.3)
            assert high == pytest.approx(mean[d] + 4 * deviation[d], abs=0.3)
        explorer.page.click("#zero")
        code = explorer.await_code(lambda code: np.allclose(code, mean, atol=1e-5))
        assert_same_picture(explorer.pixels(), member.decode(code[None])[0])
        explorer.page.press("#handle", "End")
        explorer.await_code(lambda code: np.isclose(code[0], mean[0] + 3 * deviation[0], atol=1e-4))


def test_a_lone_decoder_of_a_prior_with_graphs_is_refused(tmp_path):
    bundle = opened(format_2.member("mixture").write(tmp_path / "b"))
    del bundle.graphs["prior"]
    with pytest.raises(KvaeError, match="the prior 'mixture' of this model is a graph of its own; open the whole"):
        pages.page(bundle, "x")


# The page as a whole


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(browser, scheme):
    phone = {"viewport": {"width": 360, "height": 640}, "color_scheme": scheme, "has_touch": True}
    with exploring(browser, Bundle.open(SHIPPED), **phone) as explorer:
        explorer.page.click("#reconstruct")
        explorer.page.wait_for_selector("#result", state="visible")
        for summary in explorer.page.locator("summary").all():
            if summary.is_visible():
                summary.click()
        assert explorer.page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("height", [640, 420])
def test_the_focused_element_is_not_hidden_under_the_picture(browser, height):
    with exploring(browser, Bundle.open(SHIPPED), viewport={"width": 360, "height": height}) as explorer:
        page = explorer.page
        page.click("#current summary")
        position = page.eval_on_selector("#current", "it => getComputedStyle(it).position")
        assert position == ("sticky" if height == 640 else "static")
        for key, presses in (("Tab", 60), ("Shift+Tab", 60)):
            for _ in range(presses):
                page.keyboard.press(key)
                hidden = page.evaluate("""() => {
                    const [bar, it] = [document.querySelector("#current"), document.activeElement];
                    const over = bar.getBoundingClientRect().bottom > it.getBoundingClientRect().top;
                    return over && getComputedStyle(bar).position === "sticky" && it !== document.body
                        && !bar.contains(it) && it.id;
                }""")
                assert hidden is False, key


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fields_stand_out(browser, bundle, scheme):
    """Their borders have a contrast of at least 3 with their surroundings (WCAG 1.4.11)."""
    with exploring(browser, bundle, color_scheme=scheme) as explorer:
        around = explorer.page.eval_on_selector("#samples", "it => getComputedStyle(it).backgroundColor")
        for selector in ("#seed", "#across", "#drop", "#save"):
            border = explorer.page.eval_on_selector(selector, "it => getComputedStyle(it).borderTopColor")
            assert contrast(around, border) >= 3, selector


def contrast(*colours):
    levels = [np.array(re.findall(r"\d+", colour)[:3], float) / 255 for colour in colours]
    linear = [np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4) for level in levels]
    darker, lighter = sorted(0.05 + light @ [0.2126, 0.7152, 0.0722] for light in linear)
    return lighter / darker


def test_figures_beside_sliders_are_not_read_aloud_at_every_step(explorer):
    outputs = explorer.page.locator("output")
    assert outputs.count() == 4
    assert outputs.evaluate_all("all => all.every((it) => it.ariaLive === 'off')")


def test_every_control_has_a_name_and_can_be_reached_by_tab(explorer):
    explorer.page.click("#reconstruct")
    explorer.page.wait_for_selector("#result", state="visible")
    controls = explorer.page.locator("button, input, select, [role=slider]")
    for control in controls.all():
        name = control.evaluate("it => it.ariaLabel || it.labels?.[0]?.textContent || it.textContent")
        assert name.strip()
    explorer.page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        explorer.page.keyboard.press("Tab")
        reached.add(explorer.page.evaluate("document.activeElement.id"))
    expected = {
        item for item in controls.evaluate_all("all => all.filter(it => it.checkVisibility()).map(it => it.id)")
    }
    assert expected <= reached | {""}


def test_a_page_works_from_a_folder_on_any_web_host(browser, bundle, tmp_path):
    """Under a subpath, and from a server with no knowledge of it."""
    node_modules(ROOT / "examples" / "browser")
    pages.write(pages.page(bundle, "tiny", ORT_DIR), tmp_path / "some" / "page")
    with hosted(tmp_path) as url:
        page = browser.open(f"{url}some/page/", reduced_motion="reduce")
        page.wait_for_selector(READY)
        assert_same_picture(Explorer(page, url, bundle).pixels(), bundle.sample(1)[0])
    assert browser.trouble == []


@pytest.mark.parametrize("pair", [("float16", "onnx"), ("int8", "onnx"), ("float32", "ort"), ("int8", "ort")], ids=str)
def test_converted_bundles_work(browser, run, tmp_path, pair):
    """For a trained model, the page computes what Python computes with the same graphs."""
    bundle = Bundle.open(convert(run.exported.path, tmp_path / "b", *pair).path)
    with exploring(browser, bundle) as explorer:
        explorer.settle()
        for index, image in enumerate(bundle.sample(24)):
            assert_same_picture(explorer.pixels("#grid canvas", index), image)
        explorer.page.click("#reconstruct")
        explorer.page.wait_for_selector("#result", state="visible")
        picture = explorer.pixels()[None, ..., :1].astype(np.float32) / 255
        elbo = scoring.score(bundle, binarization.as_encoded(bundle.manifest, picture)).elbo[0]
        assert explorer.value("elbo") == pytest.approx(elbo, abs=0.5)


def test_an_unexpected_error_is_shown_and_reaches_the_console(browser, bundle):
    with exploring(browser, bundle) as explorer:
        explorer.page.evaluate("() => { Promise.reject(new Error('injected')); }")
        assert explorer.page.text_content("#status.error") == "injected"
        assert any("injected" in line for line in browser.trouble)
        browser.trouble.clear()


# Failures


def without(files, name):
    return {other: content for other, content in files.items() if other != name}


@pytest.mark.parametrize("harm", ["missing", "cut short", "no model"])
def test_a_broken_model_is_an_error_in_one_line(browser, bundle, harm):
    files = pages.page(bundle, "tiny", ORT_DIR)
    name = "model/decoder.onnx"
    if harm == "missing":
        files = without(files, name)
    elif harm == "cut short":
        files[name] = files[name][:1000]
    else:  # with the right hash
        config = json.loads(files["config.json"])
        files[name] = b"no model"
        config["graphs"]["decoder"]["integrity"] = onnxruntime_web.integrity(files[name])
        files["config.json"] = json.dumps(config).encode()
    with exploring(browser, bundle, files=files, ready=FAILED) as explorer:
        line = explorer.text("#status.error")
        if harm == "no model":
            assert line.startswith("onnxruntime-web cannot load the decoder: ")
        else:
            assert line == f"{name} is missing, or not the file that this page was made with: run kvae explore again."


def test_a_broken_encoder_is_an_error_in_one_line_and_the_rest_works(browser, bundle):
    files = without(pages.page(bundle, "tiny", ORT_DIR), "model/encoder.onnx")
    with exploring(browser, bundle, files=files, ready=FAILED) as explorer:
        assert explorer.text("#status.error").startswith("model/encoder.onnx is missing, or not the file")
        explorer.page.press("#z0", "Home")
        code = explorer.await_code(lambda code: code[0] == -4)
        assert_same_picture(explorer.pixels(), bundle.decode(code[None])[0])
        assert explorer.page.eval_on_selector("#drop", "drop => drop.inert")


@pytest.mark.parametrize("name", list(onnxruntime_web.FILES))
def test_a_page_without_its_runtime_says_what_to_do(browser, bundle, name):
    files = without(pages.page(bundle, "tiny", ORT_DIR), f"ort/{name}")
    with exploring(browser, bundle, files=files, ready=FAILED) as explorer:
        line = explorer.text("#status.error")
        assert line == (
            "onnxruntime-web is missing, or another: this page is incomplete. Make it again with kvae explore."
        )


@pytest.mark.parametrize("harm", ["missing", "damaged", "no network"])
def test_a_page_without_its_config_is_an_error_in_one_line(browser, bundle, harm):
    files = pages.page(bundle, "tiny", ORT_DIR)
    files = without(files, "config.json") if harm == "missing" else files | {"config.json": b"<html>"}
    with served(files) as url:
        page = browser.open("about:blank")
        if harm == "no network":
            page.route("**/config.json", lambda route: route.abort("internetdisconnected"))
        page.goto(url)
        page.wait_for_selector(FAILED)
        assert page.text_content("#status.error") == "config.json cannot be loaded: run kvae explore again."


@pytest.mark.parametrize("network", ["up", "down", *(f"lies about {name}" for name in onnxruntime_web.FILES)])
def test_a_page_that_loads_the_runtime_from_the_cdn(browser, bundle, network):
    """It works if the CDN serves the pinned files, and accepts no others."""
    asked = []

    def answer(route):
        name = route.request.url.removeprefix(onnxruntime_web.CDN)
        asked.append(name)
        if network == "down":
            route.abort("internetdisconnected")
            return
        body = (ORT_DIR / "dist" / name).read_bytes() + (b"\n" if network == f"lies about {name}" else b"")
        kind = "application/wasm" if name.endswith(".wasm") else "application/javascript"
        route.fulfill(body=body, headers={"Content-Type": kind, "Access-Control-Allow-Origin": "*"})

    node_modules(ROOT / "examples" / "browser")
    with served(pages.page(bundle, "tiny")) as url:
        page = browser.open("about:blank")
        page.route("https://**/*", answer)
        page.goto(url)
        page.wait_for_selector(READY if network == "up" else FAILED, state="attached")
        assert set(asked) == set(onnxruntime_web.FILES)
        if network == "up":
            assert_same_picture(Explorer(page, url, bundle).pixels(), bundle.sample(1)[0])
            assert browser.trouble == []
        else:
            assert "cannot be loaded from cdn.jsdelivr.net. kvae explore --ort-dir" in page.text_content(
                "#status.error"
            )


# Real images, and the walk that the page opens with


@pytest.fixture(scope="module")
def real(chromium):
    """The page of a shipped model, which has real images."""
    with exploring(Browser(chromium), Bundle.open(SHIPPED, device="cpu")) as found:
        yield found, json.loads(pages.page(found.bundle, "x")["model/examples.json"])


def test_a_real_image_is_shown_and_a_click_decodes_its_code(real):
    explorer, examples = real
    shape = explorer.bundle.manifest.image_shape
    images = np.frombuffer(base64.b64decode(examples["images"]), np.uint8).reshape(-1, *shape)
    for index in (3, 8):
        np.testing.assert_array_equal(explorer.pixels("#real canvas", index)[..., :1], images[index])
        explorer.page.locator("#real button").nth(index).click()
        code = np.array(examples["codes"][index], np.float32)
        np.testing.assert_array_equal(explorer.await_code(lambda now, code=code: np.array_equal(now, code)), code)
        assert explorer.page.locator("#real button").nth(index).get_attribute("aria-pressed") == "true"
        label = None if explorer.bundle.manifest.labels is None else [examples["labels"][index]]
        assert_same_picture(explorer.pixels(), explorer.bundle.decode(code[None], label)[0])


def test_the_ring_on_the_map_of_codes_moves_within_its_plane(real):
    """By keyboard; what is across the plane stays as it is."""
    explorer, examples = real
    axes, centre = (np.array(examples["map"][name]) for name in ("axes", "centre"))
    explorer.page.locator("#real button").nth(5).click()
    start = np.array(examples["codes"][5], np.float32)
    explorer.await_code(lambda code: np.array_equal(code, start))
    explorer.page.focus("#code-handle")
    explorer.page.keyboard.press("Shift+ArrowRight")
    code = explorer.await_code(lambda now: not np.array_equal(now, start))
    moved = (code - start).astype(np.float64)
    assert moved @ axes.T == pytest.approx([np.linalg.norm(moved), 0], abs=1e-4)
    reach = 1.12 * np.abs(examples["map"]["points"]).max()
    assert np.linalg.norm(moved) == pytest.approx(0.2 * reach, rel=1e-3)
    place = (code - centre) @ axes.T
    assert float(explorer.page.get_attribute("#code-handle", "aria-valuenow")) == pytest.approx(place[0], abs=0.01)


def test_a_model_of_other_images_has_no_real_ones(shared):
    assert shared[1].page.is_hidden("#examples") and shared[1].page.is_hidden("#codes")


def test_the_page_opens_with_a_walk_that_the_first_touch_stops_where_it_is(browser):
    bundle = Bundle.open(SHIPPED, device="cpu")
    with exploring(
        browser, bundle, reduced_motion="no-preference", viewport={"width": 1280, "height": 800}
    ) as explorer:
        assert "A slow walk through the codes of real images" in explorer.page.inner_text("#current")
        first = explorer.pixels()
        explorer.page.wait_for_timeout(2500)
        assert (explorer.pixels() != first).any()
        explorer.page.mouse.click(3, 3)
        explorer.page.wait_for_selector("body:not([data-walking])", state="attached")
        explorer.page.wait_for_timeout(500)
        label = None if bundle.manifest.labels is None else [int(explorer.page.input_value("#label"))]
        assert_same_picture(explorer.pixels(), bundle.decode(explorer.code()[None], label)[0])
        stays = explorer.code()
        explorer.page.wait_for_timeout(1000)
        np.testing.assert_array_equal(explorer.code(), stays)


def test_with_less_motion_or_a_link_there_is_no_walk(browser, bundle):
    for link, motion in (("", "reduce"), ("#seed=3", "no-preference")):
        with exploring(browser, bundle, link, reduced_motion=motion) as explorer:
            assert explorer.page.get_attribute("body", "data-walking") is None


# How a photo is fitted


def fitted(image, size, whole, ground, inverted):
    """By Pillow: on a background, whole or cut, and inverted."""
    flat = Image.new("RGB", image.size, ground)
    flat.paste(image, mask=image.getchannel("A"))
    grey = flat.convert("L")
    if whole:
        side = max(grey.size)
        square = Image.new("L", (side, side), ground)
        square.paste(grey, ((side - grey.width) // 2, (side - grey.height) // 2))
        grey = square
    found = np.asarray(ImageOps.fit(grey, size, Image.Resampling.LANCZOS), int)
    return 255 - found if inverted else found


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize(("ground", "inverted"), [("black", False), ("white", True)])
def test_a_photo_is_fitted_on_its_background_and_inverted_as_by_pillow(explorer, whole, ground, inverted):
    page = explorer.page
    pixels = np.random.default_rng(0).integers(0, 256, (12, 30, 4), np.uint8)
    pixels[..., 3] = np.where(pixels[..., 3] < 128, 0, 255)
    image = Image.fromarray(pixels)
    page.select_option("#fit", "pad" if whole else "crop")
    page.select_option("#ground", ground)
    page.set_checked("#invert", inverted)
    explorer.give(png(pixels))
    expected = fitted(image, (8, 8), whole, ground, inverted)
    assert np.abs(explorer.pixels("#original")[..., 0].astype(int) - expected).max() <= 1
    notes = explorer.notes()
    assert f"Transparent parts became {ground}." in notes
    assert ("Inverted." in notes) == inverted and (f"on {ground}" in notes) == whole
    page.select_option("#fit", "crop")
    page.select_option("#ground", "black")
    page.set_checked("#invert", False)
