"""Builds a compiled VAE with fresh weights from a config."""

from dataclasses import replace

import keras
import tensorflow as tf

from kvae.config import TrainConfig
from kvae.errors import ConfigError
from kvae.files import pictures
from kvae.model import networks, objectives, priors
from kvae.model.objectives.elbo import check_free_bits
from kvae.model.vae import VAE
from kvae.steps import backend, optimizers, schedules, strategies
from kvae.training.process import uses_xla


def build(
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    num_train: int,
    strategy: tf.distribute.Strategy | None = None,
    num_labels: int | None = None,
) -> VAE:
    """A compiled VAE with fresh weights, which depend on the seed alone.

    A `deterministic` config makes everything that TensorFlow does in this process from now on deterministic.

    Args:
        config: the settings.
        image_shape: `(height, width, channels)`.
        num_train: number of training images, from which the schedules' lengths follow.
        strategy: from `kvae.steps.strategies.create`; the model is trained on its devices. Default: one device.
        num_labels: number of classes, for a config that is `conditional`; see `kvae.data.classes.num_labels`.

    Raises:
        ConfigError: the config is conditional, and there are no classes, or the other way round; the images cannot be
            moved as far as `shift` says; the batch is larger than the training split or does not divide evenly among
            the strategy's replicas, the learning rate's warm-up is as long as the run, or free bits are asked for under
            a strategy with several replicas.
    """
    check_size(config, num_train)
    check_shift(config, image_shape)
    if config.model.likelihood is None:
        raise ConfigError(
            "likelihood is not chosen yet: pass the config that kvae.data.settle(config, data) returns, or set it."
        )
    if config.model.conditional != (num_labels is not None):
        raise ConfigError(f"a conditional model, and no other, needs num_labels, its classes; got {num_labels}.")
    strategy = strategy or tf.distribute.get_strategy()
    strategies.check_batch_size(strategy, config.batch_size)
    check_free_bits(config.free_bits, strategy.num_replicas_in_sync)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(config.seed)
    with strategies.lost_workers_told(strategy), strategy.scope():
        return _compiled(config, image_shape, num_train // config.batch_size, num_labels)


def _compiled(
    config: TrainConfig, image_shape: tuple[int, int, int], steps_per_epoch: int, num_labels: int | None
) -> VAE:
    with backend.plain_settings(config.precision):
        encoder = networks.build_encoder(config.model, image_shape, num_labels)
        decoder = networks.build_decoder(config.model, image_shape, num_labels)
    with backend.plain_settings():
        return _with_optimizer(encoder, decoder, config, image_shape, steps_per_epoch, num_labels)


def _with_optimizer(
    encoder: keras.Model,
    decoder: keras.Model,
    config: TrainConfig,
    image_shape: tuple[int, int, int],
    steps_per_epoch: int,
    num_labels: int | None,
) -> VAE:
    latent_dim = networks.latent_dim(config.model, image_shape)  # of all groups
    model = replace(config.model, latent_dim=latent_dim)
    prior = priors.get(config.model.prior).of_config(model, image_shape, num_labels)
    objective = objectives.get(config.objective).of_config(config, steps_per_epoch)
    vae = VAE(encoder, decoder, prior, objective, seed=config.seed)
    vae.build((None, *image_shape))
    schedule = schedules.run_cosine(config.learning_rate, config.epochs * steps_per_epoch, config.lr_warmup_steps)
    optimizer = optimizers.FusedAdam(
        schedule, beta_2=config.adam_beta2, global_clipnorm=config.clip_norm or None, average=config.ema
    )
    optimizer.build(vae.trainable_variables)
    vae.compile(optimizer=optimizer, jit_compile=uses_xla(config))
    return vae


def check_size(config: TrainConfig, num_train: int) -> None:
    """Raise ConfigError if a batch is larger than the training split, or the warm-up as long as the run."""
    if config.batch_size > num_train:
        raise ConfigError(f"batch_size must be at most {num_train}, the number of training images of {config.dataset}.")
    num_steps = config.epochs * (num_train // config.batch_size)
    if config.lr_warmup_steps >= num_steps:
        raise ConfigError(
            f"lr_warmup_steps must be less than {num_steps}, the optimiser steps of the run; "
            f"got {config.lr_warmup_steps}."
        )


def check_shift(config: TrainConfig, image_shape: tuple[int, int, int]) -> None:
    """Raise ConfigError if images of this shape, `(height, width, channels)`, cannot be moved by `shift` pixels."""
    if config.shift and pictures.is_table(image_shape):
        raise ConfigError(
            f"shift is for images, whose pixels have neighbours: {config.dataset} is a table, so it must be 0; got "
            f"{config.shift}."
        )
    if config.shift and config.shift >= min(image_shape[:2]):
        raise ConfigError(
            f"shift must be less than the height and the width of the images, {image_shape[0]} x {image_shape[1]} "
            f"pixels; got {config.shift}."
        )
