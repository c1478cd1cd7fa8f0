"""Tiny models and images for the tests."""

import keras
import numpy as np
import tensorflow_probability as tfp
from keras import layers

from kvae.config import ModelConfig
from kvae.model import networks
from kvae.model.objectives import ELBO
from kvae.model.priors import StandardNormal
from kvae.model.vae import VAE

tfd = tfp.distributions

IMAGE_SHAPE = (8, 8, 1)
DATASET = {"name": "fashion_mnist_mini", "sha256": "0" * 64, "num_images": 4000}


def make_vae(image_shape: tuple[int, int, int] = IMAGE_SHAPE, seed: int = 0, **settings) -> VAE:
    """An untrained model with 3 latent dimensions; `settings` go to ModelConfig, those of the loss to the ELBO.

    With `num_labels` among them, it is conditional.
    """
    num_labels = settings.pop("num_labels", None)
    names = ("beta", "entropy_weight", "warmup_steps")
    objective = ELBO(**{name: settings.pop(name) for name in names if name in settings})
    config = ModelConfig(**({"architecture": "mlp", "latent_dim": 3, "hidden_units": 8} | settings))
    keras.utils.set_random_seed(seed)
    vae = VAE(
        networks.build_encoder(config, image_shape, num_labels),
        networks.build_decoder(config, image_shape, num_labels),
        StandardNormal(networks.latent_dim(config, image_shape)),
        objective,
        seed=seed,
    )
    vae.build((None, *image_shape))
    return vae


def random_images(count: int, image_shape: tuple[int, int, int] = IMAGE_SHAPE, seed: int = 0) -> np.ndarray:
    """White noise in [0, 1], float32."""
    return np.random.default_rng(seed).random((count, *image_shape), dtype=np.float32)


@keras.saving.register_keras_serializable("tests")
class OwnEncoder(keras.Model):
    """A user's network without `build`, whose posterior is an Independent Normal."""

    def __init__(self, latent_dim: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.latent_dim = latent_dim
        self.flatten = layers.Flatten()
        self.hidden = layers.Dense(6, "tanh")
        self.loc = layers.Dense(latent_dim)
        self.scale = layers.Dense(latent_dim, "softplus")

    def call(self, images):
        features = self.hidden(self.flatten(images))
        return tfd.Independent(tfd.Normal(self.loc(features), self.scale(features) + 1e-3), 1)

    def get_config(self):
        return super().get_config() | {"latent_dim": self.latent_dim}


@keras.saving.register_keras_serializable("tests")
class OwnDecoder(keras.Model):
    """A user's network without `build`, with a normal likelihood of fixed scale."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.hidden = layers.Dense(6, "tanh")
        self.pixels = layers.Dense(64, "sigmoid")
        self.shape = layers.Reshape(IMAGE_SHAPE)

    def call(self, z):
        return tfd.Independent(tfd.Normal(self.shape(self.pixels(self.hidden(z))), 0.1), 3)
