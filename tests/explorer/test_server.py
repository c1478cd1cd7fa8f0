"""The server for a fixed table, tested with raw sockets: what it serves, and that it serves nothing else."""

import contextlib
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from kvae.errors import KvaeError
from kvae.explorer.server import Server

FILES = {
    "index.html": b"<!doctype html>\n",
    "main.mjs": b"export {};\n",
    "page.css": b"body {}\n",
    "icon.svg": b"<svg/>",
    "config.json": b"{}",
    "model/manifest.json": b'{"a": 1}',
    "model/decoder.onnx": bytes(range(256)) * 5000,
    "ort/x.wasm": b"\0asm",
}


@contextmanager
def serving(host="127.0.0.1", port=0, files=FILES, allowed_hosts=()):
    with Server(files, host, port, allowed_hosts) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def server():
    with serving() as found:
        yield found


def ask(server, request, host=None):
    """The answer to raw bytes, up to the end of the connection: status, headers, body."""
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return parsed(answer)


def parsed(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}, body


def request(server, method, target, *headers):
    host = f"Host: 127.0.0.1:{server.port}"
    lines = [f"{method} {target} HTTP/1.1", host, "Connection: close", *headers, "", ""]
    return ask(server, "\r\n".join(lines).encode("latin-1"))


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("/", "index.html", "text/html; charset=utf-8"),
        ("/index.html", "index.html", "text/html; charset=utf-8"),
        ("/main.mjs", "main.mjs", "text/javascript; charset=utf-8"),
        ("/main.mjs?again", "main.mjs", "text/javascript; charset=utf-8"),
        ("/page.css", "page.css", "text/css; charset=utf-8"),
        ("/icon.svg", "icon.svg", "image/svg+xml"),
        ("/config.json", "config.json", "application/json"),
        ("/model/manifest.json", "model/manifest.json", "application/json"),
        ("/model/decoder.onnx", "model/decoder.onnx", "application/octet-stream"),
        ("/ort/x.wasm", "ort/x.wasm", "application/wasm"),
    ],
)
def test_a_file_is_served_whole_and_with_its_type(server, path, name, kind):
    status, headers, body = request(server, "GET", path)
    assert (status, body) == (200, FILES[name])
    assert headers["content-type"] == kind
    assert headers["content-length"] == str(len(FILES[name]))
    assert headers["cache-control"] == "no-cache"
    assert headers["x-content-type-options"] == "nosniff"


def test_head_returns_only_the_headers(server):
    status, headers, body = request(server, "HEAD", "/model/decoder.onnx")
    assert (status, body) == (200, b"")
    assert headers["content-length"] == str(len(FILES["model/decoder.onnx"]))
    assert request(server, "HEAD", "/nothing")[0::2] == (404, b"")


@pytest.mark.parametrize(
    "target",
    [
        "/../manifest.json",
        "/model/../config.json",
        "/%2e%2e/config.json",
        "/model%2fmanifest.json",
        "/model%5cmanifest.json",
        "/model\\manifest.json",
        "/./config.json",
        "//etc/passwd",
        "/etc/passwd",
        "/model",
        "/model/",
        "/config.json/",
        "/config.json\0",
        "/config.json%00",
        "http://127.0.0.1/config.json",
        "file:///etc/passwd",
        "*",
        "/" + "a" * 60_000,
    ],
)
def test_a_path_that_is_not_in_the_table_is_not_found(server, target):
    status, headers, body = request(server, "GET", target)
    assert (status, body) == (404, b"404 Not Found\n")
    assert headers["content-type"].startswith("text/plain")


def test_an_endless_target_is_refused(server):
    assert request(server, "GET", "/" + "a" * 70_000)[0] == 414


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "XYZZY"])
def test_other_methods_are_refused_and_the_connection_closed(server, method):
    """The body of a refused request is not read as the next request."""
    inner = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
    status, headers, body = request(server, method, "/", f"Content-Length: {len(inner)}", "", inner)
    assert (status, body) == (405, b"405 Method Not Allowed\n")
    assert (headers["allow"], headers["connection"]) == ("GET, HEAD", "close")


@pytest.mark.parametrize("header", ["Content-Length: {}", "Transfer-Encoding: chunked", "content-length: {}"])
def test_the_body_of_a_get_is_not_a_request(server, header):
    inner = f"GET /page.css HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n"
    lines = ["GET /config.json HTTP/1.1", f"Host: localhost:{server.port}", header.format(len(inner)), "", inner]
    status, headers, body = ask(server, "\r\n".join(lines).encode())
    assert (status, headers["connection"], body) == (200, "close", FILES["config.json"])


@pytest.mark.parametrize("start", ["GET /config.json HTTP/1.1\r\nX: ", "GET /"])
def test_the_server_does_not_wait_for_an_endless_request(server, monkeypatch, start):
    """Sent one byte at a time, each of them on time."""
    monkeypatch.setattr("kvae.explorer.server.PATIENCE", 0.3)
    with socket.create_connection((server.host, server.port)) as connection:
        connection.settimeout(0.05)
        connection.sendall(start.encode())
        began = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() < began + 5:
                connection.sendall(b"a")
                with contextlib.suppress(TimeoutError):
                    if connection.recv(65536) == b"":
                        raise ConnectionError
        assert time.monotonic() > began + 0.25


def test_an_answer_may_take_longer_than_a_request(monkeypatch):
    """Each piece has its own timeout, so a slow visitor gets all of a large file."""
    content = bytes(40_000_000)
    monkeypatch.setattr("kvae.explorer.server.PATIENCE", 0.2)
    monkeypatch.setattr("kvae.explorer.server._Handler.timeout", 0.4)
    with serving(files={"x.wasm": content}) as server, socket.create_connection((server.host, server.port)) as visitor:
        visitor.sendall(b"GET /x.wasm HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\n\r\n" % server.port)
        received = 0
        while chunk := visitor.recv(4_000_000, socket.MSG_WAITALL):
            received += len(chunk)
            time.sleep(0.1)
    assert received > len(content)


def test_a_connection_serves_many_requests(server):
    one = f"GET /config.json HTTP/1.1\r\nHost: localhost:{server.port}\r\n\r\n"
    last = one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
    with socket.create_connection((server.host, server.port), timeout=10) as connection:
        connection.sendall((one * 2 + last).encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def ask_as(server, *hosts):
    """The answer to a request with these `Host` headers."""
    lines = ["GET /config.json HTTP/1.1", *(f"Host: {host.format(port=server.port)}" for host in hosts)]
    return ask(server, "\r\n".join([*lines, "Connection: close", "", ""]).encode())


@pytest.mark.parametrize(
    "host",
    [
        "localhost:{port}", "localhost:9999", "localhost", "LocalHost:80", "localhost.:8080", "app.localhost:8080",
        "a.b.localhost", "127.0.0.1:1", "127.0.0.1", "127.1.2.3:8080", "[::1]:3", "[::1]", " localhost:8080 ",
    ],
)  # fmt: skip
def test_a_loopback_server_answers_to_loopback_names_with_any_port(server, host):
    """A forwarded port (ssh -L, docker -p) reaches the server under another number than its own."""
    assert ask_as(server, host)[0::2] == (200, FILES["config.json"])


@pytest.mark.parametrize(
    "hosts",
    [
        ["evil.example"], ["evil.example:{port}"], [], ["127.0.0.1:{port}", "evil.example"], [""],
        ["localhost.evil.example"], ["evillocalhost"], ["127.0.0.1.evil.example"], ["128.0.0.1"], ["localhost:8080:80"],
        ["localhost:http"], ["user@localhost"], ["localhost/"], ["[::2]"], ["::1"], ["2130706433"], ["0.0.0.0"],
    ],
)  # fmt: skip
def test_a_loopback_server_answers_to_no_other_name_and_says_what_to_do(server, hosts):
    """A page elsewhere, whose host name was made to resolve to 127.0.0.1, can read nothing."""
    status, headers, body = ask_as(server, *hosts)
    assert status == 421
    assert body.startswith(b"421 Misdirected Request\n")
    assert b"--allowed-host" in body
    assert body.count(b"\n") == 2
    assert (headers["content-type"], headers["x-content-type-options"]) == ("text/plain; charset=utf-8", "nosniff")


def test_the_refusal_names_the_host_and_no_more_of_it_than_is_printable(server):
    _, _, body = ask_as(server, "evil.example\x1b[31m<script>" + "a" * 5000)
    assert b"'evil.example?[31m<script>aaa" in body
    assert b"\x1b" not in body
    assert len(body) < 500


def test_allowed_hosts_are_answered_with_any_port_too():
    names = ["My-Host.example", "10.0.0.7", "fe80::1", "[2001:db8::2]"]
    with serving(allowed_hosts=names) as server:
        for host in (
            "my-host.example",
            "MY-HOST.example:8080",
            "10.0.0.7:1",
            "[fe80::1]:80",
            "[2001:db8::2]",
            "localhost:1",
        ):
            assert ask_as(server, host)[0] == 200, host
        for host in ("other.example", "a.my-host.example", "my-host.example.evil.example", "10.0.0.8"):
            assert ask_as(server, host)[0] == 421, host


@pytest.mark.parametrize("name", ["", " ", "*", "http://my-host", "my-host:8080", "my-host/", "a b", "[", "*.example"])
def test_an_allowed_host_is_a_name(name):
    with pytest.raises(KvaeError, match="--allowed-host is .*without a port"):
        Server(FILES, allowed_hosts=[name])


def test_a_server_for_others_answers_to_any_name():
    with serving("0.0.0.0") as server:
        assert (server.is_local, server.is_everywhere) == (False, True)
        assert server.url == f"http://127.0.0.1:{server.port}/"
        assert ask(server, b"GET /config.json HTTP/1.1\r\nHost: my-machine\r\nConnection: close\r\n\r\n")[0] == 200


def test_ipv6_addresses_are_in_brackets():
    try:
        with serving("::1") as server:
            assert server.url == f"http://[::1]:{server.port}/"
            host = f"Host: [::1]:{server.port}"
            assert ask(server, f"GET / HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n".encode())[0] == 200
        with serving("::") as server:
            assert server.url == f"http://[::1]:{server.port}/"
    except KvaeError:
        pytest.skip("this machine has no IPv6")


def test_without_further_threads_requests_are_answered_one_by_one(server, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert [ask_as(server, "localhost")[0] for _ in range(3)] == [200, 200, 200]


def test_visitors_who_leave_and_nonsense_requests_print_nothing(capfd):
    """Nothing on stderr: no log of requests, no traceback."""
    with serving() as server:
        for data in (
            b"GET /model/decoder.onnx HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % server.port,
            b"",
            b"\x16\x03\x01",
            b"\r\n\r\n",
        ):
            connection = socket.create_connection((server.host, server.port))
            # Close with a reset, not normally.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(data)
            connection.close()
        assert request(server, "GET", "/")[0] == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("host", "port"), [("256.1.1.1", 0), ("no.such.host.invalid", 0), ("127.0.0.1", 70_000), ("203.0.113.7", 0)]
)
def test_an_address_that_cannot_be_opened_is_an_error_in_one_line(host, port):
    with pytest.raises(KvaeError, match=f"^cannot serve at {host} port {port}: .*--port or --host.$"):
        Server(FILES, host, port)


@pytest.mark.parametrize("host", ["", " "])
def test_an_empty_address_does_not_mean_all_addresses(host):
    with pytest.raises(KvaeError, match=r"^--host is empty; .*127\.0\.0\.1\.$"):
        Server(FILES, host)


def test_a_port_in_use_is_an_error_in_one_line(server):
    with pytest.raises(KvaeError, match="[Aa]ddress already in use"):
        Server(FILES, "127.0.0.1", server.port)


def test_a_port_can_be_reused_at_once():
    with serving() as server:
        port = server.port
        request(server, "GET", "/")
    with serving(port=port) as again:
        assert request(again, "GET", "/")[0] == 200
