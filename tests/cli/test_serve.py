"""`kvae serve` as a process: it answers, says what it lacks, and ends without dropping a request."""

import io
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
from click.testing import CliRunner

from kvae.cli import serve
from kvae.cli.main import main


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 0)])
def test_a_request_that_is_being_answered_is_finished(bundle_path, number, code):
    command = [sys.executable, "-m", "kvae", "serve", str(bundle_path), "--port", "0", "--max-images", "20000"]
    # A shell that runs tests in the background lets its children ignore Ctrl-C.
    begun = (
        f"import signal, os; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv({sys.executable!r}, {command!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", begun], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().strip()
        found = []

        def ask():
            with urllib.request.urlopen(f"{address}/v1/sample?n=20000&format=npy") as answer:
                found.append(np.load(io.BytesIO(answer.read())).shape[0])

        asking = threading.Thread(target=ask)
        asking.start()
        while "kvae_batch_rows_count 1.0" not in (text := urllib.request.urlopen(f"{address}/metrics").read().decode()):
            assert "kvae_batch_rows_count" in text
        process.send_signal(number)
        asking.join()
        assert found == [20_000]
        assert process.wait(60) == code
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(f"{address}/health")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rate", "often"], "rate"), (["--host", " "], "--host"), (["--host", "no such host"], "cannot serve"),
        (["--port", "70000"], "--port"), (["--max-images", "0"], "--max-images"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(bundle_path, arguments, message):
    done = CliRunner().invoke(main, ["serve", str(bundle_path), *arguments])
    assert done.exit_code in (1, 2) and message in done.stderr.splitlines()[-1]


def test_a_port_that_is_taken(bundle_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = CliRunner().invoke(main, ["serve", str(bundle_path), "--port", str(other.getsockname()[1])])
    assert done.exit_code == 1 and "Try another --port" in done.stderr


def test_what_is_missing_is_named_with_the_command_that_brings_it(bundle_path, monkeypatch):
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else object())
    done = CliRunner().invoke(main, ["serve", str(bundle_path)])
    assert done.exit_code == 1 and "uvicorn" in done.stderr and "[serve]" in done.stderr
