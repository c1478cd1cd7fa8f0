"""Runs the application with uvicorn."""

import socket
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn

from kvae.errors import KvaeError
from kvae.runtime.bundle import Bundle
from kvae.serving.app import create_app
from kvae.serving.limits import DEFAULTS, Limits

GRACE = 30
"""Seconds that requests which are being answered get when the service is told to stop."""
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
BACKLOG = 1024
BEING_READ = 64
"""Connections beyond the requests that may wait; with more, further requests are answered with 503 before their bodies
are read, so that memory is bounded."""


def serve(
    bundle: Bundle,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits = DEFAULTS,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Answer requests until SIGTERM or Ctrl-C; those that are being answered are finished first.

    Args:
        bundle: the model.
        host: the address to listen on; by default this machine alone can reach it.
        port: the port; 0 for any free one.
        limits: what is granted to requests and clients.
        ready: called with the address once the service listens, if given.

    Raises:
        KvaeError: the address cannot be used.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise KvaeError(f"cannot serve at {host} port {port}: {reason}. Try another --port or --host.") from None
    with listening:
        address = listening.getsockname()
        hosts = [*LOOPBACK, host, address[0]] if ip_address(address[0]).is_loopback else None
        app = create_app(bundle, limits, hosts)
        if ready is not None:
            ready(f"http://{f'[{host}]' if ':' in host else host}:{address[1]}")
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE,
            limit_concurrency=limits.max_waiting + BEING_READ,
            server_header=False,
        )
        uvicorn.Server(config).run([listening])
