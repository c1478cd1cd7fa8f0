"""What the README shows is run: its commands (training shortened) and its Python."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kvae.cli.main import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [README, *(path.read_text() for path in sorted((ROOT / "docs").glob("*.md")))]
SHORT = ["--dataset", "fashion_mnist_mini", "--architecture", "mlp", "--epochs", "1"]
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
def test_the_readme_s_commands_and_python_work_in_their_order(tmp_path, monkeypatch):
    """In one folder, as a reader would: each `kvae` command, then each Python block."""
    monkeypatch.chdir(tmp_path)
    ours = [words[1:] for words in commands(README) if words[0] == "kvae"]
    assert {words[0] for words in ours} == set(main.commands)
    for words in ours:
        shortened = [] if "--resume" in words else SHORTENED.get(words[0], [])
        result = CliRunner().invoke(main, words + shortened, catch_exceptions=False)
        assert result.exit_code == 0, (words, result.output)
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {"__name__": "__main__"})


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


@pytest.mark.parametrize("text", DOCUMENTS, ids=lambda text: text.splitlines()[0])
def test_links_and_pictures_of_the_repository_exist(text):
    base = ROOT if text is README else ROOT / "docs"
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (base / target).exists(), target


def test_nothing_tells_a_user_to_install_the_stranger_s_package():
    sources = [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "kvae").rglob("*.py"),
        *(ROOT / "cli").glob("*.py"),
    ]
    for path in sources:
        assert not re.search(r"pip install '?kvae\b(?!-onnx)", path.read_text()), path
