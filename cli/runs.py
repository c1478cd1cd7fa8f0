"""`kvae runs`: list the runs in a folder."""

from pathlib import Path

import click

from kvae.cli import terminal
from kvae.cli.help import command
from kvae.cli.options import PATH, json_option
from kvae.files import json_text


@command(examples=["kvae runs", "kvae runs comparison --json"])
@click.argument("folder", type=PATH, default="runs")
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """List the runs in a folder, newest first.

    FOLDER was made by `kvae train` or `kvae compare`; the default is `runs`. Resume a stopped run with
    `kvae train --resume RUN`.
    """
    from kvae.files.text import printable
    from kvae.runs import listing

    found, skipped = listing.find(folder)
    for line in skipped:
        terminal.tell(f"skipped: {line}")
    columns = terminal.width()
    if as_json:
        click.echo(json_text.dumps(listing.as_json(found, skipped), indent=2))
    elif found:
        click.echo(terminal.wrapped(listing.as_text(found, columns), columns))
    elif not skipped:
        terminal.tell(f"no runs in {printable(str(folder))}. Make one with kvae train.")
