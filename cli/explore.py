"""`kvae explore`: a web page to explore what a model's codes mean."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kvae.cli import complete
from kvae.cli.destination import Out, check_apart
from kvae.cli.help import command
from kvae.cli.options import PATH, data_dir_option, json_option
from kvae.cli.terminal import tell_which
from kvae.files import json_text

OF_THE_SERVER = {
    "host": "--host", "port": "--port", "allowed_hosts": "--allowed-host", "no_browser": "--no-browser"
}  # fmt: skip


@command(
    examples=["kvae explore", "kvae explore runs/first --out page"],
    own={"Server": ("host", "port", "allowed_hosts", "no_browser"), "Page": ("out", "ort_dir", "why_kl")},
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
@click.option(
    "--out",
    type=Out(),
    help="Write the page to this folder, for any web host, instead of serving it; with --why-kl, to this .html file.",
)
@click.option("--ort-dir", type=PATH, help="Folder of onnxruntime-web, to make a page that works offline.")
@click.option(
    "--why-kl",
    type=PATH,
    metavar="FOLDER",
    help="Instead of a model, show what the entropy of the posterior does: a slider over the models of a comparison of "
    "entropy weights with two latent dimensions, as kvae compare --vary entropy_weight=0,0.5,1,2 --latent-dim 2 makes.",
)
@data_dir_option
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
    why_kl: Path | None,
    data_dir: Path | None,
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
    if why_kl is not None:
        if model is not None or ort_dir is not None:
            raise click.UsageError(
                "--why-kl shows a comparison, without onnxruntime-web: leave out MODEL and --ort-dir."
            )
        contents, source = page_of_comparison(why_kl, data_dir, out), {"comparison": str(why_kl)}
        if out is None:
            serve(contents, host, port, allowed_hosts, not no_browser, source if as_json else None)
        else:
            click.echo(json_text.dumps({"out": str(out)} | source) if as_json else str(out))
        return
    if data_dir is not None:
        raise click.UsageError("--data-dir goes with --why-kl; a model's page needs no data set.")
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


def page_of_comparison(folder: Path, data_dir: Path | None, out: Path | None) -> dict[str, bytes]:
    """The page "Why the KL" as a table for the server, written to `out` if that is given."""
    if out is not None and out.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--why-kl writes one file: --out must end in .html; got '{out}'.")
    check_apart(out, [folder])
    from kvae.explorer import why_kl
    from kvae.explorer.server import INDEX

    html = why_kl.page(folder, data_dir)
    if out is not None:
        why_kl.write(html, out)
    return {INDEX: html}


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
