"""Hooks of MkDocs: the pages of the site that are not in docs/, and links that work on GitHub and on the site.

The top of the site is docs/, its home page is README.md, and every other file keeps its path in the repository. What a
page links to comes along, so a link is written once, as GitHub wants it, and leads nowhere else.
"""

import base64
import json
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
"""Pages outside docs/, from whose links, and from those of docs/, the others are found."""
FACES = ("runtime", "model", "training", "export", "evaluation", "data", "testing")
"""The modules of kvae whose reference is made from their docstrings."""
CLI = """# Command line

What `kvae VERB --help` says, of every command. [The commands](../commands.md) shows them at work.

::: mkdocs-click
    :module: kvae.cli.main
    :command: main
    :prog_name: kvae
    :depth: 1
"""
LINK = re.compile(r"(?<=\]\()[^)#\s]+")
"""The target of a link or a picture, up to its anchor."""


def place(path: str) -> str:
    """The address on the site of a file of the repository: README.md is the home page, docs/ the top."""
    if path == "README.md":
        return "index.md"
    return path.removeprefix("docs/").removesuffix(".ipynb") + ".md" * path.endswith(".ipynb")


def linked(path: str, text: str) -> Iterator[tuple[str, str]]:
    """Each link of a page to a file of the repository: as it stands there, and as a path from the root."""
    for target in LINK.findall(text):
        found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if (ROOT / found).is_dir():
            found += "/README.md"
        if "://" not in target and (ROOT / found).is_file():
            yield target, found


def relinked(path: str, text: str) -> str:
    """A page of the repository with the links that it has on the site."""
    folder = posixpath.dirname(place(path)) or "."
    links = {target: posixpath.relpath(place(found), folder) for target, found in linked(path, text)}
    return LINK.sub(lambda link: links.get(link[0], link[0]), text)


def outside() -> list[str]:
    """The files outside docs/ that belong to the site."""
    found = [*PAGES, *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
    for path in found:  # which grows meanwhile
        if path.endswith(".md"):
            found += [file for _, file in linked(path, (ROOT / path).read_text()) if file not in found]
    return [path for path in found if not path.startswith("docs/")]


def pictures(notebook: dict[str, Any]) -> dict[str, bytes]:
    """The pictures among the outputs of a notebook's cells, by the names that `as_page` gives them."""
    return {
        f"{number}.png": base64.b64decode(output["data"]["image/png"])
        for number, cell in enumerate(notebook["cells"])
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    }


def as_page(notebook: dict[str, Any], name: str) -> str:
    """A notebook as Markdown: its texts, its code, and what the code printed or drew."""
    parts = [f"*The notebook `notebooks/{name}.ipynb`, with its outputs.*"]
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        parts.append(f"```python\n{source}\n```" if cell["cell_type"] == "code" else source)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            text = "".join(output.get("text", data.get("text/plain", []))).rstrip()
            drawn = "image/png" in data
            parts.append(f"![What the code above draws]({name}/{number}.png)" if drawn else f"```text\n{text}\n```")
    title, _, rest = parts[1].partition("\n")
    return "\n\n".join([title, parts[0], rest.strip(), *parts[2:]]) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are not in docs/."""
    for path in outside():
        if not path.endswith(".ipynb"):
            files.append(File.generated(config, place(path), abs_src_path=str(ROOT / path)))
            continue
        notebook, name = json.loads((ROOT / path).read_text()), Path(path).stem
        files.append(File.generated(config, place(path), content=relinked(path, as_page(notebook, name))))
        for file, content in pictures(notebook).items():
            files.append(File.generated(config, f"{place(path).removesuffix('.md')}/{file}", content=content))
    files.append(File.generated(config, "reference/cli.md", content=relinked("docs/reference/cli.md", CLI)))
    for face in FACES:
        files.append(File.generated(config, f"reference/{face}.md", content=f"# kvae.{face}\n\n::: kvae.{face}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point a page's links to where their files are on the site."""
    source = page.file.abs_src_path
    return relinked(os.path.relpath(source, ROOT).replace(os.sep, "/"), markdown) if source else markdown
