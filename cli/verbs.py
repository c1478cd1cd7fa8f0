"""Commands that are imported when they run, so that `kvae --help` imports none."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Verb(NamedTuple):
    """Where a command is defined, and what it does."""

    module: str
    """The module of `kvae.cli` that defines the command, under the verb's own name with _ for -."""
    summary: str
    """The first line of the command's help, shown by `kvae --help`."""
    group: str
    """Where `kvae --help` lists it: one of `GROUPS`."""


GROUPS = ("Make", "Use", "Look", "Measure", "Bundles", "Setup")
"""The groups of `kvae --help`."""


class Verbs(Mapping[str, click.Command]):
    """The commands of a table, each imported when it is looked up."""

    def __init__(self, table: Mapping[str, Verb]) -> None:
        self.table = table

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"kvae.cli.{self.table[name].module}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)


class VerbGroup(click.Group):
    """A group whose commands come from a table.

    Args:
        verbs: the table: each verb by its name.
    """

    def __init__(self, *args: Any, verbs: Mapping[str, Verb], **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.commands = Verbs(verbs)  # type: ignore[assignment]  # click writes to it only in add_command
        self.verbs = verbs

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command; unlike click's own look-up, an error while its module is imported comes through."""
        return self.commands[cmd_name] if cmd_name in self.verbs else None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """The verbs, or else the options, that begin with a word; click would import each verb."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=verb.summary) for name, verb in self.verbs.items()]
        return [item for item in found if item.value.startswith(incomplete)] or click.Command.shell_complete(
            self, ctx, incomplete
        )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the arguments begin with; for an unknown one, an error with what may have been meant."""
        if args and args[0] not in self.verbs and not args[0].startswith("-") and not ctx.resilient_parsing:
            from kvae.cli import suggestions

            ctx.fail(suggestions.unknown_verb(args[0], self.verbs))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs with their summaries, group by group; click would import each one to get its help."""
        size = max(map(len, self.verbs))
        for group in GROUPS:
            rows = [(f"{name:<{size}}", verb.summary) for name, verb in self.verbs.items() if verb.group == group]
            if rows:
                with formatter.section(group):
                    formatter.write_dl(rows)
