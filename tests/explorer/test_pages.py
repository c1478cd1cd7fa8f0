"""The explorer's folder and its command; what the page does in a browser is in test_explore_page.py."""

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from programs import ROOT, node_modules
from tiny import DATASET, make_vae

from kvae.bundle import onnxruntime_web
from kvae.bundle.manifest import Manifest
from kvae.cli.main import main
from kvae.errors import KvaeError
from kvae.explorer import pages
from kvae.export.bundles import export
from kvae.runtime.bundle import Bundle


@pytest.fixture
def kvae(tmp_path, monkeypatch):
    """Runs the command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["explore", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def ort_dir():
    return node_modules(ROOT / "examples" / "browser") / "onnxruntime-web"


def one_line(result, status):
    """The error of a failed command, which is one line on stderr, with nothing on stdout."""
    assert (result.exit_code, result.stdout) == (status, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


# The files of the page


def test_a_page_has_the_model_and_says_how_to_check_it(bundle_path):
    page = pages.page(Bundle.open(bundle_path), "mine")
    config = json.loads(page["config.json"])
    assert config["name"] == "mine"
    for role in ("decoder", "encoder"):
        path = config["graphs"][role]["path"]
        assert page[path] == (bundle_path / f"{role}.onnx").read_bytes()
        assert config["graphs"][role]["integrity"] == onnxruntime_web.integrity(page[path])
    assert Manifest.from_json(page["model/manifest.json"], "the page") == Manifest.read(bundle_path)


def test_only_a_page_without_onnxruntime_web_may_ask_another_host(bundle_path, ort_dir):
    bundle = Bundle.open(bundle_path)
    alone, whole = pages.page(bundle, "x"), pages.page(bundle, "x", ort_dir)
    own = [content for name, content in whole.items() if "/" not in name]
    assert not any(b"https://" in content or b"ORT-ORIGIN" in content for content in own)
    assert alone["index.html"].count(onnxruntime_web.CDN.encode()) == 2  # script-src and connect-src
    assert {name for name in whole if name not in alone} == {f"ort/{name}" for name in onnxruntime_web.FILES}


def test_the_page_itself_is_small_and_complete(bundle_path, ort_dir):
    """Every imported module is there, and every module is imported."""
    page = pages.page(Bundle.open(bundle_path), "x", ort_dir)
    own = {name: content for name, content in page.items() if "/" not in name and name != "config.json"}
    assert sum(map(len, own.values())) < 90 * 1024
    imported = {name for content in own.values() for name in re.findall(r'from "\./(\w+\.mjs)"', content.decode())}
    assert imported | {"main.mjs"} == {name for name in own if name.endswith(".mjs")}
    linked = set(re.findall(r'(?:src|href)="([^"]+)"', own["index.html"].decode()))
    assert linked <= set(page)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/mine/bundle", "mine"),
        ("some/fashion", "fashion"),
        ("some/fashion.v2", "fashion.v2"),
        ("some/fashion/decoder.onnx", "fashion"),
        ("runs/mine/bundle/decoder.ort", "mine"),
        ("some/fashion.onnx", "fashion"),
    ],
)
def test_a_model_is_named_after_its_folder(tmp_path, path, name):
    target = tmp_path / path
    if target.suffix in (".onnx", ".ort"):
        target.parent.mkdir(parents=True)
        target.touch()
    assert pages.model_name(target) == name


def test_images_that_are_not_pictures_are_refused(tmp_path):
    path = export(make_vae((8, 8, 2)), tmp_path / "b", dataset=DATASET).path
    with pytest.raises(KvaeError, match="1 or 3 channels; the images of this model have 2"):
        pages.page(Bundle.open(path), "x")


def test_a_lone_encoder_is_refused_and_a_lone_decoder_is_not(bundle_path):
    with pytest.raises(KvaeError, match="no decoder"):
        pages.page(Bundle.open(bundle_path / "encoder.onnx"), "x")
    page = pages.page(Bundle.open(bundle_path / "decoder.onnx"), "x")
    assert set(json.loads(page["config.json"])["graphs"]) == {"decoder"}


# --out


def test_out_writes_the_page_and_a_second_run_replaces_it(kvae, tmp_path, bundle_path, ort_dir):
    first = kvae(bundle_path, "--out", "page", "--ort-dir", ort_dir)
    assert (first.exit_code, first.stdout) == (0, "page\n")
    bundle = Bundle.open(bundle_path)
    assert names(tmp_path / "page") == {*pages.page(bundle, "x", ort_dir), ".kvae-explore"}
    second = kvae(bundle_path, "--out", "page", "--json")
    assert json.loads(second.stdout) == {"out": "page", "model": str(bundle_path)}
    assert names(tmp_path / "page") == {*pages.page(bundle, "x"), ".kvae-explore"}
    for name, content in pages.page(bundle, pages.model_name(bundle_path)).items():
        assert (tmp_path / "page" / name).read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


@pytest.mark.parametrize("change", ["a file added", "a file removed", "no marker"])
def test_a_folder_with_anything_else_in_it_is_left_alone(kvae, tmp_path, bundle_path, change):
    kvae(bundle_path, "--out", "page")
    if change == "a file added":
        (tmp_path / "page" / "model" / "notes.txt").write_text("mine")
    else:
        (tmp_path / "page" / {"a file removed": "icon.svg", "no marker": ".kvae-explore"}[change]).unlink()
    before = names(tmp_path / "page")
    assert "is not a folder that kvae explore wrote; it is left" in one_line(kvae(bundle_path, "--out", "page"), 1)
    assert names(tmp_path / "page") == before


def test_out_excludes_the_server_s_options(kvae, bundle_path, tmp_path):
    line = one_line(kvae(bundle_path, "--out", "page", "--port", "80", "--no-browser"), 2)
    assert "leave out --port, --no-browser" in line
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_onnxruntime_web_is_an_error_in_one_line(kvae, tmp_path, bundle_path):
    for folder in ("missing", "."):
        line = one_line(kvae(bundle_path, "--out", "page", "--ort-dir", folder), 1)
        assert f"cannot read {Path(folder, 'ort.wasm.bundle.min.mjs')}" in line
        assert f"npm pack onnxruntime-web@{onnxruntime_web.VERSION}" in line
    assert list(tmp_path.iterdir()) == []


def test_another_version_of_onnxruntime_web_is_an_error_in_one_line(kvae, tmp_path, bundle_path, ort_dir):
    folder = tmp_path / "dist"
    folder.mkdir()
    module, wasm = onnxruntime_web.FILES
    (folder / module).write_bytes((ort_dir / "dist" / module).read_bytes())
    assert f"cannot read dist/{wasm}" in one_line(kvae(bundle_path, "--out", "page", "--ort-dir", "dist"), 1)
    (folder / wasm).write_bytes(b"\0asm")
    line = one_line(kvae(bundle_path, "--out", "page", "--ort-dir", "dist"), 1)
    assert f"dist/{wasm}" in line and f"Expected onnxruntime-web {onnxruntime_web.VERSION}" in line
    assert not (tmp_path / "page").exists()


# Serving


class Serving:
    """`kvae explore` as a process, from its address to Ctrl-C."""

    def __init__(self, *arguments):
        command = [sys.executable, "-m", "kvae", "explore", *map(str, arguments)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.first = self.process.stdout.readline().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def stop(self):
        """The exit status after Ctrl-C, the rest of stdout, and stderr."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err


def test_it_serves_until_ctrl_c(bundle_path, ort_dir):
    with Serving(bundle_path, "--no-browser", "--ort-dir", ort_dir) as serving:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", serving.first)
        for name, content in pages.page(Bundle.open(bundle_path), pages.model_name(bundle_path), ort_dir).items():
            with urllib.request.urlopen(serving.first + name, timeout=20) as answer:
                assert answer.read() == content
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(serving.first + "README.md", timeout=20)
        assert serving.stop() == (0, "", "Press Ctrl-C to stop the server.\nstopped.\n")


def test_the_address_as_json(bundle_path):
    with Serving(bundle_path, "--no-browser", "--json") as serving:
        report = json.loads(serving.first)
        assert report["model"] == str(bundle_path)
        assert urllib.request.urlopen(report["url"], timeout=20).status == 200


def test_a_port_in_use_is_an_error_in_one_line_on_the_command_line(kvae, bundle_path):
    with Serving(bundle_path, "--no-browser") as serving:
        port = serving.first.rstrip("/").rpartition(":")[2]
        assert "ddress already in use" in one_line(kvae(bundle_path, "--no-browser", "--port", port), 1)


def test_an_open_address_gets_a_warning(bundle_path):
    with Serving(bundle_path, "--no-browser", "--host", "0.0.0.0") as serving:
        assert serving.first.startswith("http://127.0.0.1:")
        status, _, err = serving.stop()
    warning = "Warning: anyone who can reach any address of this machine can see and copy this model."
    assert (status, err.splitlines()[0]) == (0, warning)


def test_an_empty_address_is_an_error_in_one_line_on_the_command_line(kvae, bundle_path):
    assert "--host is empty" in one_line(kvae(bundle_path, "--no-browser", "--host", ""), 1)


def test_the_browser_is_opened_unless_disabled(kvae, bundle_path, monkeypatch):
    """The browser gets the address once the server listens; Ctrl-C, simulated when the browser starts, ends it."""
    import _thread
    import webbrowser

    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: (opened.append(url), _thread.interrupt_main()))
    result = kvae(bundle_path)
    assert result.exit_code == 0
    assert opened == [result.stdout.rstrip("\n")]
