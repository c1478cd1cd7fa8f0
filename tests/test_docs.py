"""What the README and the pages show is run: their commands (training shortened) and their Python."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kvae.cli.main import main
from kvae.comparison import settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
TOUR = [README, *((ROOT / "docs" / name).read_text() for name in ("commands.md", "python.md"))]
"""The README, and the pages with the rest of what there is to type: together, every command."""
NOT_RUN = (["explore", "runs/first"], ["serve", "my_bundle"])
"""Commands that serve until they are interrupted; tests of their own run them."""
DOCUMENTS = [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
GUIDES = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")), ROOT / "examples" / "README.md",
    *sorted((ROOT / "examples").glob("*/README.md")),
]  # fmt: skip
"""Every page that describes the repository as it is. CHANGELOG.md also tells what it was."""
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FOLDERS = ("benchmarks", "cli", "docs", "examples", "exported", "kvae", "scripts", "tests")
SHORT = ["--dataset", "fashion_mnist_mini", "--architecture", "mlp", "--epochs", "1", "--jit", "off"]
SHORTENED = {
    "train": [*SHORT, "--kl-warmup-epochs", "0"],
    "compare": [*SHORT, "--hidden-units", "8", "--importance-samples", "2"],
    "evaluate": ["--importance-samples", "2"],
}


def blocks(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(text):
    """The lines of a document's shell blocks, without comments; a trailing backslash joins lines."""
    lines = "\n".join(blocks(text, "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.slow
@pytest.mark.parametrize("points", [2, pytest.param(6, marks=pytest.mark.exhaustive)])
def test_the_tour_s_commands_and_python_work_in_their_order(clone, monkeypatch, points):
    """In one folder, as a reader would: each `kvae` command, then each Python block. Of a comparison, two points."""
    shared, runs = settings.PRESETS["why-kl"]
    assert len(runs) == 6
    monkeypatch.setitem(settings.PRESETS, "why-kl", (shared, dict(list(runs.items())[:points])))
    assert {words[1] for text in TOUR for words in commands(text) if words[0] == "kvae"} == set(main.commands)
    for text in TOUR:
        for words in ours(text):
            run(words, points)
    for text in TOUR:
        run_python(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["start", "conditional"])
def test_the_commands_and_python_of_a_page_work_in_their_order(name, clone):
    """But for comparisons, which the tour has."""
    text = (ROOT / "docs" / f"{name}.md").read_text()
    run(["sample", "--model", "fashion_mnist_small", "--n", "300", "--out", "photos"])  # the reader's own
    for words in ours(text):
        if words[0] != "compare":
            run(words)
    run_python(text)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The folder that a reader types in: a clone, as far as the pages name its files."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "exported" / "fashion_mnist", tmp_path / "exported" / "fashion_mnist")


def ours(text):
    """The words after `kvae` of each such command of a page."""
    return [words[1:] for words in commands(text) if words[0] == "kvae" and words[1:] not in NOT_RUN]


def run(words, points=2):
    """One command, its training shortened, and its comparison to so many points."""
    shortened = SHORTENED.get(words[0], []) if "--samples" not in words else []
    if "--resume" in words:  # with the settings of its run
        shortened = ["--epochs", "2"] * ("--epochs" in words)
    elif "--data" in words:  # which names no data set
        shortened = [word for word in shortened if word not in ("--dataset", "fashion_mnist_mini")]
    if "--limit" in words:  # which forks: not this process, with its threads and its memory
        subprocess.run([sys.executable, "-m", "kvae", *words], check=True, capture_output=True)
        return
    if words[0] == "compare" and points == 2:
        words = [re.sub(r"^(\w+=[^,]+,[^,]+).*", r"\1", word) for word in words]  # two values
    result = CliRunner().invoke(main, words + shortened, catch_exceptions=False)
    assert result.exit_code == 0, (words, result.output)


def run_python(text):
    """Each Python block of a page."""
    for block in blocks(text, "python"):
        exec(compile(block, "a page", "exec"), {"__name__": "__main__"})


def test_the_programs_that_embed_kvae_run(tmp_path):
    """Each block of the page's Python as a program of its own, in a folder with a bundle."""
    shutil.copytree(ROOT / "exported" / "fashion_mnist_small", tmp_path / "my_bundle")
    for number, block in enumerate(blocks((ROOT / "docs" / "embedding.md").read_text(), "python")):
        script = tmp_path / f"program_{number}.py"
        script.write_text(block)
        done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=100)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_make_targets_that_are_named_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for text in (*DOCUMENTS, contributing):
        for words in commands(text):
            if words[0] == "make":
                assert set(words[1:]) <= targets
    assert ["make", "demo"] in commands(README)
    assert ["make", "test"] in commands(README)
    assert "make test" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("text", DOCUMENTS, ids=lambda text: text.splitlines()[0])
def test_documented_options_exist(text):
    for words in commands(text):
        if words[0] == "kvae" and len(words) > 1:
            command = main.commands[words[1]]
            command = command.commands[words[2]] if isinstance(command, click.Group) else command
            known = {name for parameter in command.params for name in parameter.opts}
            assert {word for word in words[2:] if word.startswith("--")} <= known | {"--help"}


@pytest.mark.parametrize("path", [*GUIDES, *NOTEBOOKS], ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_of_the_repository_exist(path):
    for target in re.findall(r"\]\(([^)#]+)", path.read_text()):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), target


def named_files(text):
    """What a page names as a file or folder of the repository, from its root.

    That is any path that begins with one of its folders, and in backticks any Python file in a folder: that path may
    also be relative to `kvae/`. A `<name>` is for the reader to fill in: the path before it counts.
    """
    named = set(re.findall(rf"(?<![\w./<>*-])(?:{'|'.join(FOLDERS)})/[\w./-]*", text))
    for code in re.findall(r"`([^`\n]+)`", text):
        named |= set(re.findall(r"(?<![\w./<>*$-])\w+/[\w/]+\.py\b", code))
    return {name.rstrip(".") for name in named}


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_page_names_exist(path):
    missing = {
        name
        for name in named_files(path.read_text())
        if not any((base / name).exists() for base in (ROOT, ROOT / "kvae"))
    }
    assert not missing


def test_named_files_are_found():
    text = "`pytest tests/a.py`, [b](docs/b.md), kvae/c.py. `runs/d.py`, `tests/<folder>/e.py`, ~/.cache/kvae/f, `g.py`"
    assert named_files(text) == {"tests/a.py", "docs/b.md", "kvae/c.py", "runs/d.py", "tests/"}


def test_nothing_tells_a_user_to_install_the_stranger_s_package():
    sources = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "kvae").rglob("*.py"),
        *(ROOT / "cli").glob("*.py"),
    ]
    for path in sources:
        assert not re.search(r"pip install '?kvae\b(?!-onnx)", path.read_text()), path
