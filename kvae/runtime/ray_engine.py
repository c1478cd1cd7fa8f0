"""Make the shards of a job with Ray Data, on the cores of this machine or of the cluster at RAY_ADDRESS.

Ray is an optional extra, and is loaded when a job runs. Each worker of a pool opens the model once and makes one shard
at a time. If a worker dies, its shard is made again, up to `RETRIES` times.
"""

import importlib.util
import json
import logging
import os
import pickle
import socket
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from kvae.data.images import Bad, Images
from kvae.errors import KvaeError
from kvae.files.stderr import silenced
from kvae.files.text import printable
from kvae.machine import cores, extras
from kvae.runtime import bulk

RETRIES = 3
"""How often a shard is made again after its worker died; Ray by itself would never give up."""
PATIENCE = 10.0
"""Seconds within which the address of a cluster must accept a connection."""


class Made(NamedTuple):
    """A shard that was made."""

    images: int
    """Its images, those that were skipped included."""
    skipped: list[Bad]


def check_installed() -> None:
    """Raise KvaeError if Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise KvaeError(f"ray is not installed; --engine ray needs it. Install it with: {extras.command('ray')}")


def run(job: bulk.Job, missing: Sequence[int], images: Sequence[Images] | None = None) -> Generator[Made, None, None]:
    """Make shards of a job, in any order, and yield what each holds when it is done.

    Args:
        job: the job.
        missing: the shards to make, as `kvae.runtime.shards.opened` returns them.
        images: the images of every shard; None if the job samples images.

    Raises:
        KvaeError: Ray is not installed, its cluster does not answer, the workers of a shard died too often, or a shard
            failed; or more pictures are skipped than the job allows, or all. The parts that are done are kept.
    """
    check_installed()
    if not missing:
        return
    with _connected() as ray:
        gpus = job.device == "cuda"
        rows = [{"shard": shard, "images": pickle.dumps(images[shard] if images else None)} for shard in missing]
        workers = min(_slots(ray, gpus), len(rows))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Ray deprecates the last two without a replacement
            done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
                _Worker,
                fn_constructor_args=(job,),
                compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
                num_cpus=0 if gpus else 1,
                num_gpus=1 if gpus else 0,
                max_restarts=-1,
                max_task_retries=RETRIES,
            )
        # Closed while Ray still runs: Ray Data's iterator would start Ray again, to stop its workers.
        with _reported(ray), closing(iter(done.iter_rows())) as results:
            bad: list[Bad] = []
            for row in results:
                if row["error"]:
                    raise KvaeError(row["error"])
                shard = row["shard"]
                skipped = [Bad(*pair) for pair in json.loads(row["skipped"])]
                bad += skipped
                if len(bad) > job.max_bad or len(bad) == job.plan.count:
                    raise KvaeError(
                        f"{len(bad):,} of {job.plan.count:,} pictures cannot be used (--max-bad {job.max_bad:,}); the "
                        f"first: {bad[0].name}: {bad[0].reason}."
                    )
                yield Made(job.plan.stops[shard] - job.plan.start(shard), skipped)


@contextmanager
def _reported(ray: Any) -> Iterator[None]:
    """Turn Ray's errors into a KvaeError."""
    try:
        yield
    except (ray.exceptions.ActorDiedError, ray.exceptions.ActorUnavailableError, ray.exceptions.WorkerCrashedError):
        raise KvaeError(
            f"the worker of a shard died {RETRIES + 1} times, perhaps because it ran out of memory. The finished parts "
            f"are kept; free some memory or use fewer workers (fewer CPUs for Ray), and run again."
        ) from None
    except ray.exceptions.RayError as error:
        raise KvaeError(f"Ray failed: {printable(error)}.") from None


class _Worker:
    """Makes the shards that Ray assigns to it."""

    def __init__(self, job: bulk.Job) -> None:
        self._maker = bulk.Maker(job)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        # An error the user can fix is returned: if it were raised, Ray would retry it, and wrap it in its own.
        try:
            skipped = self._maker.make(row["shard"], pickle.loads(row["images"]))
        except KvaeError as error:
            return {"shard": row["shard"], "error": str(error), "skipped": "[]"}
        return {"shard": row["shard"], "error": "", "skipped": json.dumps(skipped)}


@contextmanager
def _connected() -> Iterator[Any]:
    """Ray, without its messages. If the calling program has started Ray, that is used, and keeps running."""
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
    """Join the cluster at RAY_ADDRESS, or one that runs on this machine; else start one for the job."""
    _check_answers(os.environ.get("RAY_ADDRESS", ""))
    # Otherwise Ray writes an error for every worker pool that Ray Data makes. Its logs are in /tmp/ray.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        with silenced():
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError) as error:
        address = os.environ.get("RAY_ADDRESS", "this machine")
        raise KvaeError(f"no Ray cluster answers at {address}: {printable(error, 150)}") from None


def _check_answers(address: str) -> None:
    """Raise KvaeError if nothing listens at an address; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():  # no address, or a word that Ray understands, such as "local"
        return
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise KvaeError(f"no Ray cluster answers at RAY_ADDRESS, {address}: {error}.") from None


def _slots(ray: Any, gpus: bool) -> int:
    """How many workers the cluster has room for; on this machine alone, as many as `cores.threads`."""
    name = "GPU" if gpus else "CPU"
    slots = int(ray.cluster_resources().get(name, 0))
    if not slots:
        raise KvaeError(f"the Ray cluster has no {name}; --engine ray needs one per worker.")
    nodes = [node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]]
    alone = nodes == [ray.util.get_node_ip_address()]
    return min(slots, cores.threads()) if alone and not gpus else slots
