"""The cluster of TF_CONFIG."""

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ports import free_ports

from kvae.errors import ConfigError, KvaeError
from kvae.steps import cluster

WORKERS = ["a:1000", "b:1000"]


def described(values: Any, monkeypatch: pytest.MonkeyPatch) -> cluster.Cluster | None:
    monkeypatch.setenv("TF_CONFIG", values if isinstance(values, str) else json.dumps(values))
    return cluster.from_environment()


def test_no_cluster_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without TF_CONFIG, and with one that names no cluster, there is none."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert cluster.from_environment() is None
    for text in ("", " ", "{}", '{"environment": "cloud"}', '{"cluster": {}}'):
        assert described(text, monkeypatch) is None


def test_the_first_worker_is_the_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no chief is named, worker 0 is the chief."""
    for index in (0, 1, "1"):  # TensorFlow accepts a number in quotes too
        found = described({"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": index}}, monkeypatch)
        assert found == cluster.Cluster(("a:1000", "b:1000"), int(index))
        assert found.is_chief == (int(index) == 0)


def test_a_chief_comes_before_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow counts the chief as process 0, and worker 0 as process 1."""
    jobs = {"worker": WORKERS, "chief": ["[::1]:9"]}
    found = [
        described({"cluster": jobs, "task": {"type": kind, "index": index}}, monkeypatch)
        for kind, index in (("chief", 0), ("worker", 0), ("worker", 1))
    ]
    assert found == [cluster.Cluster(("[::1]:9", "a:1000", "b:1000"), index) for index in range(3)]
    assert [one.is_chief for one in found if one] == [True, False, False]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ("{'cluster'", "does not describe a cluster"),
        ({"cluster": ["a:1"]}, "does not describe a cluster"),
        ({"cluster": {"worker": []}}, "no cluster.worker"),
        ({"cluster": {"chief": ["a:1"]}}, "no cluster.worker"),
        ({"cluster": {"worker": "a:1"}}, "does not describe a cluster"),
        ({"cluster": {"worker": [1]}}, "does not describe a cluster"),
        ({"cluster": {"worker": ["a"]}}, "form host:port; got 'a'"),
        ({"cluster": {"worker": ["a:0"]}}, "form host:port"),
        ({"cluster": {"worker": ["a:65536"]}}, "form host:port"),
        ({"cluster": {"worker": [":80"]}}, "form host:port"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "a:1 twice"),
        ({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}, "'ps'"),
        ({"cluster": {"worker": ["a:1"], "chief": ["b:1", "c:1"]}}, "one chief; got 2"),
        ({"cluster": {"worker": WORKERS}}, "task.type and task.index"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "worker"}}, "task.type and task.index"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "chief", "index": 0}}, 'task.type, as its cluster does'),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": 2}}, "workers 0 to 1"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": "worker", "index": -1}}, "task.index; got -1"),
        ({"cluster": {"worker": WORKERS}, "task": {"type": ["worker"], "index": 0}}, "task.type"),
    ],
)  # fmt: skip
def test_a_bad_cluster_is_an_error_in_one_line(values: Any, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each error says what is wrong, and shows a correct example."""
    with pytest.raises(ConfigError) as error:
        described(values, monkeypatch)
    message = str(error.value)
    assert message.startswith("TF_CONFIG ") and problem in message and cluster.EXAMPLE in message
    assert "\n" not in message


def test_the_example_is_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example in the errors can be used as it is."""
    assert described(cluster.EXAMPLE, monkeypatch) == cluster.Cluster(("host1:2222", "host2:2222"), 0)


def test_a_port_in_use_is_refused() -> None:
    """This process's own port must be free."""
    with socket.socket() as server:
        server.bind(("localhost", 0))
        server.listen()
        address = f"localhost:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"{address}.*in use"):
            cluster.meet(cluster.Cluster((address, "localhost:1"), 0), seconds=0)


def test_the_error_names_processes_that_do_not_appear(monkeypatch: pytest.MonkeyPatch) -> None:
    """One process listens, one does not, and one has an unknown host name."""
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.01)
    with socket.socket() as server:
        server.bind(("localhost", 0))
        server.listen()
        own, silent = free_ports(2)
        addresses = (f"localhost:{own}", f"localhost:{server.getsockname()[1]}", f"localhost:{silent}", "no.invalid:9")
        with pytest.raises(KvaeError, match=f"no answer from localhost:{silent}, no.invalid:9 after 0 s .*refused"):
            cluster.meet(cluster.Cluster(addresses, 0), seconds=0.1)


def test_processes_meet_in_any_order(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The first one waits and says for which; its port is free afterwards."""
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0.01)
    addresses = tuple(f"localhost:{port}" for port in free_ports(2))
    with caplog.at_level("INFO"), ThreadPoolExecutor() as pool:
        first = pool.submit(cluster.meet, cluster.Cluster(addresses, 0), 30)
        while not caplog.messages:
            time.sleep(0.01)
        with socket.socket() as second:  # TensorFlow's server, for example
            second.bind(("localhost", int(addresses[1].split(":")[1])))
            second.listen()
            first.result(30)
    assert caplog.messages == [f"waiting for {addresses[1]}"]
    cluster.meet(cluster.Cluster(addresses[:1], 0), seconds=0)
