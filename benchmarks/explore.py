"""How fast is the page of `kvae explore`, in a headless Chromium, with the shipped convolutional model?

The page is served from this machine, with onnxruntime-web from examples/browser (`npm ci` there), and is opened several
times. An update is timed from the moment a slider is moved until the new picture is painted, including the wait for the
next frame (16.7 ms at most).

    pip install playwright
    python benchmarks/explore.py
"""

import argparse
import math
import shutil
import statistics
import threading
from pathlib import Path
from typing import Any

import rounds

from kvae.bundle import onnxruntime_web
from kvae.bundle.locate import shipped
from kvae.explorer import pages
from kvae.explorer.server import Server
from kvae.runtime.bundle import Bundle

ORT_DIR = Path(__file__).parent.parent / "examples" / "browser" / "node_modules" / "onnxruntime-web"
UPDATES = 200
LIMIT = 50.0
"""Milliseconds within which an update must be visible."""

OPENING = """() => {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    const [model] = performance.getEntriesByName("model");
    return { "first paint": paint.startTime, "onnxruntime-web and model start": model.duration,
             "open to first picture": model.startTime + model.duration };
}"""
MOVING = """async (count) => {
    const durations = [];
    const observer = new PerformanceObserver((list) => {
        durations.push(...list.getEntriesByName("update").map(({ duration }) => duration));
    });
    observer.observe({ entryTypes: ["measure"] });
    const slider = document.querySelector(".used input");
    for (let i = 0; i < count; i++) {
        slider.value = 3 * Math.sin(i / 7);
        slider.dispatchEvent(new Event("input"));
        while (durations.length <= i) await new Promise((resolve) => setTimeout(resolve, Math.random() * 17));
    }
    return durations;
}"""
WAITING = """([act, id]) => new Promise((resolve) => {
    const start = performance.now();
    const element = document.getElementById(id);
    new MutationObserver((_, observer) => {
        if (element.ariaBusy !== "false") return;
        observer.disconnect();
        resolve(performance.now() - start);
    }).observe(element, { attributes: true, attributeFilter: ["aria-busy"] });
    document.getElementById(act).click();
})"""


def measure(browser: Any, url: str) -> dict[str, list[float]]:
    """Times in milliseconds from opening the page once, in a fresh context."""
    page = browser.new_page(reduced_motion="reduce")  # or it opens with a walk
    page.goto(url)
    page.wait_for_selector("main[aria-busy=false]")
    page.wait_for_selector("#field[aria-busy=false]")
    found = {name: [value] for name, value in page.evaluate(OPENING).items()}
    found["update of one picture"] = page.evaluate(MOVING, UPDATES)
    page.wait_for_selector("#field[aria-busy=false]")
    found["grid of 24 samples"] = [page.evaluate(WAITING, ["next", "grid"]) for _ in range(5)]
    found["score of one image"] = [page.evaluate(WAITING, ["reconstruct", "inspection"]) for _ in range(5)]
    page.context.close()
    return found


def table(found: dict[str, list[float]]) -> str:
    """Markdown: median, 95th percentile and number of each figure."""
    lines = ["| what | median, ms | p95, ms | times |", "|---|---|---|---|"]
    for name, values in found.items():
        ordered = sorted(values)
        p95 = ordered[math.ceil(0.95 * len(ordered)) - 1]
        lines.append(f"| {name} | {statistics.median(ordered):.1f} | {p95:.1f} | {len(ordered):,} |")
    return "\n".join(lines)


def sizes(page: dict[str, bytes]) -> str:
    """The sizes in bytes of the page's own code, the model and onnxruntime-web."""
    parts = {"the page's own code": 0, "the model": 0, "onnxruntime-web": 0}
    for name, content in page.items():
        folder = name.partition("/")[0]
        part = {"model": "the model", "ort": "onnxruntime-web"}.get(folder, "the page's own code")
        parts[part] += len(content) if name != "config.json" else 0
    return "\n".join(["| what | bytes |", "|---|---|", *(f"| {name} | {size:,} |" for name, size in parts.items())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds.ROUNDS)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    page = pages.page(Bundle.open(shipped()["fashion_mnist"], device="cpu"), "fashion_mnist", ORT_DIR)
    found: dict[str, list[float]] = {}
    print(rounds.machine())
    with Server(page) as server, sync_playwright() as playwright:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        print(f"Chromium {browser.version}, onnxruntime-web {onnxruntime_web.VERSION}\n")
        for _ in range(options.rounds):
            for name, values in measure(browser, server.url).items():
                found.setdefault(name, []).extend(values)
        browser.close()
        server.shutdown()
    print(table(found))
    print(f"\n{sizes(page)}")
    median = statistics.median(found["update of one picture"])
    print(f"\nAn update must take less than {LIMIT:.0f} ms: {'met' if median < LIMIT else 'NOT met'}.")


if __name__ == "__main__":
    main()
