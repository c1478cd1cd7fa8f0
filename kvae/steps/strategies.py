"""On which devices a model is trained: one, all GPUs of this machine, or the machines that TF_CONFIG names.

The work is that of TensorFlow's `tf.distribute`: each replica holds a copy of the model and its share of every batch,
and all make the same update. See docs/scaling.md.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import tensorflow as tf

from kvae.errors import ConfigError, KvaeError
from kvae.files.text import printable
from kvae.steps import cluster
from kvae.steps.batches import WHOLE, Shares

NAMES = ("auto", "single", "mirrored", "multi_worker")
LOST_WORKER = (
    tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
)  # fmt: skip
"""What TensorFlow raises where another worker is gone; or another error, which tells that collectives are aborted."""


def create(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy of this name; of TensorFlow's own for a single device where that is what it comes to.

    Call it before TensorFlow has done anything. With several workers it waits for all of them.

    Args:
        name: "single"; "mirrored", over the GPUs of this machine; "multi_worker", over the machines of TF_CONFIG; or
            "auto" (the default): multi_worker where TF_CONFIG names more than one, else mirrored where TensorFlow sees
            several GPUs, else single.

    Raises:
        ConfigError: TF_CONFIG does not describe a cluster in which this process has a place; or there is but one
            device for a strategy of many.
        KvaeError: a worker did not come.
    """
    if name not in NAMES:
        raise ConfigError(f"strategy must be one of {', '.join(NAMES)}; got '{name}'.")
    processes = cluster.from_environment() if name in ("auto", "multi_worker") else None
    gpus = tf.config.get_visible_devices("GPU")
    several_workers = processes is not None and len(processes.addresses) > 1
    if name == "single" or name == "auto" and not several_workers and len(gpus) < 2:
        return tf.distribute.get_strategy()
    if name == "mirrored" or name == "auto" and not several_workers:
        return _mirrored(len(gpus))
    if processes is None or not several_workers:
        found = "it is not set, or names no cluster" if processes is None else "it names one"
        raise ConfigError(
            f"strategy multi_worker takes the addresses of several workers from {cluster.VARIABLE}, and {found}. "
            f"Expected, for example, {cluster.EXAMPLE}."
        )
    cluster.meet(processes)
    with _losses_told():
        return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes the run; the only one is."""
    processes = cluster.from_environment() if is_multi_worker(strategy) else None
    return processes is None or processes.is_chief


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes take part."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def check_batch_size(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Raise ConfigError where a batch cannot be shared out evenly."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ConfigError(
            f"batch_size is that of all replicas together, and must be a multiple of their number, {replicas}; "
            f"got {batch_size}. Take {max(1, round(batch_size / replicas)) * replicas}."
        )


def distributed(strategy: tf.distribute.Strategy, stream: Callable[[Shares], tf.data.Dataset]) -> tf.data.Dataset:
    """What `fit` takes under a strategy: the shares of this process's replicas in the batches of a stream.

    Args:
        strategy: from `create`.
        stream: makes the stream of some shares of all batches, such as those of `kvae.steps.batches.batches`. Each
            process makes its own, and nothing but gradients and metrics goes from one to another.
    """
    if strategy.num_replicas_in_sync == 1:
        return stream(WHOLE)

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return stream(Shares(context.num_replicas_in_sync, range(first, first + here)))

    return strategy.distribute_datasets_from_function(own)


def lost_workers_told(strategy: tf.distribute.Strategy) -> AbstractContextManager[None]:
    """A block in which, where a strategy has several workers, TensorFlow's error at the loss of one is a KvaeError."""
    return _losses_told() if is_multi_worker(strategy) else nullcontext()


@contextmanager
def _losses_told() -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        cause = next((line for line in error.message.splitlines() if "aborted by" in line), None)
        if cause is None and not isinstance(error, LOST_WORKER):
            raise
        raise KvaeError(
            f"another worker is gone, or cannot be reached ({printable(cause or error.message, 160)}). "
            f"Start all of them again, with --resume and the run's folder."
        ) from None


def _mirrored(num_gpus: int) -> tf.distribute.Strategy:
    # TensorFlow would take the one CPU for its only replica, in silence.
    logical = tf.config.list_logical_devices("GPU") if num_gpus else tf.config.list_logical_devices("CPU")
    if len(logical) < 2:
        raise ConfigError(
            f"strategy mirrored takes several GPUs, of which TensorFlow sees {num_gpus} here. Take single or auto."
        )
    return tf.distribute.MirroredStrategy([device.name for device in logical])
