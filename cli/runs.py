"""`kvae runs`: list the runs in a folder."""

import json
import sys
from pathlib import Path

import click

from kvae.cli.options import PATH, json_option


@click.command()
@click.argument("folder", type=PATH, default="runs")
@json_option
def runs(folder: Path, as_json: bool) -> None:
    """List the runs in a folder, newest first.

    FOLDER was made by `kvae train` or `kvae compare`; the default is `runs`. Resume a stopped run with
    `kvae train --resume RUN`.
    """
    import shutil  # takes 2 ms, and kvae --help does not need it

    from kvae.files.text import printable
    from kvae.runs import listing

    found, skipped = listing.find(folder)
    for line in skipped:
        click.echo(f"skipped: {line}", err=True)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if as_json:
        click.echo(json.dumps(listing.as_json(found, skipped), indent=2))
    elif found:
        click.echo(listing.as_text(found, width))
    elif not skipped:
        click.echo(f"no runs in {printable(str(folder))}. Make one with kvae train.", err=True)
