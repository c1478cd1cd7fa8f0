"""What `--help` shows: verbs in groups, options in sections, the rest under `--help-all`, and examples that parse."""

import shlex
import subprocess
from collections import Counter

import click
import pytest
from click.testing import CliRunner

from kvae.cli import help as helps
from kvae.cli.help import HelpfulCommand
from kvae.cli.main import VERBS, main
from kvae.cli.verbs import GROUPS, Verb


def commands():
    """Each command by its words; `kvae data` has commands of its own."""
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {sub}", command.commands[sub]) for sub in command.commands)
        else:
            yield name, command


COMMANDS = dict(commands())


def options(command):
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


def shown(words, *, columns=80):
    """The lines of a help, and the options that they begin with."""
    result = CliRunner().invoke(main, words, terminal_width=columns - 2, prog_name="kvae")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    names = [line.split()[0] for line in lines if line.startswith("  --")]
    # Click keeps a command's help option, which is --help alone if another test has called the command by itself.
    names = [name for name in names if name != "--help"]
    return lines, names


def test_every_verb_is_listed_in_exactly_one_group():
    lines, _ = shown(["--help"])
    found = {}
    for line in lines:
        if line.endswith(":") and not line.startswith(" "):
            group = line[:-1]
        elif line.startswith("  ") and line.split()[0] in VERBS:
            found.setdefault(line.split()[0], []).append(group)
    assert found == {name: [verb.group] for name, verb in VERBS.items()}
    assert {verb.group for verb in VERBS.values()} == set(GROUPS)


def test_a_verb_without_a_group_is_refused():
    with pytest.raises(TypeError):
        Verb("added", "Does something.")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_section_and_is_shown_once(name):
    command = COMMANDS[name]
    assert isinstance(command, HelpfulCommand)
    assert helps.OTHER not in {command.section_of(option.name) for option in options(command)}
    wanted = Counter(option.opts[0] for option in options(command))
    lines, names = shown([*name.split(), "--help-all" if command.left_out else "--help"])
    assert Counter(names) - Counter(["--help-all"]) == wanted
    assert any(line.startswith(("  -h, --help", "  --help ")) for line in lines)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_a_dozen_options_and_says_how_many_more_there_are(name):
    command = COMMANDS[name]
    lines, names = shown([*name.split(), "--help"])
    names = set(names) - {"--help-all"}
    assert len(names) <= helps.MAX_OPTIONS
    assert set(command.left_out) <= {option.name for option in options(command)}
    count = len(options(command)) - len(names)
    assert count == len(command.left_out)
    more = f"{count} more options: kvae {name} --help-all"
    assert (more in lines) == bool(count)


@pytest.mark.parametrize("columns", [52, 80])
@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_every_line_fits(name, columns):
    for flag in ("--help", "--help-all") if name and COMMANDS[name].left_out else ("--help",):
        assert all(len(line) <= columns for line in shown([*name.split(), flag], columns=columns)[0])


def test_no_option_or_number_is_broken():
    """As click's own wrapping does, after the hyphens of --kl-warmup-epochs."""
    text = "\n".join(shown(["train", "--help-all"])[0])
    assert "--kl-\n" not in text and text.count("--kl-warmup-epochs") == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_are_commands_that_parse(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = COMMANDS[name]
    assert len(command.examples) == 2
    for example in command.examples:
        program, *words = shlex.split(example.partition(" > ")[0])
        assert program == "kvae" and words[: len(name.split())] == name.split()
        context = click.Context(main, info_name="kvae", **main.context_settings)
        command.make_context(name, words[len(name.split()) :], parent=context)
        assert f"  {example}" in shown([*name.split(), "--help"], columns=200)[0]
    assert not list(tmp_path.iterdir())


def test_an_example_that_is_broken_over_lines_can_be_copied():
    example = "kvae sample --label sneaker --temperature 0.8 --seed 7 --out sneakers.png"
    lines = helps._continued(example.split(), 40)
    assert len(lines) > 1 and all(len(line) <= 40 for line in lines)
    done = subprocess.run(["sh", "-c", f"printf '%s\\n' {chr(10).join(lines)}"], capture_output=True, text=True)
    assert done.stdout.splitlines() == shlex.split(example)
