"""The cluster that TF_CONFIG describes: read by TensorFlow's own resolver, and checked before training waits for it.

    TF_CONFIG='{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'

TensorFlow itself waits for ever, ignoring Ctrl-C, for a host that is misspelt or missing, and silently shares a port
with another program.
"""

import errno
import logging
import os
import socket
import time
from dataclasses import dataclass

import tensorflow as tf

from kvae.errors import ConfigError, KvaeError
from kvae.files.text import printable

logger = logging.getLogger(__name__)

VARIABLE = "TF_CONFIG"
WAIT_SECONDS = 600.0
"""A scheduler may start machines minutes apart."""
POLL_SECONDS = 0.5
EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The processes that train together, and which of them this one is."""

    addresses: tuple[str, ...]
    """host:port of each process, the chief's first."""
    index: int
    """This process's position among them."""

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run: the chief does, or the first worker if TF_CONFIG names no chief."""
        return self.index == 0


def from_environment() -> Cluster | None:
    """The cluster that the variable TF_CONFIG describes; None if it is not set, or names no cluster.

    Raises:
        ConfigError: it is not a cluster of a chief and workers that includes this process.
    """
    if not os.environ.get(VARIABLE, "").strip():
        return None
    try:
        resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
        jobs, kind, index = resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # what TensorFlow raises for bad JSON
        raise _error(f"does not describe a cluster ({printable(error, 160)})") from None
    if not jobs:
        return None
    _check_jobs(jobs)
    _check_task(kind, index, jobs)
    chiefs = jobs.get("chief", [])
    return Cluster((*chiefs, *jobs["worker"]), index + (len(chiefs) if kind == "worker" else 0))


def meet(cluster: Cluster, seconds: float = WAIT_SECONDS) -> None:
    """Wait until all processes of the cluster listen. TensorFlow, which opens the port afterwards, would wait for ever.

    Args:
        cluster: from `from_environment`.
        seconds: how long to wait for the last of them.

    Raises:
        ConfigError: another program uses this process's port.
        KvaeError: a process did not appear in time.
    """
    missing = [address for index, address in enumerate(cluster.addresses) if index != cluster.index]
    end = time.monotonic() + seconds
    told = False
    with _listener(cluster.addresses[cluster.index]):  # keep listening, so that later processes find this one
        while True:
            reasons = {address: _why_silent(address) for address in missing}
            missing = [address for address in missing if reasons[address]]
            if not missing:
                return
            if time.monotonic() > end:
                raise KvaeError(
                    f"no answer from {', '.join(missing)} after {seconds:.0f} s ({reasons[missing[0]]}). "
                    f"Start kvae train there too, or correct {VARIABLE}."
                )
            if not told:
                logger.info("waiting for %s", ", ".join(missing))
                told = True
            time.sleep(POLL_SECONDS)


def _listener(address: str) -> socket.socket:
    server = socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET, socket.SOCK_STREAM)
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # the last process to use it may have just ended
        if server.family == socket.AF_INET6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        server.bind(("", _port(address)))
        server.listen()
    except OSError as error:
        server.close()
        reason = "in use on this machine" if error.errno == errno.EADDRINUSE else f"cannot be opened ({error.strerror})"
        raise _error(f"gives this process the address {address}, and that port is {reason}") from None
    return server


def _why_silent(address: str) -> str | None:
    """Why a connection to an address fails; None if it succeeds."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        socket.create_connection((host, _port(address)), timeout=POLL_SECONDS * 4).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _check_jobs(jobs: dict[str, list[str]]) -> None:
    unknown = sorted(set(jobs) - {"chief", "worker"})
    if unknown:
        raise _error(f"may name a chief and workers, which train in step; got '{unknown[0]}' in its cluster")
    if not jobs.get("worker"):
        raise _error("names no cluster.worker")
    if len(jobs.get("chief", [])) > 1:
        raise _error(f"may name one chief; got {len(jobs['chief'])}")
    addresses = [address for job in jobs.values() for address in job]
    for address in addresses:
        _port(address)
        if addresses.count(address) > 1:
            raise _error(f"names the address {address} twice")


def _port(address: str) -> int:
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or len(port) > 5 or not 0 < int(port) < 2**16:
        raise _error(f"must have addresses of the form host:port; got '{address}'")
    return int(port)


def _check_task(kind: str | None, index: int | None, jobs: dict[str, list[str]]) -> None:
    if kind is None or index is None:
        raise _error("must say which process this is, by task.type and task.index")
    if kind not in jobs:
        raise _error(f"must have one of {', '.join(jobs)} as task.type, as its cluster does; got '{kind}'")
    if not 0 <= index < len(jobs[kind]):
        last = len(jobs[kind]) - 1
        raise _error(f"names the {kind}s 0 to {last}, and must have one of these as task.index; got {index}")


def _error(problem: str) -> ConfigError:
    return ConfigError(f"{VARIABLE} {problem}. Expected, for example, {EXAMPLE}.")
