"""`kvae explore`: a web page to explore what a model's codes mean."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kvae.cli import complete
from kvae.cli.destination import Out, check_apart
from kvae.cli.help import command
from kvae.cli.options import PATH, json_option
from kvae.cli.terminal import tell_which
from kvae.files import json_text

OF_THE_SERVER = {
    "host": "--host", "port": "--port", "allowed_hosts": "--allowed-host", "no_browser": "--no-browser"
}  # fmt: skip


@command(
    examples=["kvae explore", "kvae explore runs/first --out page"],
    own={"Server": ("host", "port", "allowed_hosts", "no_browser"), "Page": ("out", "ort_dir")},
)
@click.argument("model", required=False, shell_complete=complete.models)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to serve on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port; 0 for any free one.")
@click.option(
    "--allowed-host",
    "allowed_hosts",
    metavar="NAME",
    multiple=True,
    help="Also answer requests for this host name, such as a proxy's. localhost is always allowed, with any port.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option("--out", type=Out(), help="Write the page to this folder, for any web host, instead of serving it.")
@click.option("--ort-dir", type=PATH, help="Folder of onnxruntime-web, to make a page that works offline.")
@json_option
@click.pass_context
def explore(
    context: click.Context,
    model: str | None,
    host: str,
    port: int,
    allowed_hosts: tuple[str, ...],
    no_browser: bool,
    out: Path | None,
    ort_dir: Path | None,
    as_json: bool,
) -> None:
    """Explore what a model's codes mean, in a browser.

    There are sliders, a map and interpolation, and you can drop in your own images. MODEL is given as for
    `kvae sample --model`.
    """
    given = [
        option
        for name, option in OF_THE_SERVER.items()
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    ]
    if out is not None and given:
        raise click.UsageError(f"--out writes a folder instead of serving the page; leave out {', '.join(given)}.")
    from kvae.bundle.locate import locate
    from kvae.explorer import pages
    from kvae.runtime.bundle import Bundle

    path = locate(model)
    check_apart(out, [], path)
    page = pages.page(Bundle.open(path, device="cpu"), pages.model_name(path), ort_dir)
    tell_which(model, path)
    if out is None:
        serve(page, host, port, allowed_hosts, not no_browser, {"model": str(path)} if as_json else None)
        return
    pages.write(page, out)
    click.echo(json_text.dumps({"out": str(out), "model": str(path)}) if as_json else str(out))


def serve(
    page: dict[str, Any],
    host: str,
    port: int,
    allowed_hosts: Sequence[str],
    open_browser: bool,
    report: dict[str, str] | None,
) -> None:
    """Serve a page until Ctrl-C; its address goes to stdout, alone or in the JSON object `report`."""
    import threading
    import webbrowser

    from kvae.explorer.server import Server

    with contextlib.suppress(KeyboardInterrupt), Server(page, host, port, allowed_hosts) as server:
        if not server.is_local:
            reached = "any address of this machine" if server.is_everywhere else host
            click.echo(f"Warning: anyone who can reach {reached} can see and copy this model.", err=True)
        click.echo("Press Ctrl-C to stop the server.", err=True)
        click.echo(server.url if report is None else json_text.dumps({"url": server.url} | report))
        if open_browser:  # in a thread of its own, because a text browser returns only when it is closed
            threading.Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
        server.serve_forever()
    click.echo("stopped.", err=True)
