"""From a config and a data set to a fitted VAE: builds the model, streams the batches, runs `fit`."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae import binarization, networks, priors
from kvae.config import TrainConfig
from kvae.datasets import Dataset
from kvae.errors import ConfigError
from kvae.vae import VAE

# On 2 CPU cores XLA makes the dense networks faster; the convolutions run 1.3 times as fast without it.
USES_XLA = {"conv": False, "mlp": True, "gated_mlp": True}
# Steps between two returns to Python, where a compiled step is short: 1.3 times as fast for the gated networks, and the
# losses are the same to the last bit.
STEPS_PER_EXECUTION = {"conv": 1, "mlp": 20, "gated_mlp": 20}


def build(config: TrainConfig, image_shape: tuple[int, int, int], num_train: int) -> VAE:
    """A compiled VAE with fresh weights, which depend on the seed alone.

    Args:
        config: the settings.
        image_shape: `(height, width, channels)`.
        num_train: number of training images, for the schedules.

    Raises:
        ConfigError: a batch larger than the training split.
    """
    check_batch_size(config, num_train)
    keras.utils.set_random_seed(config.seed)
    steps_per_epoch = num_train // config.batch_size
    vae = VAE(
        networks.build_encoder(config.model, image_shape),
        networks.build_decoder(config.model, image_shape),
        priors.standard_normal(config.model.latent_dim),
        beta=config.beta,
        entropy_weight=config.entropy_weight,
        kl_warmup_steps=config.kl_warmup_epochs * steps_per_epoch,
        seed=config.seed,
    )
    vae.build((None, *image_shape))
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, config.epochs * steps_per_epoch)
    vae.compile(
        optimizer=keras.optimizers.Adam(schedule),
        jit_compile=USES_XLA[config.model.architecture],
        steps_per_execution=STEPS_PER_EXECUTION[config.model.architecture],
    )
    return vae


def check_batch_size(config: TrainConfig, num_train: int) -> None:
    """Raise ConfigError where a batch is larger than the training split."""
    if config.batch_size > num_train:
        raise ConfigError(f"batch_size must be at most {num_train}, the number of training images of {config.dataset}.")


def fit(
    vae: VAE, config: TrainConfig, data: Dataset, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> dict[str, list[float]]:
    """Fit on the training split; the validation split is evaluated after each epoch, the test split is not touched.

    Args:
        vae: from `build`.
        config: the settings.
        data: the data set.
        callbacks: Keras callbacks.

    Returns:
        The history: `loss`, `elbo`, `distortion`, `rate` and the same with `val_`, one number per epoch.
    """
    bits = config.binarize == "dynamic"
    history = vae.fit(
        batches(data.train.images, config.batch_size, shuffle_seed=config.seed, binarize=bits),
        validation_data=batches(binarization.held_out(data, "validation", bits), config.batch_size),
        epochs=config.epochs,
        shuffle=False,  # done in `batches`
        verbose=0,
        callbacks=list(callbacks),
    )
    return history.history


def batches(
    images: NDArray[np.uint8], batch_size: int, shuffle_seed: int | None = None, binarize: bool = False
) -> tf.data.Dataset:
    """Batches float32 `(batch, height, width, channels)` in [0, 1] of uint8 images.

    Args:
        images: the images.
        batch_size: images per batch.
        shuffle_seed: with one, the order is new in each epoch, and what does not fill a batch is left out of that
            epoch, so that all steps have one shape. Without one, all images come in their order.
        binarize: draw each pixel as 0 or 1, anew in each epoch, with its intensity as the probability; it takes a
            `shuffle_seed`.
    """
    # Indices are shuffled rather than images: whole batches are then gathered and scaled at once.
    indices = tf.data.Dataset.range(len(images))
    if shuffle_seed is not None:
        indices = indices.shuffle(len(images), seed=shuffle_seed)
    pixels = tf.constant(images)
    grey = indices.batch(batch_size, drop_remainder=shuffle_seed is not None).map(
        lambda chosen: tf.cast(tf.gather(pixels, chosen), tf.float32) / 255.0
    )
    if not binarize:
        return grey.prefetch(tf.data.AUTOTUNE)
    draws = tf.data.Dataset.random(shuffle_seed, rerandomize_each_iteration=True).batch(2)
    return (
        tf.data.Dataset.zip(grey, draws)
        .map(lambda batch, seed: tf.cast(tf.random.stateless_uniform(tf.shape(batch), seed) < batch, tf.float32))
        .prefetch(tf.data.AUTOTUNE)
    )


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
