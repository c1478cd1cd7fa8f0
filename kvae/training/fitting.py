"""From a config and a data set to a fitted VAE: builds the model, streams the batches, runs `fit`."""

import contextlib
import math
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.config import TrainConfig
from kvae.data.datasets import Dataset
from kvae.data.held_out import held_out
from kvae.errors import ConfigError, KvaeError
from kvae.model import networks, priors
from kvae.model.vae import VAE
from kvae.steps import batches, optimizers, replicas, strategies

# By benchmarks/training.py: one XLA loop over many steps makes the dense networks faster, but of convolutions XLA knows
# only slow ones on a CPU.
XLA_ON_CPU = {"conv": False, "mlp": True, "gated_mlp": True}
STEPS_PER_CALL = {"conv": 10, "mlp": 100, "gated_mlp": 100}
"""Optimiser steps between two returns to Python, where progress is shown and Ctrl-C heard: a fraction of a second."""
VALIDATION_BATCH_SIZE = 1000


def set_up_process(config: TrainConfig, device: str = "auto") -> None:
    """Choose the device, and the threads that suit the network, for a process that is to train it and nothing else.

    Call it before TensorFlow has done anything: later, its threads stay as they are, and training is a little slower.

    Args:
        config: the settings.
        device: "cpu", "cuda", or "auto" (the default) for a GPU where TensorFlow sees one. "cuda" is strict.

    Raises:
        KvaeError: CUDA asked for and not to be had; or a GPU to be left aside that TensorFlow is at work on already.
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
            raise KvaeError("device cpu: TensorFlow is at work on the GPU in this process already.") from None
    if _parts(config) > 1:
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(_parts(config))


def uses_xla(config: TrainConfig) -> bool:
    """Whether XLA compiles the training step; with `jit` "auto", where that is faster, and may be."""
    if config.deterministic:  # Keras has no XLA then
        return False
    if config.jit == "auto":
        return _on_gpu() or XLA_ON_CPU[config.model.architecture]
    return config.jit == "on"


def _on_gpu() -> bool:
    return bool(tf.config.get_visible_devices("GPU"))


def _parts(config: TrainConfig) -> int:
    return 1 if uses_xla(config) or _on_gpu() else os.cpu_count() or 1


def build(
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    num_train: int,
    strategy: tf.distribute.Strategy | None = None,
) -> VAE:
    """A compiled VAE with fresh weights, which depend on the seed alone.

    A `deterministic` config makes all that TensorFlow does in this process from now on deterministic.

    Args:
        config: the settings.
        image_shape: `(height, width, channels)`.
        num_train: number of training images, for the schedules.
        strategy: from `kvae.steps.strategies.create`, on whose devices the model is trained; by default on one.

    Raises:
        ConfigError: a batch larger than the training split, or one that the strategy cannot share out evenly; or a
            warm-up of the learning rate that does not end.
    """
    check_size(config, num_train)
    strategy = strategy or tf.distribute.get_strategy()
    strategies.check_batch_size(strategy, config.batch_size)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.seed)
    with strategies.lost_workers_told(strategy), strategy.scope():
        return _compiled(config, image_shape, num_train // config.batch_size)


def _compiled(config: TrainConfig, image_shape: tuple[int, int, int], steps_per_epoch: int) -> VAE:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(config.precision)
    try:
        encoder = networks.build_encoder(config.model, image_shape)
        decoder = networks.build_decoder(config.model, image_shape)
    finally:
        keras.config.set_dtype_policy(policy)
    vae = VAE(
        encoder,
        decoder,
        priors.standard_normal(config.model.latent_dim),
        beta=config.beta,
        entropy_weight=config.entropy_weight,
        kl_warmup_steps=config.kl_warmup_epochs * steps_per_epoch,
        seed=config.seed,
    )
    vae.build((None, *image_shape))
    schedule = _learning_rate(config, config.epochs * steps_per_epoch)
    optimizer = optimizers.FusedAdam(schedule, beta_2=config.adam_beta2)
    optimizer.build(vae.trainable_variables)
    distributed = replicas.count() > 1
    vae.compile(optimizer=optimizer, jit_compile=uses_xla(config) and not distributed)
    vae.jit_replicas = uses_xla(config) and distributed
    # Without XLA, operations on parts of a batch that run side by side, one thread each, are faster than one after the
    # other on all threads, which wait for each other at the end of each.
    if tf.config.threading.get_intra_op_parallelism_threads() == 1:
        vae.num_parts = _parts(config)
    return vae


def check_size(config: TrainConfig, num_train: int) -> None:
    """Raise ConfigError where a batch is larger than the training split, or the warm-up as long as the run."""
    if config.batch_size > num_train:
        raise ConfigError(f"batch_size must be at most {num_train}, the number of training images of {config.dataset}.")
    num_steps = config.epochs * (num_train // config.batch_size)
    if config.lr_warmup_steps >= num_steps:
        raise ConfigError(
            f"lr_warmup_steps must be less than {num_steps}, the optimiser steps of the run; "
            f"got {config.lr_warmup_steps}."
        )


def _learning_rate(config: TrainConfig, num_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    if not config.lr_warmup_steps:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, num_steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, num_steps - config.lr_warmup_steps, warmup_target=config.learning_rate, warmup_steps=config.lr_warmup_steps
    )


def fit(
    vae: VAE,
    config: TrainConfig,
    data: Dataset,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    epoch: int = 0,
    step: int = 0,
) -> dict[str, list[float]]:
    """Fit on the training split; the validation split is evaluated after each epoch, the test split is not touched.

    Args:
        vae: from `build`.
        config: the settings.
        data: the data set.
        callbacks: Keras callbacks.
        epoch: whole epochs that are done already, where a training goes on; see `kvae.training.checkpoints`.
        step: steps that are done in the epoch after them.

    Returns:
        The history of the epochs that were made: `loss`, `elbo`, `distortion`, `rate` and the same with `val_`, one
        number per epoch.
    """
    num_train = len(data.train.images)
    per_epoch = num_train // config.batch_size
    # TensorFlow lets replicas exchange no gradients within a loop of theirs: a call is a step.
    per_call = 1 if replicated(vae) else steps_per_call(config, num_train)
    num_validation = len(data.validation.images)
    validation = _validation_stream(vae, config, data)
    history: dict[str, list[float]] = {}
    # Keras begins an epoch at its begin: what is left of one is an epoch of its own.
    ends = [epoch + 1, config.epochs] if step else [config.epochs]
    for end in ends:
        if epoch == end:  # the last epoch was what was left
            break
        with strategies.lost_workers_told(vae.distribute_strategy):
            made = vae.fit(
                _training_stream(vae, config, data, per_call, epoch * per_epoch + step),
                validation_data=validation,
                validation_steps=math.ceil(num_validation / VALIDATION_BATCH_SIZE) if replicated(vae) else None,
                initial_epoch=epoch,
                epochs=end,
                steps_per_epoch=math.ceil((per_epoch - step) / per_call),
                shuffle=False,  # done in `batches`
                verbose=0,
                callbacks=list(callbacks),
            )
        for name, values in made.history.items():
            history.setdefault(name, []).extend(values)
        if vae.stop_training:
            break
        epoch, step = end, 0
    return history


def _training_stream(vae: VAE, config: TrainConfig, data: Dataset, per_call: int, start: int) -> tf.data.Dataset:
    images, bits = data.train.images, config.is_of_bits
    if not replicated(vae):
        return batches.steps(images, config.batch_size, per_call, config.seed, bits, start)
    return strategies.distributed(
        vae.distribute_strategy,
        lambda shares: batches.batches(images, config.batch_size, config.seed, bits, start, shares),
    )


def _validation_stream(vae: VAE, config: TrainConfig, data: Dataset) -> tf.data.Dataset:
    images = held_out(data, "validation", config.is_of_bits)
    return strategies.distributed(
        vae.distribute_strategy, lambda shares: batches.batches(images, VALIDATION_BATCH_SIZE, shares=shares)
    )


def replicated(vae: VAE) -> bool:
    """Whether several replicas of the model are trained."""
    return bool(vae.distribute_strategy.num_replicas_in_sync > 1)


def batch_of(config: TrainConfig, data: Dataset, step: int) -> dict[str, Any]:
    """What a training step was given: its epoch, and indices (and names, where they have any) of training images."""
    num_train = len(data.train.images)
    epoch, step_in_epoch = divmod(step, num_train // config.batch_size)
    chosen = batches.chosen_images(num_train, config.batch_size, config.seed, step).tolist()
    names = {} if data.train.names is None else {"names": [data.train.names[index] for index in chosen]}
    return {"epoch": epoch + 1, "step_in_epoch": step_in_epoch, "images": chosen, **names}


def steps_per_call(config: TrainConfig, num_train: int) -> int:
    """Optimiser steps that `fit` makes between two returns to Python, and so between two calls of a callback.

    An epoch is shared out evenly, so that no call is nearly empty; the last one may have fewer.
    """
    per_epoch = num_train // config.batch_size
    calls = math.ceil(per_epoch / STEPS_PER_CALL[config.model.architecture])
    return math.ceil(per_epoch / calls)


def effective_beta(vae: VAE, images: NDArray[np.uint8]) -> float:
    """What the regulariser weighs in the loss against a nat of distortion, once a warm-up is over.

    It is read off the loss, not off a setting: what `VAE.loss_of`, which training minimises, leaves above the
    distortion, divided by the regulariser, both of them sums over pixels and dimensions.

    Args:
        vae: the model.
        images: uint8 `(n, height, width, channels)`.

    Returns:
        The weight; NaN where the regulariser is 0.
    """
    terms = vae.terms(tf.cast(images, tf.float32) / 255.0, tf.constant([0, 0], tf.int32))
    excess = float(vae.loss_of(terms)) - float(tf.reduce_mean(terms.distortion))
    regularizer = float(tf.reduce_mean(terms.regularizer))
    return excess / regularizer if regularizer else float("nan")
