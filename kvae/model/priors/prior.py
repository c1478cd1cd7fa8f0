"""What a prior p(z) is: a Keras layer that returns a TFP distribution."""

from abc import abstractmethod
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.config import ModelConfig
from kvae.model.calls import variables_in
from kvae.model.priors.reparameterized import mixture_probs, reparameterized
from kvae.steps.set_once import SetOnce


class Prior(SetOnce, keras.layers.Layer):
    """The distribution of codes. Its weights are trained and saved like those of any layer.

    So are TensorFlow variables among its attributes, alone or in a TFP distribution.

    A subclass is one file of this folder, named after the prior, which ends in `PRIOR = Subclass`.

    Args:
        latent_dim: number of latent dimensions.

    Call it without arguments, or with the labels of a batch, int64 `(batch,)`, if it has `num_labels`; returns a TFP
    distribution with event `(latent_dim,)`, and batch `()` or `(batch,)`.
    """

    set_once: tuple[str, ...] = ("latent_dim",)
    num_labels: int | None = None
    """Number of classes, for a prior p(z|y) of each label; None for a prior that is the same for all images."""

    def __init__(self, latent_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.latent_dim = latent_dim

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        for number, variable in enumerate(variables_in(value)):
            super().__setattr__(f"_{name}_{number}", keras.Variable(variable, trainable=variable.trainable))

    def build(self, input_shape: Any = None) -> None:
        """Create the weights; does nothing for a prior that has none."""
        self.built = True

    @classmethod
    def of_config(
        cls, config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None
    ) -> "Prior":
        """The prior that the settings describe, with fresh weights.

        Args:
            config: the settings.
            image_shape: `(height, width, channels)` of the images.
            num_labels: number of classes of a conditional model. A prior that learns something learns it for each.
        """
        return cls(config.latent_dim)

    def from_noise(
        self, noise: tf.Tensor, component: tf.Tensor | None = None, label: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Draws from the prior, as a function of standard normal noise: what a bundle's prior graph computes.

        By default this is known for Gaussians, for bijectors of Gaussians and for mixtures of Gaussians; a prior that
        returns another distribution must define it to be exported.

        Args:
            noise: `(batch, latent_dim)`.
            component: for a mixture, the component of each draw, int64 `(batch,)`.
            label: int64 `(batch,)`, for a prior that has `num_labels`.

        Raises:
            NotImplementedError: it is not known for this prior's distribution.
        """
        distribution = self(label) if self.num_labels is not None else self()
        return reparameterized(distribution, noise, component)

    def frozen(self) -> "Prior":
        """The prior as its weights are now, which is what is exported: by default itself.

        A prior that is computed with other networks, such as a VampPrior, returns one that does without them.
        """
        return self

    def start_from(self, images: NDArray[np.uint8], labels: NDArray[Any] | None = None) -> None:
        """Begin a training with what the training images show; does nothing by default.

        Args:
            images: uint8 `(n, height, width, channels)`.
            labels: the class of each, `(n,)`, for a conditional model.
        """

    def start_at_codes(self, z: NDArray[np.float32], labels: NDArray[Any] | None = None) -> None:
        """Begin a fit to given codes with what they show; does nothing by default.

        Args:
            z: `(n, latent_dim)`.
            labels: the class of each, `(n,)`, for a prior that has `num_labels`.
        """

    def component_probs(self) -> NDArray[np.float64] | None:
        """The probability of each component of a mixture, `(components,)`; None if the prior is not a mixture.

        Raises:
            NotImplementedError: they are not the same for all labels.
        """
        return mixture_probs(self() if self.num_labels is None else self(tf.zeros([1], tf.int64)))

    @abstractmethod
    def call(self, label: tf.Tensor | None = None) -> Any:
        """The distribution p(z)."""

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"latent_dim": self.latent_dim}
