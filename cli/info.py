"""`kvae info`: what a bundle says about itself."""

import click

from kvae.cli import complete, terminal
from kvae.cli.help import command
from kvae.cli.options import json_option, limit_option
from kvae.files import json_text


@command(examples=["kvae info", "kvae info my_bundle --json"])
@click.argument("model", required=False, shell_complete=complete.models)
@limit_option
@json_option
def info(model: str | None, as_json: bool) -> None:
    """Show what a bundle says about itself.

    MODEL is given as for `kvae sample --model`.
    """
    from kvae.bundle import summary
    from kvae.bundle.locate import locate
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    bundle = Bundle.open(path, device="cpu")
    manifest = bundle.manifest
    terminal.tell_which(model, path)
    if as_json:
        click.echo(json_text.dumps(summary.as_json(manifest, path), indent=2))
    else:
        click.echo(terminal.wrapped(summary.as_text(manifest, path, bundle.graphs), terminal.width()))
