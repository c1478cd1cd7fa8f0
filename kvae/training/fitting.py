"""Fits a built VAE to a data set: streams the batches, runs `fit`."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kvae.config import TrainConfig
from kvae.data.datasets import Dataset
from kvae.data.held_out_split import held_out, held_out_labels
from kvae.model import architectures
from kvae.model.vae import VAE
from kvae.steps import batches, strategies

VALIDATION_BATCH_SIZE = 1000


def fit(
    vae: VAE,
    config: TrainConfig,
    data: Dataset,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    epoch: int = 0,
    step: int = 0,
) -> dict[str, list[float]]:
    """Fit on the training split, and evaluate the validation split after each epoch; the test split is not used.

    Args:
        vae: from `kvae.training.building.build`.
        config: the settings.
        data: the data set.
        callbacks: Keras callbacks.
        epoch: number of epochs already finished, if training resumes; see `kvae.training.checkpoints`.
        step: steps already made in the next epoch.

    Returns:
        The history of the epochs made in this call: `loss`, `elbo`, `distortion`, `rate` and the same with `val_`,
        one number per epoch.
    """
    num_train = len(data.train.images)
    per_epoch = num_train // config.batch_size
    # TensorFlow does not let replicas exchange gradients inside a loop, so each call makes one step.
    per_call = 1 if replicated(vae) else steps_per_call(config, num_train)
    num_validation = len(data.validation.images)
    validation = _validation_stream(vae, config, data)
    history: dict[str, list[float]] = {}
    # Keras cannot start in the middle of an epoch, so the rest of an epoch is run as an epoch of its own.
    ends = [epoch + 1, config.epochs] if step else [config.epochs]
    for end in ends:
        if epoch == end:  # the rest of that epoch was all that was left
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
    labels, shift = data.train.labels if config.model.conditional else None, config.shift
    if not replicated(vae):
        return batches.steps(images, config.batch_size, per_call, config.seed, bits, start, labels, shift)
    return strategies.distributed(
        vae.distribute_strategy,
        lambda shares: batches.batches(images, config.batch_size, config.seed, bits, start, shares, labels, shift),
    )


def _validation_stream(vae: VAE, config: TrainConfig, data: Dataset) -> tf.data.Dataset:
    images = held_out(data, "validation", config.is_of_bits)
    labels = held_out_labels(data, "validation") if config.model.conditional else None
    return strategies.distributed(
        vae.distribute_strategy,
        lambda shares: batches.batches(images, VALIDATION_BATCH_SIZE, shares=shares, labels=labels),
    )


def replicated(vae: VAE) -> bool:
    """Whether several replicas of the model are trained."""
    return bool(vae.distribute_strategy.num_replicas_in_sync > 1)


def batch_of(config: TrainConfig, data: Dataset, step: int) -> dict[str, Any]:
    """The batch of a training step: its epoch, and the indices (and names, if they have any) of its images."""
    num_train = len(data.train.images)
    epoch, step_in_epoch = divmod(step, num_train // config.batch_size)
    chosen = batches.chosen_images(num_train, config.batch_size, config.seed, step).tolist()
    names = {} if data.train.names is None else {"names": [data.train.names[index] for index in chosen]}
    return {"epoch": epoch + 1, "step_in_epoch": step_in_epoch, "images": chosen, **names}


def steps_per_call(config: TrainConfig, num_train: int) -> int:
    """Optimiser steps that `fit` makes between two returns to Python, and so between two calls of a callback.

    An epoch is divided evenly, so that no call is nearly empty; the last one may have fewer steps.
    """
    per_epoch = num_train // config.batch_size
    calls = math.ceil(per_epoch / architectures.get(config.model.architecture).steps_per_call)
    return math.ceil(per_epoch / calls)
