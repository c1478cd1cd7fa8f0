"""A web server for a fixed table of files, and nothing else."""

import contextlib
import re
import sys
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from pathlib import PurePosixPath
from socket import AF_INET, AF_INET6, SHUT_RD
from socketserver import TCPServer, ThreadingMixIn
from threading import Timer
from typing import Any

from kvae.errors import KvaeError
from kvae.files.text import printable

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
INDEX = "index.html"
"""The file that `/` stands for."""
PATIENCE = 20.0
"""Seconds within which a visitor must send a request; slower and idle connections are closed."""
STALL = 60.0
"""Seconds that a visitor may take to receive each `PIECE` of an answer."""
PIECE = 2**16


class Server(ThreadingMixIn, TCPServer):
    """A server that listens once it is created, and answers in `serve_forever`, with one thread per connection.

    A path that is not a key of the table is not found, so no request can reach any other file. Bound to a loopback
    address, the server answers only requests for a loopback name, such as localhost, with any port, as it may have been
    forwarded: a page elsewhere whose host name was made to resolve to this address (DNS rebinding) learns nothing.

    Args:
        files: contents by their path, such as "model/decoder.onnx".
        host: the address to listen on.
        port: 0 for any free port.
        allowed_hosts: further names that requests may give, such as that of a proxy.

    Raises:
        KvaeError: the address cannot be opened, or is empty; or an allowed host is not a name.
    """

    allow_reuse_address = True  # a port whose last connections are still closing can be reused
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, files: Mapping[str, bytes], host: str = "127.0.0.1", port: int = 0, allowed_hosts: Sequence[str] = ()
    ) -> None:
        if not host.strip():  # the system would take it as every address of the machine
            raise KvaeError("--host is empty; give an address, such as 127.0.0.1.")
        self.files = dict(files)
        self._allowed = {host.lower(), *map(_allowed_host, allowed_hosts)}
        self.address_family = AF_INET6 if ":" in host else AF_INET
        try:
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise KvaeError(f"cannot serve at {host} port {port}: {reason}. Try another --port or --host.") from None
        self.host, self.port = host, int(self.server_address[1])

    @property
    def url(self) -> str:
        """The address of the index page for a browser on this machine."""
        local = "::1" if self.address_family == AF_INET6 else "127.0.0.1"
        return f"http://{_bracketed(local if self.is_everywhere else self.host)}:{self.port}/"

    @property
    def is_everywhere(self) -> bool:
        """Whether the server listens on every address of the machine."""
        return ip_address(str(self.server_address[0])).is_unspecified

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        return ip_address(str(self.server_address[0])).is_loopback

    def answers_to(self, hosts: list[str]) -> bool:
        """Whether a request with these `Host` headers is meant for this server."""
        if not self.is_local:
            return True
        name = _host_name(hosts[0]) if len(hosts) == 1 else None
        return name is not None and (_is_loopback(name) or name in self._allowed)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or here if this process may start no more threads."""
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            self.process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a visitor who left; any other error is a bug, and keeps its traceback."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = STALL

    def handle_one_request(self) -> None:
        """Answer a request. Reading has a time limit, so a client that sends a byte at a time cannot hold a thread."""
        timer = Timer(PATIENCE, self._stop_reading)
        timer.daemon = True
        with contextlib.suppress(RuntimeError):  # this process may start no more threads
            timer.start()
        try:
            super().handle_one_request()
        finally:
            timer.cancel()

    def _stop_reading(self) -> None:
        with contextlib.suppress(OSError):  # the visitor has left
            self.connection.shutdown(SHUT_RD)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # the unread body would be taken as the next request
        if not self.server.answers_to(self.headers.get_all("Host", [])):
            named = ", ".join(self.headers.get_all("Host", [])) or "none"
            return self.send_error(
                HTTPStatus.MISDIRECTED_REQUEST,
                explain=f"kvae explore answers only requests for localhost and loopback addresses, but this one names "
                f"the host '{printable(named, 100)}'. If that is your own proxy or forwarded port, start kvae explore "
                f"again with --allowed-host NAME.",
            )
        path = self.path.partition("?")[0].removeprefix("/") or INDEX
        body = self.server.files.get(path)
        if body is None:
            return self.send_error(HTTPStatus.NOT_FOUND)
        kind = TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")
        self._send(HTTPStatus.OK, kind, body, with_body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with a line of text, and close: what follows may be the body of the rejected request."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:  # the base class's answer to a method without a `do_...`
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self.close_connection = True
        body = f"{status.value} {status.phrase}\n{f'{explain}{chr(10)}' if explain else ''}".encode()
        self._send(status, "text/plain; charset=utf-8", body, self.command != "HEAD")

    def _send(self, status: HTTPStatus, kind: str, body: bytes, with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        for start in range(0, len(body) if with_body else 0, PIECE):  # the timeout applies to each call
            self.wfile.write(body[start : start + PIECE])

    def version_string(self) -> str:
        return "kvae"

    def log_message(self, *_: Any) -> None:
        pass


def _host_name(header: str) -> str | None:
    """The name in a `Host` header without port and brackets, in lower case; None if it is not a name."""
    found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{0,5})?", header.strip().lower())
    return found[1].strip("[]").removesuffix(".") if found else None


def _allowed_host(name: str) -> str:
    bare = name.strip().lower().strip("[]").removesuffix(".")
    if not re.fullmatch(r"[a-z0-9_.-]+|[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*", bare):
        raise KvaeError(
            f"--allowed-host is '{printable(name, 100)}'; expected a host's name without a port, such as my.example."
        )
    return bare


def _is_loopback(name: str) -> bool:
    """Whether a name always means the machine it is used on (RFC 6761, section 6.3)."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
