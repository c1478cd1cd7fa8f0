"""The devices a model is trained on: one, all GPUs of this machine, or the machines that TF_CONFIG names.

TensorFlow's `tf.distribute` does the work: each replica holds a copy of the model and its share of every batch, and
all make the same update. See docs/scaling.md.
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
"""What TensorFlow raises when another worker is gone; or another error that says that collectives are aborted."""


def create(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy of this name; TensorFlow's default strategy if training uses a single device.

    Call it before TensorFlow has done anything. With several workers it waits for all of them.

    Args:
        name: "single"; "mirrored", over the GPUs of this machine; "multi_worker", over the machines of TF_CONFIG; or
            "auto" (the default): multi_worker if TF_CONFIG names more than one, else mirrored if TensorFlow sees
            several GPUs, else single.

    Raises:
        ConfigError: TF_CONFIG does not describe a cluster that includes this process; or there is only one device
            for a strategy that needs several.
        KvaeError: a worker did not appear in time.
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
        found = "it is not set, or names no cluster" if processes is None else "it names only one"
        raise ConfigError(
            f"strategy multi_worker reads the addresses of several workers from {cluster.VARIABLE}, but {found}. "
            f"Expected, for example, {cluster.EXAMPLE}."
        )
    cluster.meet(processes)
    with _losses_told():
        return tf.distribute.MultiWorkerMirroredStrategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes the run; if it is the only one, it does."""
    processes = cluster.from_environment() if is_multi_worker(strategy) else None
    return processes is None or processes.is_chief


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Whether other processes take part."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def check_batch_size(strategy: tf.distribute.Strategy, batch_size: int) -> None:
    """Raise ConfigError if a batch does not divide evenly among the replicas."""
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ConfigError(
            f"batch_size counts the images of all replicas together, and must be a multiple of their number, "
            f"{replicas}; got {batch_size}. Use {max(1, round(batch_size / replicas)) * replicas}."
        )


def distributed(strategy: tf.distribute.Strategy, stream: Callable[[Shares], tf.data.Dataset]) -> tf.data.Dataset:
    """The data for `fit` under a strategy: the shares of a stream's batches for this process's replicas.

    Args:
        strategy: from `create`.
        stream: makes the stream of the given shares of all batches, e.g. with `kvae.steps.batches.batches`. Each
            process makes its own; only gradients and metrics pass between them.
    """
    if strategy.num_replicas_in_sync == 1:
        return stream(WHOLE)

    def own(context: tf.distribute.InputContext) -> tf.data.Dataset:
        here = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * here
        return stream(Shares(context.num_replicas_in_sync, range(first, first + here)))

    return strategy.distribute_datasets_from_function(own)


def lost_workers_told(strategy: tf.distribute.Strategy) -> AbstractContextManager[None]:
    """A block in which TensorFlow's error when one of several workers is lost becomes a KvaeError."""
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
            f"another worker is gone or cannot be reached ({printable(cause or error.message, 160)}). "
            f"Start all workers again, with --resume and the run's folder."
        ) from None


def _mirrored(num_gpus: int) -> tf.distribute.Strategy:
    # TensorFlow would silently use the one CPU as its only replica.
    logical = tf.config.list_logical_devices("GPU") if num_gpus else tf.config.list_logical_devices("CPU")
    if len(logical) < 2:
        raise ConfigError(f"strategy mirrored needs several GPUs; TensorFlow sees {num_gpus} here. Use single or auto.")
    return tf.distribute.MirroredStrategy([device.name for device in logical])
