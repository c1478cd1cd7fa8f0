"""`kvae info`: what a bundle says about itself."""

import click

from kvae.cli import terminal
from kvae.cli.options import json_option


@click.command()
@click.argument("model", required=False)
@json_option
def info(model: str | None, as_json: bool) -> None:
    """Show what a bundle says about itself.

    MODEL is given as for `kvae sample --model`.
    """
    from kvae.bundle import summary
    from kvae.bundle.locate import locate
    from kvae.files import json_text
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    manifest = Bundle.open(path, device="cpu").manifest
    terminal.tell_which(model, path)
    if as_json:
        click.echo(json_text.dumps(summary.as_json(manifest, path)))
    else:
        click.echo(terminal.wrapped(summary.as_text(manifest, path), terminal.width()))
