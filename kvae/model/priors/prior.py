"""What a prior p(z) is: a Keras layer that returns a TFP distribution."""

from abc import abstractmethod
from typing import Any

import keras
import tensorflow as tf

from kvae.model.calls import variables_in
from kvae.steps.set_once import SetOnce


class Prior(SetOnce, keras.layers.Layer):
    """The distribution of codes. Its weights are trained and saved like those of any layer.

    So are TensorFlow variables among its attributes, alone or in a TFP distribution.

    A subclass is one file of this folder, named after the prior, which ends in `PRIOR = Subclass`.

    Args:
        latent_dim: number of latent dimensions.

    Call it with the labels of a batch `(batch,)`, or without arguments; returns a TFP distribution with event
    `(latent_dim,)`, and batch `()` or `(batch,)`.
    """

    set_once: tuple[str, ...] = ("latent_dim",)

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

    @abstractmethod
    def call(self, label: tf.Tensor | None = None) -> Any:
        """The distribution p(z)."""

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"latent_dim": self.latent_dim}
