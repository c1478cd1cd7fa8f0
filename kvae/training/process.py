"""Sets up the training process: its device, and the threads that suit the network."""

import contextlib

import tensorflow as tf

from kvae.config import TrainConfig
from kvae.errors import KvaeError
from kvae.machine import cores
from kvae.machine.pool import can_start
from kvae.model import architectures
from kvae.steps import threads


def set_up_process(config: TrainConfig, device: str = "auto") -> None:
    """Choose the device, and the threads that suit the network, for a process that only trains this network.

    Call it before TensorFlow has done anything: after that its threads cannot change, and training is a little slower.

    Args:
        config: the settings.
        device: "cpu", "cuda", or "auto" (the default): a GPU if TensorFlow sees one. "cuda" fails without one.

    Raises:
        KvaeError: CUDA was asked for and does not work; the CPU was asked for and TensorFlow already uses a GPU; or
            this process may not start enough threads.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if device == "cuda" and not gpus:
        raise KvaeError(
            "device cuda: TensorFlow sees no GPU. Install its CUDA libraries (pip install 'tensorflow[and-cuda]'), "
            "check the driver, or use --device cpu."
        )
    if device == "cpu" and gpus:
        try:
            tf.config.set_visible_devices([], "GPU")
        except RuntimeError:
            raise KvaeError("device cpu: TensorFlow is already using the GPU in this process.") from None
    needed = 2 * cores.threads() + 2  # TensorFlow has two pools of threads, and ends the process if one does not start
    if not can_start(needed):
        raise KvaeError(
            f"training starts at least {needed} threads, and this process may not (ulimit -u, or a container's limit). "
            f"Raise the limit, or use fewer with --threads."
        )
    parts = threads.useful_parts(uses_xla(config))
    with contextlib.suppress(RuntimeError):  # TensorFlow is already in use
        if parts > 1:
            threads.use_threads_for_parts(parts)
        else:
            threads.limit_threads()


def uses_xla(config: TrainConfig) -> bool:
    """Whether XLA compiles the training step; with `jit` "auto", whether that is faster and allowed."""
    if config.deterministic:  # Keras then does not allow XLA
        return False
    if config.jit == "auto":
        return threads.on_gpu() or architectures.get(config.model.architecture).xla_on_cpu
    return config.jit == "on"
