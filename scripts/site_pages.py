"""Hooks of MkDocs: the pages of the site that are not in docs/, and links that work on GitHub and on the site.

The top of the site is docs/, its home page is README.md, and every other file keeps its path in the repository. What a
page links to comes along, so a link is written once, as GitHub wants it, and leads nowhere else.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

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
    """The address on the site of a file of the repository: README.md is the home page, and docs/ the top."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")


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


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that are not in docs/."""
    for path in outside():
        files.append(File.generated(config, place(path), abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "reference/cli.md", content=relinked("docs/reference/cli.md", CLI)))
    for face in FACES:
        files.append(File.generated(config, f"reference/{face}.md", content=f"# kvae.{face}\n\n::: kvae.{face}\n"))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point a page's links to where their files are on the site."""
    source = page.file.abs_src_path
    return relinked(os.path.relpath(source, ROOT).replace(os.sep, "/"), markdown) if source else markdown
