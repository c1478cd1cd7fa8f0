"""The shards of a job on Ray Data: on the cores of this machine, or of the cluster that RAY_ADDRESS names.

Ray is an optional extra, and is loaded when a job runs. Each worker of a pool opens the model once, and makes a shard
at a time; a shard whose worker died is made again, `RETRIES` times.
"""

import importlib.util
import logging
import os
import pickle
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kvae.data.images import Images
from kvae.errors import KvaeError
from kvae.files.stderr import silenced
from kvae.files.text import printable
from kvae.runtime import bulk

RETRIES = 3
"""Times that a shard is made again whose worker died; Ray by itself would never give up."""
PATIENCE = 10.0
"""Seconds in which a cluster's address must take a connection."""


def check_installed() -> None:
    """Raise KvaeError where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise KvaeError(
            "ray is not installed; --engine ray needs it. Install it: pip install 'kvae-onnx[ray]' "
            "(in a clone: pip install '.[ray]')."
        )


def run(job: bulk.Job, missing: Sequence[int], images: Sequence[Images] | None = None) -> Iterator[int]:
    """Make shards of a job, and yield the number of images in each as it is done, in any order.

    Args:
        job: the work.
        missing: the shards to make, as `kvae.runtime.shards.opened` gives them.
        images: those of every shard; None where they are drawn.

    Raises:
        KvaeError: Ray is not installed or its cluster does not answer, a shard's worker died again and again, or the
            first error of a shard. The parts that are done stay.
    """
    check_installed()
    if not missing:
        return
    with _connected() as ray:
        gpus = job.device == "cuda"
        rows = [{"shard": shard, "images": pickle.dumps(images[shard] if images else None)} for shard in missing]
        workers = min(_slots(ray, gpus), len(rows))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Ray deprecates the last two, and has no others
            done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                _Worker,
                fn_constructor_args=(job,),
                compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
                num_cpus=0 if gpus else 1,
                num_gpus=1 if gpus else 0,
                max_restarts=-1,
                max_task_retries=RETRIES,
            )
        with _reported(ray):
            for row in done.iter_rows():
                if row["error"]:
                    raise KvaeError(row["error"])
                shard = row["shard"]
                yield job.plan.stops[shard] - job.plan.start(shard)


@contextmanager
def _reported(ray: Any) -> Iterator[None]:
    """What Ray raises becomes a KvaeError."""
    try:
        yield
    except (ray.exceptions.ActorDiedError, ray.exceptions.ActorUnavailableError, ray.exceptions.WorkerCrashedError):
        raise KvaeError(
            f"a shard's worker died {RETRIES + 1} times, for want of memory perhaps. The parts that are done stay; "
            f"make room or have fewer workers (fewer CPUs for Ray), and run again."
        ) from None
    except ray.exceptions.RayError as error:
        raise KvaeError(f"Ray could not go on: {printable(error)}.") from None


class _Worker:
    """Makes the shards that Ray hands to it."""

    def __init__(self, job: bulk.Job) -> None:
        self._maker = bulk.Maker(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        # What the user can put right is a result: as an exception Ray would try it again, and wrap it in its own.
        try:
            self._maker.make(row["shard"], pickle.loads(row["images"]))
        except KvaeError as error:
            return {"shard": row["shard"], "error": str(error)}
        return {"shard": row["shard"], "error": ""}


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, quiet. One that the calling program has started is used as it is, and goes on."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    import ray
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    started = not ray.is_initialized()
    try:
        if started:
            _start(ray)
        yield ray
    finally:
        if started:
            ray.shutdown()


def _start(ray: Any) -> None:
    """Join the cluster that RAY_ADDRESS names, or one that was started on this machine; else start one for the job."""
    _check_answers(os.environ.get("RAY_ADDRESS", ""))
    # Else it writes an error for every pool of workers of Ray Data's own making. What Ray has to say is in /tmp/ray.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        with silenced():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        address = os.environ.get("RAY_ADDRESS", "this machine")
        raise KvaeError(f"no Ray cluster answers at {address}: {printable(error, 150)}") from None


def _check_answers(address: str) -> None:
    """Raise KvaeError where nothing listens at an address; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # none, or a word that Ray knows, such as "local"
        return
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise KvaeError(f"no Ray cluster answers at {address}, which RAY_ADDRESS names: {error}.") from None


def _slots(ray: Any, gpus: bool) -> int:
    """How many workers the cluster has room for."""
    name = "GPU" if gpus else "CPU"
    slots = int(ray.cluster_resources().get(name, 0))
    if not slots:
        raise KvaeError(f"Ray's cluster has no {name}; --engine ray needs one a worker.")
    return slots
