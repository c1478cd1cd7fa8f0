"""Commands that are imported when they are called, so that `kvae --help` imports none."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click


class Verb(NamedTuple):
    """Where a command is, and what it does."""

    module: str
    """The module of `kvae.cli` that has the command, under the verb's own name."""
    summary: str
    """The first line of the command's help, which `kvae --help` shows."""


class Verbs(Mapping[str, click.Command]):
    """The commands of a table, each imported when it is looked up."""

    def __init__(self, table: Mapping[str, Verb]) -> None:
        self.table = table

    def __getitem__(self, name: str) -> click.Command:
        command: click.Command = getattr(import_module(f"kvae.cli.{self.table[name].module}"), name)
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)


class VerbGroup(click.Group):
    """A group whose commands are those of a table.

    Args:
        verbs: the table: a verb's name and where it is.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, Verb], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands = Verbs(verbs)  # type: ignore[assignment]  # click writes to it in add_command alone
        self.verbs = verbs

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with their summaries; click would import each to ask for its help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self.verbs[name].summary) for name in self.list_commands(ctx)])
