"""`kvae serve`: a web service around a model."""

import contextlib
from importlib.util import find_spec

import click

from kvae.cli.help import command
from kvae.cli.options import device_option, threads_option
from kvae.cli.terminal import tell_which

PACKAGES = ("fastapi", "limits", "prometheus_client", "uvicorn")
"""What the extra `serve` installs."""


@command(
    examples=["kvae serve my_bundle", "kvae serve my_bundle --host 0.0.0.0 --port 80 --rate 100/second"],
    own={"Service": ("host", "port"), "Limits": ("max_images", "max_body", "max_waiting", "rate")},
)
@click.argument("model", required=False)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to serve on; by default this machine's own."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Port; 0 for any free one."
)
@click.option(
    "--max-images", type=click.IntRange(1), default=1024, show_default=True, help="Images in a request, or its answer."
)
@click.option(
    "--max-body", metavar="MiB", type=click.IntRange(1), default=16, show_default=True, help="Largest request body."
)
@click.option(
    "--max-waiting",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Requests that may wait for the model; further ones are told to try again (503).",
)
@click.option(
    "--rate",
    metavar="N/second",
    help="Requests of each client address, such as 100/second or 5000/hour. [default: any]",
)
@device_option
@threads_option
def serve(
    model: str | None,
    host: str,
    port: int,
    max_images: int,
    max_body: int,
    max_waiting: int,
    rate: str | None,
    device: str,
) -> None:
    """Serve a model over HTTP: sample, encode, decode, reconstruct, score.

    MODEL is given as for `kvae sample --model`. docs/serving.md describes the routes; /openapi.json does for programs,
    /health is for health checks, and /metrics for Prometheus.
    """
    from kvae.bundle.locate import locate
    from kvae.errors import KvaeError
    from kvae.runtime.bundle import Bundle

    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        from kvae.machine import extras

        raise KvaeError(f"kvae serve needs {missing[0]}; {extras.advice('serve')}")
    from kvae import serving
    from kvae.serving.limits import MIB, parse_rate

    if not host.strip():
        raise KvaeError("--host is empty; give an address, such as 127.0.0.1.")
    if rate is not None:
        parse_rate(rate)
    path = locate(model)
    bundle = Bundle.open(path, device)
    tell_which(model, path)

    def ready(address: str) -> None:
        click.echo("Press Ctrl-C to stop the service.", err=True)
        click.echo(address)

    with contextlib.suppress(KeyboardInterrupt):
        serving.serve(bundle, host, port, serving.Limits(max_body * MIB, max_images, max_waiting, rate), ready)
    click.echo("stopped.", err=True)
