"""Builds kvae's reports: HTML pages that contain their figures and pictures, and open offline."""

import base64
import html
import io
from collections.abc import Iterable

from matplotlib.figure import Figure
from PIL import Image

# Figures are black on white. In dark mode they are inverted, keeping hues; pictures stay as they are.
_STYLE = """
:root { color-scheme: light dark; --text: #111; --paper: #fff; --faint: #555; --line: #ddd; --mark: #eef3fb; }
@media screen and (prefers-color-scheme: dark) {
  :root { --text: #e6e6e6; --paper: #1a1a1a; --faint: #aaa; --line: #444; --mark: #23303f; }
  img.figure { filter: invert(0.9) hue-rotate(180deg); }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--paper); max-width: 62rem;
       margin: 2rem auto; padding: 0 1rem; overflow-wrap: break-word; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; white-space: nowrap; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--paper); }
table.plain { white-space: normal; } table.plain td { text-align: left; vertical-align: top; overflow-wrap: anywhere; }
table.plain td:first-child { white-space: nowrap; overflow-wrap: normal; }
tr.mark td, tr.mark td:first-child { background: var(--mark); }
small { color: var(--faint); } img { max-width: 100%; height: auto; }
pre { overflow-x: auto; padding: 0.6rem; border: 1px solid var(--line); white-space: pre-wrap; }
pre span { white-space: nowrap; }
figure { margin: 1rem 0; } figcaption { color: var(--faint); font-size: 0.9rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(18rem, 100%), 1fr)); gap: 0 1rem; }
.figures img { width: 100%; }
.grids { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
.steps { display: grid; grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); gap: 0 1rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(22rem, 100%), 1fr)); gap: 0 1rem; }
.steps img, .pairs img { width: 100%; }
.grids img { image-rendering: pixelated; width: 100%; }
.numbers { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1rem 0; }
.numbers div { font-size: 0.9rem; } .numbers b { display: block; font-size: 1.5rem; line-height: 1.3; }
@media print {
  body { max-width: none; margin: 0; font-size: 11pt; } figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; } .wide { overflow: visible; }
}
"""
MARKED = '<tr class="mark">'


def page(title: str, body: str) -> str:
    """A whole page.

    Args:
        title: text, also used as the heading.
        body: HTML below the heading.
    """
    title = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    )


def section(heading: str, body: str) -> str:
    """A heading, given as text, and HTML below it."""
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n{body}\n</section>"


def svg(figure: Figure, caption: str) -> str:
    """A matplotlib figure with a caption below it."""
    text = io.StringIO()
    figure.savefig(text, format="svg", dpi=150, metadata={"Date": None})
    data = base64.b64encode(text.getvalue().encode()).decode()
    return (
        f'<figure><img class="figure" alt="{html.escape(caption)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
    )


def png(image: Image.Image, alt: str) -> str:
    """A picture; `alt` is the text for readers who cannot see it."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def captioned(picture: str, caption: str) -> str:
    """HTML of a picture with a caption below it."""
    return f"<figure>{picture}<figcaption>{html.escape(caption)}</figcaption></figure>"


def rows_table(rows: Iterable[tuple[str, str, bool]]) -> str:
    """A table of names and texts, one row each; rows whose third item is true are highlighted."""
    body = "".join(
        f"{MARKED if marked else '<tr>'}<td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>\n"
        for name, text, marked in rows
    )
    return f'<table class="plain"><tbody>\n{body}</tbody></table>'
