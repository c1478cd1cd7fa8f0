"""Web pages in a real browser, headless Chromium, as a pytest fixture.

A test module imports it with `from browser import browser_fixture  # noqa: F401` and uses it as `browser`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from programs import missing, program

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Browser:
    """An open Chromium. `trouble` collects the errors in its pages; tests expect it to be empty."""

    chromium: Any
    trouble: list[str] = field(default_factory=list)

    def open(self, url: str, **settings: Any) -> Any:
        """A new playwright page at `url`, in its own context; `settings` are those of `Browser.new_page`."""
        page = self.chromium.new_page(**settings)
        page.set_default_timeout(30_000)
        page.on("console", lambda message: self._logged(message.type, message.text))
        page.on("pageerror", lambda error: self.trouble.append(f"page error: {error}"))
        page.on("requestfailed", lambda request: self.trouble.append(f"failed: {request.url} {request.failure}"))
        page.on("response", lambda response: self._answered(response.status, response.url))
        page.goto(url)
        return page

    def _logged(self, kind: str, text: str) -> None:
        if kind == "error":  # warnings are only Chromium's advice, some of it about the test itself
            self.trouble.append(f"console error: {text}")

    def _answered(self, status: int, url: str) -> None:
        if status >= 400:
            self.trouble.append(f"HTTP {status}: {url}")


@pytest.fixture(name="browser")
def browser_fixture() -> Iterator[Browser]:
    """Chromium, driven by playwright, with an empty `trouble`."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install playwright")
    path = program("chromium", "chromium-browser", "google-chrome")
    # Playwright's own asyncio loop runs in this thread until it stops, so each test starts and stops it.
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        try:
            yield Browser(chromium)
        finally:
            chromium.close()


class _Quiet(SimpleHTTPRequestHandler):
    # Browsers load a module only if it is served as JavaScript, which the system's table of types may lack.
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Serve a folder's files as any web server would; the address, which ends in `/`."""
    handler = partial(_Quiet, directory=str(Path(folder)))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
