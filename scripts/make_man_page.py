"""Write kvae's man page, from the same source as `--help`.

python scripts/make_man_page.py kvae.1
man -l kvae.1
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from kvae import __version__
from kvae.cli.help import HelpfulCommand
from kvae.cli.main import VERBS, main
from kvae.cli.verbs import GROUPS

EXIT_STATUS = {
    "0": "all went well.",
    "1": "something that you can fix, in one line on standard error.",
    "2": "wrong usage.",
    "128 + n": "signal n ended it; Ctrl-C is 130.",
}
ENVIRONMENT = {
    "KVAE_CACHE_DIR": "where data sets and decoded images are kept; by default kvae in XDG_CACHE_HOME, or in ~/.cache.",
    "KVAE_THREADS": "number of CPU threads; by default one per core that the process may use.",
    "NO_COLOR": "no colours.",
}


def page() -> str:
    """The page, in the macros of man(7)."""
    lines = [
        f'.TH KVAE 1 "" "kvae {__version__}" "User Commands"',
        ".nh",
        ".ad l",
        ".SH NAME",
        r"kvae \- train, export, sample and measure variational autoencoders",
        ".SH SYNOPSIS",
        r".B kvae",
        r".I command",
        r"[\fIoptions\fR]",
        ".SH DESCRIPTION",
        escaped(str(main.help)),
    ]
    for group in GROUPS:
        lines.append(f".SH {group.upper()}")
        for name, verb in VERBS.items():
            if verb.group == group:
                lines += _verb(name, main.commands[name])
    lines += [*_table("EXIT STATUS", EXIT_STATUS), *_table("ENVIRONMENT", ENVIRONMENT)]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text on one line as roff reads it: the signs that are commands to it are shown as they are."""
    line = " ".join(text.split()).replace("\\", r"\e").replace("-", r"\-")
    return f"\\&{line}" if line.startswith((".", "'")) else line


def _verb(name: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for inner, part in command.commands.items():
            yield from _verb(f"{name} {inner}", part)
        return
    context = click.Context(
        command, info_name=name, parent=click.Context(main, info_name="kvae", **main.context_settings)
    )
    yield f".SS {escaped(f'kvae {name}')}"
    usage = " ".join(command.collect_usage_pieces(context))
    yield rf"\fBkvae {escaped(name)}\fR {escaped(usage)}"
    for paragraph in str(command.help).split("\n\n"):
        yield from (".PP", escaped(paragraph))
    if isinstance(command, HelpfulCommand):
        for section, records in command.records(context).items():
            yield from (".PP", rf"\fI{escaped(section)}\fR")
            for spec, text in records:
                yield from (".TP", rf"\fB{escaped(spec)}\fR", escaped(text))
        yield from (".PP", r"\fIExamples\fR", ".nf")
        yield from (f"    {escaped(example)}" for example in command.examples)
        yield ".fi"


def _table(title: str, rows: dict[str, str]) -> list[str]:
    parts = [f".TP\n\\fB{escaped(name)}\\fR\n{escaped(text)}" for name, text in rows.items()]
    return [f".SH {title}", *parts]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Usage: python scripts/make_man_page.py kvae.1")
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
