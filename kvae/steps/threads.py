"""How a step divides its work among the cores of a CPU."""

import os

import tensorflow as tf

from kvae.machine import cores


def on_gpu() -> bool:
    """Whether TensorFlow computes on a GPU."""
    return bool(tf.config.get_visible_devices("GPU"))


def useful_parts(xla: bool) -> int:
    """The best number of parts to split a batch into: one per core, or 1 if XLA or a GPU runs the step.

    Without XLA, operations on parts that run in parallel, one thread each, are faster than one operation after another
    on all threads, which wait for each other at the end of each.
    """
    return 1 if xla or on_gpu() else cores.threads()


def num_parts(xla: bool) -> int:
    """`useful_parts` if this process gives each operation one thread (see `use_threads_for_parts`); else 1."""
    return useful_parts(xla) if tf.config.threading.get_intra_op_parallelism_threads() == 1 else 1


def limit_threads() -> None:
    """Keep TensorFlow to `cores.threads` if that is fewer than it would use; RuntimeError as below.

    TensorFlow knows the process's affinity, but neither the quota of a container nor `KVAE_THREADS`.
    """
    if cores.threads() < min(os.cpu_count() or 1, cores.MAX_BY_DEFAULT):
        tf.config.threading.set_intra_op_parallelism_threads(cores.threads())
        tf.config.threading.set_inter_op_parallelism_threads(cores.threads())


def use_threads_for_parts(count: int) -> None:
    """Give each operation one thread, and run `count` in parallel; RuntimeError if TensorFlow is already in use."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(count)
