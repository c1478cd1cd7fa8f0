"""`make results`: its commands are commands, they cover docs/results.md, and it goes on where it was stopped."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from kvae.cli.main import main
from kvae.comparison import settings

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "results.md").read_text()
SPEC = importlib.util.spec_from_file_location("results", ROOT / "scripts" / "results.py")
results = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(results)
COMMANDS = [shlex.split(command) for result in results.RESULTS for command in result.commands]
KVAE = [words[1:] for words in COMMANDS if words[0] == "kvae"]


def leaves(page):
    """The headings that have no smaller one below them."""
    found = re.findall(r"^(##+) (.*)$", page, re.MULTILINE)
    following = [len(level) for level, _ in found[1:]] + [0]
    return {title for (level, title), after in zip(found, following, strict=True) if after <= len(level)}


def test_every_section_is_measured_or_left_out_for_a_reason():
    covered = {section for result in results.RESULTS for section in result.sections}
    assert covered | set(results.LEFT_OUT) == leaves(PAGE)
    assert all(results.LEFT_OUT.values())
    assert leaves("# a\n## b\n### c\n### d\n## e\n") == {"c", "d", "e"}


def documented():
    """The commands of the page, without what stands for a run: names in capitals, and folders of runs."""
    for command in re.findall(r"`((?:kvae|python) [^`]*)`", PAGE):
        words = shlex.split(command)
        if words[1] in ("train", "evaluate", "compare", "fit-prior") or words[1].endswith(".py"):
            yield [word for word in words if not (word.isupper() or word.startswith("runs/"))]


def test_every_command_of_the_page_is_among_them():
    missing = [words for words in documented() if not any(set(words) <= set(command) for command in COMMANDS)]
    assert missing == []
    assert len(list(documented())) > 20


@pytest.mark.parametrize("words", [words for words in KVAE if words[0] != "train"], ids=" ".join)
def test_each_command_of_kvae_parses(words):
    verb, *rest = words
    context = main.commands[verb].make_context(verb, rest)
    for text in context.params.get("vary") or ():
        assert len(settings.parse_vary(text)[1]) > 1


@pytest.mark.parametrize("words", [words for words in KVAE if words[0] == "train"], ids=" ".join)
def test_each_training_has_settings_that_go_together_and_a_folder(words, monkeypatch):
    made = []
    monkeypatch.setattr("kvae.cli.train.run_training", lambda config, out, *rest: made.append((config, out)))
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    ((config, out),) = made
    assert config.dataset == "fashion_mnist" and Path("runs/results") in Path(out).parents


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] != "kvae"], ids=" ".join)
def test_each_script_and_its_options_exist(words):
    program, *rest = words
    assert program == "python"
    module = rest[0] == "-m"
    files = [word for word in rest if word.endswith(".py")]
    assert files and all((ROOT / file).is_file() for file in files)
    if not module:
        text = (ROOT / files[0]).read_text()
        assert all(f'"{word}"' in text for word in rest if word.startswith("--"))


def test_what_a_command_needs_is_made_before_it():
    """A run that is evaluated, sampled from or fitted to is the --out of an earlier command with the same name."""
    for result in results.RESULTS:
        made = set()
        for command in map(shlex.split, result.commands):
            if "--out" in command:
                out = command[command.index("--out") + 1]
                made |= {out, str(Path(out).parent)}
                command = command[: command.index("--out")]
            needed = {word.removesuffix("/bundle") for word in command if word.startswith("runs/")}
            assert needed <= made, command


def test_names_and_folders_are_not_shared_by_different_trainings():
    assert len({result.name for result in results.RESULTS}) == len(results.RESULTS)
    made = {}
    for words in KVAE:
        if words[0] in ("train", "compare", "fit-prior"):
            out = words[words.index("--out") + 1]
            assert made.setdefault(out, words) == words


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A table of two results, in a folder of their own; the second command of the first fails until `ok` exists."""
    monkeypatch.chdir(tmp_path)
    fails = "import pathlib, sys; print('two', file=sys.stderr); sys.exit(not pathlib.Path('ok').exists())"
    table = [
        results.Result("a", 30.0, ("A",), ('python -c "print(1)"', f'python -c "{fails}"', 'python -c "print(3)"')),
        results.Result("b", 90.0, ("B",), ('python -c "print(4)"',)),
    ]
    monkeypatch.setattr(results, "RESULTS", table)
    return table


def printed(name):
    return (results.PRINTED / name).read_text().splitlines()


def test_what_is_done_is_not_done_again(small, capfd):
    """A failure ends its own result alone, and the next call goes on with the command that failed."""
    assert results.main([]) == 1
    seen = capfd.readouterr()
    assert "failed, a: exit status 1 of python -c" in seen.err
    assert "2 of 3 left" in seen.out and "left: about 0.5 hours" in seen.out
    first = printed("a-0.txt")
    assert first[0] == '$ python -c "print(1)"' and first[1].startswith("# commit ") and first[2] == "1"
    assert printed("b-0.txt")[2] == "4" and not (results.PRINTED / "a-1.txt").exists()
    Path("ok").touch()
    assert results.main([]) == 0
    assert printed("a-0.txt") == first and printed("a-1.txt")[2] == "two" and printed("a-2.txt")[2] == "3"
    assert "left: about 0.0 hours" in capfd.readouterr().out


def test_a_command_that_was_changed_is_run_again(small, monkeypatch):
    assert results.main(["b"]) == 0
    assert not results.left(small[1]) and len(results.left(small[0])) == 3  # ONLY=b
    changed = results.Result("b", 90.0, ("B",), ('python -c "print(5)"',))
    monkeypatch.setattr(results, "RESULTS", [changed])
    assert results.left(changed) == [0]
    assert results.main([]) == 0 and printed("b-0.txt")[2] == "5"


def test_listing_runs_nothing_and_names_other_commits(small, monkeypatch, capsys):
    assert results.main(["--list"]) == 0
    assert not results.RUNS.exists() and "left: about 2.0 hours" in capsys.readouterr().out
    monkeypatch.setattr(results, "commit", lambda: "older")
    assert results.main(["b"]) == 0
    monkeypatch.setattr(results, "commit", lambda: "newer")
    capsys.readouterr()
    results.main(["--list"])
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("b ")]
    assert "done" in line and line.endswith("made at older")


def test_an_unknown_name_is_refused(small, capsys):
    with pytest.raises(SystemExit) as raised:
        results.main(["c"])
    assert raised.value.code == 2 and "unknown: c. Known: a, b" in capsys.readouterr().err


def test_an_interrupted_command_ends_the_call_and_leaves_no_print(small, monkeypatch, capfd):
    interrupted = 'python -c "import sys; print(1); sys.exit(130)"'
    monkeypatch.setattr(results, "RESULTS", [results.Result("a", 1.0, ("A",), (interrupted,)), small[1]])
    assert results.main([]) == 130
    assert "goes on with a" in capfd.readouterr().err
    assert not (results.PRINTED / "a-0.txt").exists() and not (results.PRINTED / "b-0.txt").exists()


def test_a_training_goes_on_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = "kvae train --recipe fashion_mnist_vae --out runs/results/x"
    assert results.arguments(command) == [sys.executable, "-m", *shlex.split(command)]
    run = tmp_path / "runs" / "results" / "x"
    run.mkdir(parents=True)
    assert results.arguments(command)[-1] == "runs/results/x" and "--resume" not in results.arguments(command)
    (run / "config.json").touch()
    assert results.arguments(command)[3:] == ["train", "--resume", "runs/results/x"]
    assert results.arguments("kvae fit-prior y --prior flow --out runs/results/x")[3:] == [
        "train", "--resume", "runs/results/x",
    ]  # fmt: skip
    assert results.arguments("kvae sample --model runs/results/x --out z")[3:5] == ["sample", "--model"]
