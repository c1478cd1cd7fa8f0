"""The programs in examples/: all of them draw the same images as Keras, and refuse bad input in one line."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import format_2
import numpy as np
import pytest
from browser import browser_fixture, served  # noqa: F401
from PIL import Image
from programs import ROOT, javascript, node_modules, program
from tiny import DATASET, make_vae

from kvae.bundle import noise
from kvae.export import bundles
from kvae.files import pictures
from kvae.runtime.bundle import Bundle

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "examples"
NODE, BROWSER = EXAMPLES / "node", EXAMPLES / "browser"
SHIPPED = ROOT / "exported" / "fashion_mnist_small"
TOP = 2**64 - 1
BAD_BUNDLES = {
    "missing": "manifest.json",
    "newer": "format_version 3",
    "changed": "is not the file that the manifest names",
    "no JSON": "manifest.json is not JSON",
    "no latent_dim": "latent_dim",
}
NO_VERSION = "has no format_version: it is no bundle's manifest"
# A manifest, as bytes or as fields to replace in a good one (None takes a field out), and what Node and the page say.
BROKEN_MANIFESTS = [
    (b"", "is not JSON"),
    (b'{"format_version": 1, "image', "is not JSON"),
    (b"\xff\x00\x9d\xa7", "is not JSON"),
    (b"null", NO_VERSION),
    (b"[1]", NO_VERSION),
    (b"{}", NO_VERSION),
    ({"format_version": "1"}, NO_VERSION),
    ({"format_version": 0}, NO_VERSION),
    ({"format_version": 3}, "has format_version 3; this program knows versions up to 2"),
    ({"image_shape": None}, "has no valid image_shape"),
    ({"image_shape": [8, 8]}, "has no valid image_shape"),
    ({"image_shape": [8, 0, 1]}, "has no valid image_shape"),
    ({"latent_dim": None}, "has no valid latent_dim"),
    ({"latent_dim": 1.5}, "has no valid latent_dim"),
    ({"latent_dim": 0}, "has no valid latent_dim"),
    ({"files": None}, "has no valid files"),
    ({"files": ["decoder.onnx"]}, "has no valid files"),
]
WHOLE = 2**53
# The same of the fields of format 2.
BROKEN_FAMILIES = [
    ({"format_version": 2} | change, words)
    for change, words in [
        ({"prior": None}, "has no valid prior"),
        ({"components": []}, "has no valid components"),
        ({"components": [5]}, "has no valid components"),
        ({"components": [6, 5, WHOLE]}, "has no valid components"),
        ({"components": [0.5, WHOLE]}, "has no valid components"),
        ({"labels": ["a"]}, "has no valid label_weights"),
        ({"label_weights": [WHOLE]}, "has no valid label_weights"),
        ({"labels": ["a"], "label_weights": [1, WHOLE]}, "has no valid label_weights"),
        ({"labels": [1], "label_weights": [WHOLE]}, "has no valid labels"),
        ({"groups": [1]}, "has no valid groups"),
        ({"groups": [3, 0]}, "has no valid groups"),
    ]
]


BROKEN = BROKEN_MANIFESTS + BROKEN_FAMILIES


@pytest.fixture(scope="module")
def colour_path(tmp_path_factory):
    """The bundle of an untrained model for 6 x 5 RGB images."""
    vae = make_vae((6, 5, 3))
    return bundles.export(vae, tmp_path_factory.mktemp("colour") / "bundle", dataset=DATASET).path


@pytest.fixture(params=["bundle", "colour", "shipped"])
def any_bundle(request, bundle_path, colour_path):
    return {"bundle": bundle_path, "colour": colour_path, "shipped": SHIPPED}[request.param]


@pytest.fixture(params=BAD_BUNDLES)
def bad_bundle(request, bundle_path, tmp_path):
    """A bundle that cannot be read, and what the error must say."""
    path = tmp_path / "bundle"
    if request.param != "missing":
        shutil.copytree(bundle_path, path)
    if request.param == "newer":
        rewrite(path, {"format_version": 3})
    if request.param == "changed":
        with (path / "decoder.onnx").open("ab") as file:
            file.write(b"\0")
    if request.param == "no JSON":
        (path / "manifest.json").write_text("{")
    if request.param == "no latent_dim":
        rewrite(path, {"latent_dim": None})
    return path, BAD_BUNDLES[request.param]


@pytest.fixture
def broken(bundle_path, tmp_path):
    """A folder of bundles, named by number, with the manifests of `BROKEN`."""
    for number, (change, _) in enumerate(BROKEN):
        rewrite(shutil.copytree(bundle_path, tmp_path / "broken" / str(number)), change)
    return tmp_path / "broken"


@pytest.fixture
def npm():
    node_modules(NODE)


@pytest.fixture
def site(tmp_path):
    """The browser example as published, without a bundle yet."""
    modules = node_modules(BROWSER)
    folder = tmp_path / "site"
    shutil.copytree(BROWSER, folder, ignore=shutil.ignore_patterns("node_modules", "bundle"))
    (folder / "node_modules").symlink_to(modules)
    return folder


def rewrite(bundle, change):
    """Replace the manifest of a bundle, by bytes, or by fields to replace; None removes a field."""
    path = bundle / "manifest.json"
    if not isinstance(change, bytes):
        fields = json.loads(path.read_text()) | change
        change = json.dumps({name: value for name, value in fields.items() if value is not None}).encode()
    path.write_bytes(change)


def run(*command, **settings):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, **settings)


def python(*arguments):
    return run(sys.executable, EXAMPLES / "python" / "sample.py", *arguments)


def batch(*arguments):
    return run(program("node"), NODE / "batch.mjs", *arguments)


def says_one_line(done, status, words):
    assert done.returncode == status, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert words in line


def pixels(path):
    """The pixels of a PNG as bytes, `(height, width, channels)`."""
    with Image.open(path) as image:
        assert (image.format, image.mode) in (("PNG", "L"), ("PNG", "RGB"))
        found = np.asarray(image)
    return found[..., None] if found.ndim == 2 else found


def same_picture(found, mean):
    """Whether a picture equals these floats as kvae's bytes: at most one level apart, in less than 0.1 % of pixels."""
    expected = pictures.to_uint8(mean)
    assert found.shape == expected.shape
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1
    assert np.count_nonzero(apart) < 1e-3 * apart.size + 1


def keras_means(z, image_shape=(8, 8, 1)):
    """What Keras decodes from these codes, with the model of the fixtures' bundles."""
    return np.asarray(make_vae(image_shape).decoder(z).mean())


def module_at(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NODE_SAMPLE = """
import { Bundle } from "./kvae.mjs";
const bundle = await Bundle.open(input.bundle);
const calls = input.calls.map(([seed, start, n, ...rest]) => bundle.sample(BigInt(seed), BigInt(start), n, ...rest));
output((await Promise.all(calls)).map((images) => Array.from(images)));
"""

NODE_OPEN = """
import { Bundle, BundleError } from "./kvae.mjs";
const fault = (folder) => Bundle.open(folder).catch((error) => [error instanceof BundleError, error.message]);
output(await Promise.all(input.map(fault)));
"""


def node_samples(bundle, *calls):
    """What kvae.mjs samples for each (seed, start, n[, temperature]), as flat float32 arrays."""
    value = {"bundle": str(bundle), "calls": [(str(seed), str(start), *rest) for seed, start, *rest in calls]}
    return [np.float32(numbers) for numbers in javascript(NODE_SAMPLE, NODE, value)]


@pytest.mark.parametrize("folder", [NODE, BROWSER], ids=lambda folder: folder.name)
def test_folders_have_the_noise_module_of_the_page(folder):
    """Byte for byte, so that each folder can be copied elsewhere."""
    assert (folder / "noise.mjs").read_bytes() == (ROOT / "kvae" / "explorer" / "page" / "noise.mjs").read_bytes()


def test_both_folders_have_the_same_module_for_manifests():
    assert (NODE / "manifest.mjs").read_bytes() == (BROWSER / "manifest.mjs").read_bytes()


@pytest.mark.parametrize("folder", [NODE, BROWSER], ids=lambda folder: folder.name)
def test_packages_are_pinned_by_version_and_hash_without_a_registry(folder):
    package = json.loads((folder / "package.json").read_text())
    lock = json.loads((folder / "package-lock.json").read_text())
    assert package["private"]
    assert lock["packages"][""]["dependencies"] == package["dependencies"]
    assert all(version.replace(".", "").isdigit() for version in package["dependencies"].values())
    packages = [entry for path, entry in lock["packages"].items() if path]
    assert packages
    assert all("resolved" not in entry and entry["integrity"].startswith("sha512-") for entry in packages)
    assert "ignore-scripts=true" in (folder / ".npmrc").read_text().splitlines()


def test_noise_and_choices_are_the_same_in_python_and_in_kvae():
    sample = module_at(EXAMPLES / "python" / "sample.py")
    for seed, image, dim in [(0, 0, 1), (7, 0, 16), (TOP, TOP, 5), (2**53, 2**62 + 1, 40)]:
        assert np.array_equal(sample.noise(seed, image, dim), noise.standard_normal(seed, image, 1, dim))
        for stream, table in product((1, 2), ([2**53], [0, 2**52, 2**53], noise.cumulative(np.ones(10)))):
            assert sample.choice(seed, image, table, stream) == noise.choices(seed, image, 1, table, stream)


def test_python_draws_the_picture(any_bundle, tmp_path):
    done = python(any_bundle, 7, tmp_path / "seven.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    same_picture(pixels(tmp_path / "seven.png"), Bundle.open(any_bundle).sample(1, seed=7)[0])


def test_python_needs_nothing_from_kvae(bundle_path, tmp_path):
    """It runs from a separate folder, and loads neither kvae nor Pillow."""
    shutil.copy(EXAMPLES / "python" / "sample.py", tmp_path)
    code = (
        "import sys, sample\n"
        f"sample.main({str(bundle_path)!r}, '7', 'out.png')\n"
        "print([name for name in ('kvae', 'PIL', 'tensorflow') if name in sys.modules])"
    )
    done = run(sys.executable, "-c", code, cwd=tmp_path)
    assert done.stdout == "[]\n", done.stderr
    assert pixels(tmp_path / "out.png").shape == (8, 8, 1)


def test_python_refuses_a_bad_bundle(bad_bundle, tmp_path):
    path, words = bad_bundle
    says_one_line(python(path, 7, tmp_path / "out.png"), 1, words)
    assert not (tmp_path / "out.png").exists()


def test_python_reports_a_broken_manifest(broken):
    """In one line, with the path; Node and the page also name the field."""
    sample = module_at(EXAMPLES / "python" / "sample.py")
    for number, (_, words) in enumerate(BROKEN_MANIFESTS):
        with pytest.raises(SystemExit) as end:
            sample.read_manifest(broken / str(number) / "manifest.json")
        if words.startswith("has no "):
            needed = "format_version, image_shape, latent_dim, files, prior, components, labels and label_weights"
            words = f"is no bundle's manifest: check its {needed}"
        assert end.value.code == f"{broken / str(number) / 'manifest.json'} {words}."


def test_python_refuses_a_file_that_the_manifest_does_not_list(bundle_path, tmp_path):
    path = shutil.copytree(bundle_path, tmp_path / "bundle")
    rewrite(path, {"files": {}})
    says_one_line(python(path, 7, tmp_path / "out.png"), 1, "is not the file that the manifest names")


def test_python_clips_pixels(tmp_path):
    """Like kvae, if a decoder's mean is outside [0, 1] by a rounding error or more."""
    values = np.float32([[[-0.5], [1.5], [0.5], [1.0000001]]])
    (tmp_path / "image.png").write_bytes(module_at(EXAMPLES / "python" / "sample.py").png(values))
    assert np.array_equal(pixels(tmp_path / "image.png"), pictures.to_uint8(values))


@pytest.mark.parametrize("seed", ["-1", "1.5", "seven", str(2**64), "", "٣", "9" * 5000])
def test_python_refuses_a_bad_seed(bundle_path, tmp_path, seed):
    says_one_line(python(bundle_path, seed, tmp_path / "out.png"), 1, f"seed is {seed}; expected an integer from 0")


def test_python_refuses_a_bad_target_and_a_wrong_call(bundle_path, tmp_path):
    says_one_line(python(bundle_path, 7, tmp_path / "none" / "out.png"), 1, "No such file or directory")
    says_one_line(python(bundle_path, 7, "/dev/full"), 1, "[Errno 28] No space left on device")
    says_one_line(python(bundle_path), 1, "usage: python sample.py BUNDLE SEED OUT.png [--label NAME]")


def in_a_home(*command, home):
    """Run a program as at a user's terminal, with a fresh home; returns the files that it left there."""
    home.mkdir()
    unset = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset} | {"HOME": str(home)}
    done = run(*command, env=environment)
    assert (done.returncode, done.stderr) == (0, ""), done
    return [path for path in home.rglob("*") if path.is_file()]


def test_python_leaves_nothing_in_a_home(bundle_path, tmp_path):
    """onnxruntime 1.29 and later keep an identifier and a queue of events there, to report to their maker."""
    command = [sys.executable, EXAMPLES / "python" / "sample.py", bundle_path, 7, tmp_path / "seven.png"]
    assert in_a_home(*command, home=tmp_path / "home") == []


@pytest.mark.usefixtures("npm")
def test_node_leaves_nothing_in_a_home(bundle_path, tmp_path):
    command = [program("node"), NODE / "batch.mjs", bundle_path, tmp_path / "images", "--n", "2"]
    assert in_a_home(*command, home=tmp_path / "home") == []


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_card_s_snippet_leaves_nothing_in_a_home(bundle_path, tmp_path, language):
    (code,) = re.findall(rf"```{language}\n(.*?)```", (bundle_path / "README.md").read_text(), re.DOTALL)
    shutil.copy(bundle_path / "decoder.onnx", tmp_path)
    script = tmp_path / ("snippet.py" if language == "python" else "snippet.mjs")
    if language == "js":
        (tmp_path / "node_modules").symlink_to(node_modules(NODE))
    script.write_text(code.replace('"decoder.onnx"', json.dumps(str(tmp_path / "decoder.onnx"))))
    command = sys.executable if language == "python" else program("node")
    assert in_a_home(command, script, home=tmp_path / "home") == []


@pytest.mark.usefixtures("npm")
@pytest.mark.parametrize("shape", [(8, 8, 1), (6, 5, 3)], ids=str)
def test_node_samples_equal_keras_s(bundle_path, colour_path, shape):
    """Within 1e-5, for several seeds and starts, also above 2^53, and at another temperature."""
    path = bundle_path if shape[2] == 1 else colour_path
    calls = [(7, 0, 5), (TOP, TOP - 3, 4), (2**53 + 1, 2**60, 3), (7, 2, 2), (7, 0, 3, 0.7), (7, 0, 2, 0)]
    for (seed, start, n, *rest), found in zip(calls, node_samples(path, *calls), strict=True):
        z = noise.standard_normal(seed, start, n, 3) * np.float32(rest[0] if rest else 1)
        np.testing.assert_allclose(found.reshape(n, *shape), keras_means(z, shape), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("npm")
def test_node_samples_the_shipped_bundle_like_kvae():
    (found,) = node_samples(SHIPPED, (7, 0, 20))
    expected = Bundle.open(SHIPPED).sample(20, seed=7)
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("npm")
def test_node_reports_a_broken_manifest(broken):
    paths = [str(broken / str(number)) for number in range(len(BROKEN))]
    for path, (_, words), found in zip(paths, BROKEN, javascript(NODE_OPEN, NODE, paths), strict=True):
        assert found == [True, f"{path}/manifest.json {words}"]


@pytest.mark.usefixtures("npm")
def test_node_opens_onnxruntime_s_own_format(bundle_path, tmp_path):
    """As in the specification: the graph is decoder.ort, and graph_format says so."""
    import onnxruntime

    path = tmp_path / "bundle"
    path.mkdir()
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(path / "decoder.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    onnxruntime.InferenceSession(bundle_path / "decoder.onnx", options, providers=["CPUExecutionProvider"])
    manifest = json.loads((bundle_path / "manifest.json").read_text()) | {"graph_format": "ort"}
    manifest["files"] = {"decoder.ort": hashlib.sha256((path / "decoder.ort").read_bytes()).hexdigest()}
    (path / "manifest.json").write_text(json.dumps(manifest))
    (of_ort,), (of_onnx,) = node_samples(path, (7, 0, 5)), node_samples(bundle_path, (7, 0, 5))
    np.testing.assert_allclose(of_ort, of_onnx, rtol=0, atol=1e-6)
    assert python(path, 7, tmp_path / "out.png").returncode == 0


@pytest.mark.usefixtures("npm")
def test_batch_writes_the_pictures(any_bundle, tmp_path):
    """Of more than one batch; the names are the indices of the images."""
    out = tmp_path / "deep" / "images"
    done = batch(any_bundle, out, "--seed", 7, "--start", 5, "--n", 70)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"70 images in {out}\n", "")
    assert sorted(path.name for path in out.iterdir()) == [f"{index:06d}.png" for index in range(5, 75)]
    found = np.stack([pixels(out / f"{index:06d}.png") for index in range(5, 75)])
    same_picture(found, Bundle.open(any_bundle).sample(70, seed=7, start=5))


@pytest.mark.usefixtures("npm")
def test_batch_takes_a_temperature_and_the_last_image_there_is(bundle_path, tmp_path):
    arguments = ["--seed", TOP, "--start", TOP, "--n", 1, "--temperature", "0.5"]
    assert batch(bundle_path, tmp_path / "out", *arguments).returncode == 0
    expected = Bundle.open(bundle_path).sample(1, seed=TOP, start=TOP, temperature=0.5)[0]
    same_picture(pixels(tmp_path / "out" / f"{TOP}.png"), expected)


@pytest.mark.usefixtures("npm")
@pytest.mark.parametrize(("text", "value"), [("2e1", 20), ("5.", 5), (".5", 0.5), ("1.5E-1", 0.15), ("+3", 3)])
def test_temperature_takes_every_decimal_number(text, value):
    code = 'import { temperature } from "./arguments.mjs"; output(temperature(input, {}));'
    assert javascript(code, NODE, text) == value


@pytest.mark.usefixtures("npm")
def test_batch_continues_in_an_existing_folder(bundle_path, tmp_path):
    """Also if the path ends in a dot or a slash."""
    for at, name in enumerate(["a/b/.", "a/b", "a/b/"]):
        assert batch(bundle_path, f"{tmp_path}/{name}", "--start", at, "--n", 1).returncode == 0
    assert len(list((tmp_path / "a" / "b").iterdir())) == 3


@pytest.mark.usefixtures("npm")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="a system without /proc")
@pytest.mark.parametrize("out", ["/proc/x", "/proc/x/y"])
def test_batch_refuses_a_folder_that_cannot_be_made(bundle_path, out):
    """Node 20's own recursive mkdir never ends for these paths."""
    says_one_line(batch(bundle_path, out), 1, "ENOENT: no such file or directory, mkdir '/proc/x'")


@pytest.mark.usefixtures("npm")
def test_batch_refuses_a_bad_bundle(bad_bundle, tmp_path):
    path, words = bad_bundle
    says_one_line(batch(path, tmp_path / "out"), 1, words)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("npm")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--seed=-1"], '--seed is "-1"; expected an integer from 0 to 18446744073709551615'),
        (["--seed", "-7"], '--seed is "-7"; expected an integer from 0 to 18446744073709551615'),
        (["--seed", "x"], '--seed is "x"'),
        (["--seed", str(2**64)], "--seed is"),
        (["--start", "1e3"], '--start is "1e3"'),
        (["--n", "-"], "--n is"),
        (["--start", str(TOP), "--n", "2"], '--n is "2"; expected an integer from 0 to 1'),
        (["--temperature", "hot"], 'temperature is "hot"; expected a number from 0 to 1000000'),
        (["--temperature=-1"], 'temperature is "-1"'),
        *((["--temperature", text], f'temperature is "{text}"') for text in (".", "", "0x1", "1e", "e1", "1e7", "1 ")),
        (["--seed"], "--seed needs a value; usage: node batch.mjs BUNDLE OUT_FOLDER"),
        (["--colour", "red"], "--colour is unknown; usage: node batch.mjs BUNDLE OUT_FOLDER"),
        (["--colour=red"], "--colour is unknown; usage: node batch.mjs BUNDLE OUT_FOLDER"),
        (["third"], "usage: node batch.mjs BUNDLE OUT_FOLDER"),
    ],
)
def test_batch_refuses_wrong_arguments(bundle_path, tmp_path, arguments, words):
    says_one_line(batch(bundle_path, tmp_path / "out", *arguments), 2, words)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("npm")
def test_batch_refuses_a_target_that_is_a_file_and_images_that_are_not_pictures(bundle_path, tmp_path):
    (tmp_path / "out").write_text("precious")
    says_one_line(batch(bundle_path, tmp_path / "out"), 1, "EEXIST")
    assert (tmp_path / "out").read_text() == "precious"
    path = bundles.export(make_vae((4, 4, 2)), tmp_path / "two", dataset=DATASET).path
    says_one_line(batch(path, tmp_path / "none"), 1, "images of 2 channels, which are no pictures")
    says_one_line(python(path, 7, tmp_path / "out.png"), 1, "images of 2 channels, which are no pictures")


@contextmanager
def server(*arguments):
    """Start the service: its process, and its address, which ends in `/`."""
    command = [program("node"), NODE / "server.mjs", *arguments]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.endswith("/?seed=7&index=0\n"), (line, process.stderr.read())
        yield process, line.split("?")[0]
    finally:
        process.kill()
        process.communicate()


def get(url, method="GET"):
    """The status, content type and body of a response."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


@pytest.mark.usefixtures("npm")
def test_the_service_answers_with_pictures(any_bundle, tmp_path):
    bundle = Bundle.open(any_bundle)
    cases = {
        "?seed=7&index=0": {"seed": 7},
        "?seed=7": {"seed": 7},
        "?seed=7&index=3&temperature=.5": {"seed": 7, "start": 3, "temperature": 0.5},
        f"?seed={TOP}&index={TOP}": {"seed": TOP, "start": TOP},
    }
    with server(any_bundle, 0) as (_, url):
        assert url.startswith("http://127.0.0.1:")
        for query, arguments in cases.items():
            status, kind, body = get(url + query)
            assert (status, kind) == (200, "image/png")
            (tmp_path / "image.png").write_bytes(body)
            same_picture(pixels(tmp_path / "image.png"), bundle.sample(1, **arguments)[0])
        assert get(url + "?seed=7", "HEAD") == (200, "image/png", b"")


@pytest.mark.usefixtures("npm")
def test_the_service_reports_what_is_wrong_with_a_request(bundle_path):
    cases = {
        ("", "GET"): (400, 'seed is ""; expected an integer from 0 to 18446744073709551615'),
        ("?seed=-1", "GET"): (400, 'seed is "-1"'),
        ("?seed=1&index=1.5", "GET"): (400, 'index is "1.5"'),
        (f"?seed={2**64}", "GET"): (400, "seed is"),
        ("?seed=1&temperature=nan", "GET"): (400, 'temperature is "nan"'),
        ("?seed=1&temprature=1", "GET"): (400, '"temprature" is unknown; known are seed, index, temperature, label'),
        ("?seed=%zz", "GET"): (400, "seed is"),
        ("?seed=7&seed=8", "GET"): (400, '"seed" is given more than once'),
        ("?seed=7&index=1&index=1", "GET"): (400, '"index" is given more than once'),
        ("favicon.ico", "GET"): (404, "there is nothing at /favicon.ico"),
        ("/", "GET"): (404, "there is nothing at //"),
        ("?seed=1", "POST"): (405, "POST is not allowed; use GET"),
    }
    with server(bundle_path, 0) as (_, url):
        for (rest, method), (status, words) in cases.items():
            found, kind, body = get(url + rest, method)
            assert (found, kind) == (status, "text/plain; charset=utf-8"), rest
            (line,) = body.decode().splitlines()
            assert line.startswith(words)
        assert get(url + "?seed=1")[0] == 200


@pytest.mark.usefixtures("npm")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_service_ends_cleanly(bundle_path, name):
    """Even while a client keeps its connection open."""
    with server(bundle_path, 0) as (process, url), closing(HTTPConnection(urlsplit(url).netloc, timeout=30)) as client:
        client.request("GET", "/?seed=1")
        answer = client.getresponse()
        assert (answer.status, answer.read()[:4]) == (200, b"\x89PNG")
        process.send_signal(getattr(signal, name))
        assert process.wait(timeout=10) == 0
        assert process.stderr.read() == ""


@pytest.mark.usefixtures("npm")
def test_the_service_refuses_a_bad_bundle(bad_bundle):
    path, words = bad_bundle
    says_one_line(run(program("node"), NODE / "server.mjs", path, 0), 1, words)


@pytest.mark.usefixtures("npm")
def test_the_service_refuses_a_taken_port_and_a_wrong_call(bundle_path):
    start = (program("node"), NODE / "server.mjs")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        says_one_line(run(*start, bundle_path, port), 1, f"port {port} is taken")
    says_one_line(run(*start, bundle_path, "http"), 2, 'PORT is "http"')
    says_one_line(run(*start, bundle_path, 65536), 2, "expected an integer from 0 to 65535")
    says_one_line(run(*start), 2, "usage: node server.mjs BUNDLE [PORT]")


@pytest.mark.usefixtures("npm")
def test_the_node_folder_can_be_copied_elsewhere(bundle_path, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(NODE, copy, ignore=shutil.ignore_patterns("node_modules"))
    (copy / "node_modules").symlink_to(node_modules(NODE))
    done = run(program("node"), "batch.mjs", bundle_path, "out", "--n", 1, cwd=copy)
    assert done.returncode == 0, done.stderr


CANVAS = """() => {
  const canvas = document.querySelector("canvas");
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return [canvas.height, canvas.width, Array.from(pixels)];
}"""
FLOATS = """async (seeds) => {
  const { openBundle } = await import(new URL("./kvae.mjs", location.href));
  const bundle = await openBundle(new URL("./bundle/", location.href));
  const images = [];
  for (const seed of seeds) images.push(Array.from(await bundle.sample(BigInt(seed))));
  return images;
}"""
NOISE = """async (calls) => {
  const { LABELS, choices, standardNormal } = await import(new URL("./noise.mjs", location.href));
  const tenths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((tenth) => Math.floor((2 ** 53 / 10) * tenth));
  return calls.map(([seed, start, dim]) => [
    Array.from(standardNormal(BigInt(seed), BigInt(start), 1, dim)),
    Number(choices(BigInt(seed), BigInt(start), 1, tenths, LABELS)[0]),
    tenths.map(String),
  ]);
}"""


FAULTS = """async (count) => {
  const { openBundle } = await import(new URL("./kvae.mjs", location.href));
  const fault = (number) => openBundle(new URL(`./broken/${number}/`, location.href)).catch((error) => error.message);
  return Promise.all(Array.from({ length: count }, (_, number) => fault(number)));
}"""
FAIL_ONCE = """() => {
  const { putImageData } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.putImageData = () => {
    CanvasRenderingContext2D.prototype.putImageData = putImageData;
    throw new Error("no memory left");
  };
}"""


def message_is(page, text):
    page.wait_for_function("text => document.querySelector('#message').textContent.includes(text)", arg=text)


def canvas_of(page, channels):
    """The bytes of the canvas, which must be opaque and, for a grey model, grey."""
    height, width, values = page.evaluate(CANVAS)
    rgba = np.array(values).reshape(height, width, 4)
    assert (rgba[..., 3] == 255).all()
    if channels == 1:
        assert (rgba[..., :3] == rgba[..., :1]).all()
    return rgba[..., :channels]


def test_the_page_draws_the_image_of_its_seed(browser, site, any_bundle):
    shutil.copytree(any_bundle, site / "bundle")
    bundle = Bundle.open(any_bundle)
    channels = bundle.manifest.image_shape[2]
    with served(site) as url:
        page = browser.open(url)
        message_is(page, "Image 0 of seed 7.")
        same_picture(canvas_of(page, channels), bundle.sample(1, seed=7)[0])
        page.fill("#seed", str(TOP))
        message_is(page, f"Image 0 of seed {TOP}.")
        same_picture(canvas_of(page, channels), bundle.sample(1, seed=TOP)[0])
        assert browser.trouble == []


def test_the_page_s_images_equal_keras_s(browser, site, bundle_path):
    """Floats within 1e-5; the noise and the labels equal Python's and Node's bit for bit."""
    shutil.copytree(bundle_path, site / "bundle")
    seeds, calls = [0, 7, 2**53 + 1, TOP], [(7, 0, 16), (TOP, TOP, 5), (2**53 + 1, 2**60, 40)]
    with served(site) as url:
        page = browser.open(url)
        images = np.float32(page.evaluate(FLOATS, [str(seed) for seed in seeds])).reshape(-1, 8, 8, 1)
        drawn = page.evaluate(NOISE, [(str(seed), str(start), dim) for seed, start, dim in calls])
    z = np.concatenate([noise.standard_normal(seed, 0, 1, 3) for seed in seeds])
    np.testing.assert_allclose(images, keras_means(z), rtol=0, atol=1e-5)
    for (seed, start, dim), (numbers, label, tenths) in zip(calls, drawn, strict=True):
        assert np.array_equal(np.float32(numbers), noise.standard_normal(seed, start, 1, dim)[0])
        assert [label] == noise.choices(seed, start, 1, [*map(int, tenths)], noise.LABELS).tolist()
    assert browser.trouble == []


def test_the_page_requests_nothing_from_other_hosts(browser, site, bundle_path):
    """And only those three files of onnxruntime-web that the README names."""
    shutil.copytree(bundle_path, site / "bundle")
    with served(site) as url:
        page = browser.open("about:blank")
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        message_is(page, "Image 0 of seed 7.")
    runtime = {"ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"}
    assert {address.split("/")[-1] for address in asked if "/dist/" in address} == runtime
    assert all(address.startswith((url, "data:", "blob:")) for address in asked)


@pytest.mark.parametrize("seed", ["-1", "seven", "", str(2**64)])
def test_the_page_refuses_a_bad_seed_and_continues(browser, site, bundle_path, seed):
    shutil.copytree(bundle_path, site / "bundle")
    with served(site) as url:
        page = browser.open(url)
        message_is(page, "Image 0 of seed 7.")
        page.fill("#seed", seed)
        message_is(page, "A seed is an integer from 0 to 2^64 - 1.")
        page.fill("#seed", "8")
        message_is(page, "Image 0 of seed 8.")
        assert browser.trouble == []


def test_the_page_continues_after_an_image_that_failed(browser, site, bundle_path):
    shutil.copytree(bundle_path, site / "bundle")
    with served(site) as url:
        page = browser.open(url)
        message_is(page, "Image 0 of seed 7.")
        page.evaluate(FAIL_ONCE)
        page.fill("#seed", "8")
        message_is(page, "no memory left")
        page.fill("#seed", "9")
        message_is(page, "Image 0 of seed 9.")
        assert browser.trouble == []


def test_the_page_reports_what_is_wrong_with_a_bundle(browser, site, bad_bundle):
    path, words = bad_bundle
    if path.exists():
        shutil.copytree(path, site / "bundle")
    with served(site) as url:
        page = browser.open(url)
        message_is(page, words)
        assert not any(trouble.startswith("page error") for trouble in browser.trouble)


def test_the_page_reports_a_broken_manifest_in_node_s_words(browser, site, broken):
    shutil.copytree(broken, site / "broken")
    with served(site) as url:
        found = browser.open(url).evaluate(FAULTS, len(BROKEN))
    expected = [f"{url}broken/{number}/manifest.json {words}" for number, (_, words) in enumerate(BROKEN)]
    assert found == expected


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("**/manifest.json", "{url}bundle/manifest.json cannot be fetched: Failed to fetch"),
        ("**/decoder.onnx", "{url}bundle/decoder.onnx cannot be fetched: Failed to fetch"),
        ("**/*.wasm", "onnxruntime cannot load {url}bundle/decoder.onnx: "),
        ("**/ort.wasm.min.mjs", "{url}node_modules/onnxruntime-web/dist/ort.wasm.min.mjs cannot be loaded: run npm ci"),
    ],
)
def test_the_page_reports_what_cannot_be_fetched(browser, site, bundle_path, pattern, words):
    """In one line, whether the network fails or the file is missing, as before npm ci."""
    shutil.copytree(bundle_path, site / "bundle")
    with served(site) as url:
        page = browser.open("about:blank")
        page.route(pattern, lambda route: route.abort())
        page.goto(url)
        message_is(page, words.format(url=url))
        assert "\n" not in page.text_content("#message")
        assert not any(trouble.startswith("page error") for trouble in browser.trouble)


# Format 2: labels, priors of their own, groups of latent dimensions


@pytest.fixture(scope="module", params=format_2.MEMBERS)
def member_path(request, tmp_path_factory):
    """A model in numpy, and its bundle, made without kvae's exporter."""
    member = format_2.member(request.param)
    return member, member.write(tmp_path_factory.mktemp("format 2") / "bundle")


def member_images(member, *call, **settings):
    """What the model makes of these images' noise, components and labels, by numpy and Python integers."""
    return member.decode(*member.drawn(*call, **settings))


@pytest.mark.usefixtures("npm")
def test_node_and_python_sample_members_of_format_2(member_path, tmp_path):
    """Floats within 1e-5, for several seeds and starts; by name, index, and drawn; a temperature for each group."""
    member, path = member_path
    calls = [(7, 0, 40), (TOP, TOP - 3, 4), (2**53 + 1, 2**60, 3), (7, 2, 2, 0.5)]
    calls += [(7, 0, 3, [0.5, 1.5])] * member.ladder + [(7, 0, 3, 1, 2), (7, 0, 3, 1, 0)] * member.labelled
    for (seed, start, n, *rest), found in zip(calls, node_samples(path, *calls), strict=True):
        temperature = np.repeat(rest[0], format_2.GROUPS) if rest and isinstance(rest[0], list) else (rest or [1])[0]
        expected = member_images(member, seed, start, n, temperature, *rest[1:])
        np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-5)
    labels = {"ankle boot": 2, "Left Shoe": 0, "7": 3} if member.labelled else {}
    sample = module_at(EXAMPLES / "python" / "sample.py")
    for name, label in {None: None, **labels}.items():
        given = [] if name is None else ["--label", name]
        sample.main(str(path), "7", tmp_path / "out.png", *given[1:])
        assert batch(path, tmp_path / "images", "--seed", 7, "--n", 1, *given).returncode == 0
        for file in (tmp_path / "out.png", tmp_path / "images" / "000000.png"):
            same_picture(pixels(file), member_images(member, 7, 0, 1, 1, label)[0])


@pytest.mark.usefixtures("npm")
def test_a_wrong_label_is_refused_in_one_line_with_the_nearest_names(bundle_path, tmp_path):
    path = format_2.member("conditional").write(tmp_path / "bundle")
    out = tmp_path / "out"
    for name in ("ankle bot", "4", "-1", "Boot\nleg", ""):
        ways = [(python(path, 7, out, "--label", name), 1), (batch(path, out, f"--label={name}"), 2)]
        for done, status in ways:
            says_one_line(done, status, "expected a name. The nearest names are ")
            assert "ankle boot" in done.stderr
    for done, status in [(python(bundle_path, 7, out, "--label", "x"), 1), (batch(bundle_path, out, "--label=x"), 2)]:
        says_one_line(done, status, "but this model has no labels")
    says_one_line(batch(path, out, "--temperature", "1,2"), 2, "temperature has 2 numbers; this model has no groups")
    path = format_2.member("ladder").write(tmp_path / "ladder")
    says_one_line(batch(path, out, "--temperature", "1,2,3"), 2, "temperature has 3 numbers; this model has 2 groups")
    says_one_line(python(path, 7, out, "--label"), 1, "usage: python sample.py")
    assert not out.exists()


@pytest.mark.usefixtures("npm")
def test_the_service_takes_labels_and_temperatures_by_group(tmp_path):
    member = format_2.member("all")
    cases = {
        "?seed=7&index=3": ((7, 3, 1), {}),
        "?seed=7&label=ankle+boot": ((7, 0, 1), {"label": 2}),
        "?seed=7&label=right+shoe&temperature=.5,2": ((7, 0, 1), {"label": 1, "temperature": [0.5, 2, 2]}),
    }
    with server(member.write(tmp_path / "bundle"), 0) as (_, url):
        for query, (call, settings) in cases.items():
            status, _, body = get(url + query)
            (tmp_path / "image.png").write_bytes(body)
            assert status == 200
            same_picture(pixels(tmp_path / "image.png"), member_images(member, *call, **settings)[0])
        status, _, body = get(url + "?seed=7&label=%0Aboot")
        (line,) = body.decode().splitlines()
        assert status == 400
        assert line.startswith(r'label is "\nboot"; expected a name. The nearest names are')


@pytest.mark.usefixtures("npm")
def test_a_changed_prior_is_refused(tmp_path):
    path = format_2.member("mixture").write(tmp_path / "bundle")
    with (path / "prior.onnx").open("ab") as file:
        file.write(b"\0")
    words = "prior.onnx is not the file that the manifest names"
    says_one_line(python(path, 7, tmp_path / "out"), 1, words)
    says_one_line(batch(path, tmp_path / "out"), 1, words)


def test_names_in_format_1_mean_nothing(bundle_path, tmp_path):
    """Of labels, say: the graphs of format 1 take none."""
    path = shutil.copytree(bundle_path, tmp_path / "bundle")
    rewrite(path, {"labels": ["a", "b"], "label_weights": [1, WHOLE], "components": [WHOLE], "prior": "mine"})
    (found,) = node_samples(path, (7, 0, 2))
    z = noise.standard_normal(7, 0, 2, 3)
    np.testing.assert_allclose(found.reshape(2, 8, 8, 1), keras_means(z), rtol=0, atol=1e-5)
    assert python(path, 7, tmp_path / "out.png").returncode == 0


MEMBER_FLOATS = """async (calls) => {
  const { openBundle } = await import(new URL("./kvae.mjs", location.href));
  const images = [];
  for (const [name, seed, label] of calls) {
    const bundle = await openBundle(new URL(`./${name}/`, location.href));
    images.push(Array.from(await bundle.sample(BigInt(seed), label)));
  }
  return images;
}"""


def test_the_page_samples_members_of_format_2(browser, site):
    """Floats within 1e-5; and the list of labels draws the picture."""
    members = {name: format_2.member(name) for name in format_2.MEMBERS}
    for name, member in members.items():
        member.write(site / name)
    shutil.copytree(site / "all", site / "bundle")
    calls = [(name, seed, None) for name in members for seed in (0, 7, TOP)]
    calls += [(name, 7, label) for name in ("conditional", "all") for label in (0, 3)]
    with served(site) as url:
        page = browser.open(url)
        message_is(page, "Image 0 of seed 7.")
        same_picture(canvas_of(page, 1), member_images(members["all"], 7, 0, 1)[0])
        assert page.locator("#label option").all_text_contents() == ["drawn by the seed", *format_2.LABELS]
        page.select_option("#label", "ankle boot")
        message_is(page, "Image 0 of seed 7, ankle boot.")
        same_picture(canvas_of(page, 1), member_images(members["all"], 7, 0, 1, label=2)[0])
        images = np.float32(page.evaluate(MEMBER_FLOATS, [(name, str(seed), label) for name, seed, label in calls]))
    for (name, seed, label), image in zip(calls, images, strict=True):
        expected = member_images(members[name], seed, 0, 1, label=label)[0]
        np.testing.assert_allclose(image.reshape(expected.shape), expected, rtol=0, atol=1e-5)
    assert browser.trouble == []
