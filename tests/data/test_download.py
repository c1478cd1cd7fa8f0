"""Downloads from a server on loopback, and from a Debian package with fake apt-get and dpkg-deb."""

import gzip
import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kvae.data import download
from kvae.errors import DataError

CONTENT = b"an idx file"
HASHES = {"images": hashlib.sha256(CONTENT).hexdigest()}
NO_SERVER = "http://127.0.0.1:9/"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """A folder, and the URL at which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/"
        httpd.shutdown()
        thread.join()


def test_a_file_is_fetched_from_the_first_server_that_has_it(server, tmp_path):
    folder, url = server
    (folder / "images.gz").write_bytes(gzip.compress(CONTENT))
    download.fetch("small", HASHES, (NO_SERVER, url), None, tmp_path / "cache")
    assert gzip.decompress((tmp_path / "cache" / "images.gz").read_bytes()) == CONTENT
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["images.gz"]


def test_a_file_from_one_server_is_not_requested_from_the_next(server, tmp_path):
    """Each has one of the two files."""
    folder, url = server
    for place, stem in (("a", "images"), ("b", "labels")):
        (folder / place).mkdir()
        (folder / place / f"{stem}.gz").write_bytes(gzip.compress(CONTENT))
    hashes = dict.fromkeys(("images", "labels"), HASHES["images"])
    download.fetch("small", hashes, (f"{url}a/", f"{url}b/"), None, tmp_path / "cache")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == ["images.gz", "labels.gz"]


@pytest.mark.parametrize(
    "served", [None, b"<html>log in first</html>", gzip.compress(CONTENT)[:-9], gzip.compress(b"another file")]
)
def test_a_file_that_is_not_the_pinned_one_is_not_kept(server, tmp_path, served):
    folder, url = server
    if served is not None:
        (folder / "images.gz").write_bytes(served)
    with pytest.raises(DataError, match="could not be downloaded"):
        download.fetch("small", HASHES, (url,), None, tmp_path / "cache")
    assert not (tmp_path / "cache" / "images.gz").exists()


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError) as error:
        download.fetch("fashion_mnist", HASHES, (NO_SERVER,), "dataset-fashion-mnist", tmp_path / "cache")
    for advice in ("Connection refused", "apt-get install dataset-fashion-mnist", "--data-dir", "fashion_mnist_mini"):
        assert advice in str(error.value)
    assert "\n" not in str(error.value)


def write_tool(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_debian_package_is_unpacked_not_installed(tmp_path, monkeypatch):
    """apt-get puts the package into the current folder and logs its calls; dpkg-deb unpacks it into a given folder."""
    tools, log = tmp_path / "tools", tmp_path / "log"
    tools.mkdir()
    (tmp_path / "images.gz").write_bytes(gzip.compress(CONTENT))
    write_tool(tools, "apt-get", f'echo "$@" >> {log}; case "$*" in *download*) echo deb > package.deb;; esac')
    write_tool(tools, "dpkg-deb", f'mkdir -p "$3/usr/share/x" && cp {tmp_path}/images.gz "$3/usr/share/x/"')
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    download.fetch("small", HASHES, (NO_SERVER,), "dataset-small", tmp_path / "cache")
    assert gzip.decompress((tmp_path / "cache" / "images.gz").read_bytes()) == CONTENT
    assert [line.split()[-1] for line in log.read_text().splitlines()] == ["update", "dataset-small"]


def test_the_error_quotes_a_failing_apt(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    write_tool(tools, "apt-get", "echo 'E: no such package' >&2; exit 100")
    write_tool(tools, "dpkg-deb", "exit 1")
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(DataError, match="Debian's archive: E: no such package"):
        download.fetch("small", HASHES, (), "dataset-small", tmp_path / "cache")
