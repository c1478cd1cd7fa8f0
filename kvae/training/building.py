"""Builds a compiled VAE with fresh weights from a config."""

from dataclasses import replace

import keras
import tensorflow as tf

from kvae.config import TrainConfig
from kvae.data.choice import check_shift, check_size
from kvae.errors import ConfigError
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
