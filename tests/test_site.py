"""The site: `mkdocs build --strict` without TensorFlow, links that lead somewhere, and nothing from other hosts."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from browser import browser_fixture, served  # noqa: F401

from kvae.cli.main import main

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("site_pages", ROOT / "scripts" / "site_pages.py")
site_pages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(site_pages)
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}
"""Elements that load something by themselves, and the attribute that says what."""
HEAVY = ("tensorflow", "keras", "tensorflow_probability", "onnxruntime", "matplotlib")
BUILD = (
    f"import sys\nsys.modules.update(dict.fromkeys({HEAVY!r}))\n"  # importing one of them is an error
    "from mkdocs.__main__ import cli\n"
    "cli(['build', '--strict', '--site-dir', sys.argv[1]])"
)


class Parts(HTMLParser):
    """What a page loads, where its links lead, and which anchors it has."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links, self.anchors, self.styles = [], [], {"", "__top"}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if name := LOADED.get(tag):
            self.loads.append(values.get(name))
            self.loads += [part.split()[0] for part in (values.get("srcset") or "").split(",") if part.strip()]
        if tag == "link":  # a style, an icon, or a connection that is opened early
            self.loads.append(values["href"])
        if tag == "a":
            self.links.append(values.get("href"))
        self.anchors |= {values.get("id"), values.get("name")}
        self.styles.append(values.get("style") or "")


def urls(style):
    """What a style sheet loads."""
    return re.findall(r"url\(\s*[\"']?([^\"')]+)", style) + re.findall(r"@import\s+[\"']([^\"']+)", style)


def is_foreign(url):
    return bool(urlsplit(url).netloc)


def test_what_a_page_loads_is_found():
    parts = Parts(
        '<script src="a.js"></script><script>x</script><link rel="preconnect" href="https://fonts.example">'
        '<img src="b.png" srcset="//c.example/d.png 2x"><a href="#e">f</a><h2 id="e" style="g: url(h.png)">i</h2>'
    )
    assert parts.loads == ["a.js", None, "https://fonts.example", "b.png", "//c.example/d.png"]
    assert [is_foreign(url) for url in parts.loads if url] == [False, True, False, True]
    assert parts.links == ["#e"] and "e" in parts.anchors and urls(" ".join(parts.styles)) == ["h.png"]
    assert urls("@import 'https://a.example/b.css'; c { d: url(\"e.woff\") }") == ["e.woff", "https://a.example/b.css"]


def test_a_file_of_docs_is_at_the_top_and_the_readme_is_the_home_page():
    assert site_pages.place("README.md") == "index.md"
    assert site_pages.place("docs/why-kl.md") == "why-kl.md"
    assert site_pages.place("examples/node/kvae.mjs") == "examples/node/kvae.mjs"


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("README.md", "[a](docs/why-kl.md#b), [c](LICENSE)", "[a](why-kl.md#b), [c](LICENSE)"),
        ("docs/embedding.md", "[a](../examples) [b](results.md)", "[a](examples/README.md) [b](results.md)"),
        ("docs/embedding.md", "[home](../README.md)", "[home](index.md)"),
        ("examples/node/README.md", "[a](kvae.mjs) [b](../../docs/why-kl.md)", "[a](kvae.mjs) [b](../../why-kl.md)"),
        ("README.md", "![a](docs/samples.png)", "![a](samples.png)"),
        ("README.md", "[a](https://b.example/README.md) [c](#d) x[0](y) [e](f.md)", None),
    ],
)
def test_links_lead_to_where_files_are_on_the_site(path, text, expected):
    """Links to anything but files of the repository stay as they are; MkDocs reports those that lead nowhere."""
    assert site_pages.relinked(path, text) == (expected or text)


def test_what_pages_link_to_comes_along():
    outside = site_pages.outside()
    assert {"README.md", "CHANGELOG.md", "examples/README.md", "examples/node/kvae.mjs"} <= set(outside)
    assert len(outside) == len(set(outside)) and not any(path.startswith("docs/") for path in outside)


def test_a_notebook_is_a_page_with_its_outputs():
    notebook = {
        "cells": [
            {"cell_type": "markdown", "source": ["# A\n", "\n", "Text."]},
            {"cell_type": "code", "source": ["print(1)"], "outputs": [{"name": "stdout", "text": ["1\n"]}]},
            {"cell_type": "code", "source": ["2"], "outputs": [{"data": {"text/plain": ["2"]}}]},
            {"cell_type": "code", "source": ["draw()"], "outputs": [
                {"data": {"image/png": "AAEC", "text/plain": ["<Figure>"]}},
            ]},
        ]
    }  # fmt: skip
    page = site_pages.as_page(notebook, "b")
    assert page.startswith(
        "# A\n\n*The notebook `notebooks/b.ipynb`, with its outputs.*\n\nText.\n\n```python\nprint(1)\n```"
    )
    assert "```text\n1\n```" in page and "```text\n2\n```" in page
    assert page.endswith("```python\ndraw()\n```\n\n![What the code above draws](b/3.png)\n")
    assert site_pages.pictures(notebook) == {"3.png": b"\x00\x01\x02"}
    assert site_pages.place("notebooks/b.ipynb") == "notebooks/b.md"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder with the site."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    words = [sys.executable, "-c", BUILD, folder]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(built):
    """Each page of the site, read."""
    return {path: Parts(path.read_text()) for path in sorted(built.rglob("*.html"))}


@pytest.mark.slow
def test_no_page_loads_anything_from_another_host(built, pages):
    foreign = {str(path): [url for url in parts.loads if url and is_foreign(url)] for path, parts in pages.items()}
    assert {path: found for path, found in foreign.items() if found} == {}
    styles = [path.read_text() for path in built.rglob("*.css")] + [" ".join(p.styles) for p in pages.values()]
    assert [url for style in styles for url in urls(style) if is_foreign(url)] == []
    assert len(pages) > 25 and len(styles) > len(pages)


@pytest.mark.slow
def test_every_link_within_the_site_leads_to_a_file_and_an_anchor(built, pages):
    wrong = []
    for path, parts in pages.items():
        for url in [*parts.links, *parts.loads]:
            if not url or path.name == "404.html" or urlsplit(url).scheme or is_foreign(url):
                continue
            target = (path.parent / unquote(urlsplit(url).path)).resolve() if urlsplit(url).path else path
            if target.is_dir():  # as a link to the home page
                target /= "index.html"
            anchor = unquote(urlsplit(url).fragment)
            if not target.is_file() or (target in pages and anchor not in pages[target].anchors):
                wrong.append((path.relative_to(built), url))
    assert wrong == []


@pytest.mark.slow
def test_the_reference_has_what_the_faces_offer_and_every_command(built, pages):
    for face in site_pages.FACES:
        module = importlib.import_module(f"kvae.{face}")
        offered = getattr(module, "__all__", ["assert_parity"])
        assert {f"kvae.{face}.{name}" for name in offered} <= pages[built / "reference" / f"{face}.html"].anchors
    commands = built / "reference" / "cli.html"
    assert {f"kvae-{verb}" for verb in main.commands} <= pages[commands].anchors
    assert "Sentinel" not in commands.read_text()  # in place of a default that there is none of


@pytest.mark.slow
def test_a_browser_asks_no_other_host(built, browser):
    with served(built) as address:
        asked = []
        page = browser.open("about:blank")
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index.html", "why-kl.ru.html", "reference/model.html"):
            page.goto(address + name, wait_until="networkidle")
        page.keyboard.press("/")
        page.keyboard.type("энтропия")
        page.keyboard.press("End")  # the page listens to keys, and Cyrillic is typed without any
        page.locator(".md-search-result__item").first.wait_for()
        page.close()
    assert [url for url in asked if not url.startswith(address)] == []
    assert len(asked) > 10 and browser.trouble == []
