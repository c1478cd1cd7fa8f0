"""Any TFP distribution as a prior, and how it is saved with a model."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.errors import KvaeError
from kvae.model.priors.prior import Prior

tfd = tfp.distributions


@keras.saving.register_keras_serializable("kvae")
class Fixed(Prior):
    """A TFP distribution as it is: fixed, except for the `tf.Variable`s among its arguments, which are trained.

    Args:
        distribution: a TFP distribution with event `(latent_dim,)` and no batch, built from numbers, tensors,
            variables and TFP distributions.

    Raises:
        KvaeError: it is not a distribution, has another shape, or holds variables elsewhere than among its arguments.
    """

    set_once = ("latent_dim", "distribution")

    def __init__(self, distribution: Any, **kwargs: Any) -> None:
        event, batch = (getattr(distribution, name, None) for name in ("event_shape", "batch_shape"))
        if event is None or batch is None:
            raise KvaeError(
                f"the prior must be a kvae.model.Prior or a TFP distribution; got a {type(distribution).__name__}."
            )
        if event.rank != 1 or batch.rank != 0:
            raise KvaeError(
                f"the prior must have event (latent_dim,) and no batch; got event {tuple(event)} and batch "
                f"{tuple(batch)}. Wrap it in tfd.Independent."
            )
        if len(_arguments(distribution)) != len(distribution.variables):
            raise KvaeError(
                f"the prior {type(distribution).__name__} holds variables that are not arguments of it or of its parts "
                f"(a TransformedVariable, say), so it cannot be saved. Write a subclass of kvae.model.Prior instead."
            )
        super().__init__(int(distribution.event_shape[0]), **kwargs)
        self.distribution = distribution

    def call(self, label: tf.Tensor | None = None) -> Any:
        return self.distribution

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["latent_dim"]
        return config | {"distribution": serialize(self.distribution)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Fixed":
        return cls(**(config | {"distribution": deserialize(config["distribution"])}))


def serialize(prior: Any) -> dict[str, Any]:
    """A TFP distribution as JSON: its class name and constructor arguments, nested distributions included.

    Raises:
        KvaeError: the distribution holds something that is neither a number, a tensor nor a distribution.
    """
    arguments: dict[str, Any] = {}
    for name, value in prior.parameters.items():
        if value is None or name in ("name", "dtype"):  # the dtype follows from the arguments
            continue
        if isinstance(value, tfd.Distribution):
            arguments[name] = serialize(value)
        elif isinstance(value, (bool, int, float, str)):
            arguments[name] = value
        elif isinstance(value, tf.Variable):
            arguments[name] = {"variable": value.numpy().tolist(), "trainable": value.trainable}
        else:
            try:
                arguments[name] = np.asarray(value, dtype=np.float32).tolist()
            except (TypeError, ValueError):
                raise KvaeError(
                    f"prior {type(prior).__name__} cannot be saved: its argument '{name}' is a {type(value).__name__}. "
                    f"Build the prior from numbers, tensors and TFP distributions."
                ) from None
    return {"distribution": type(prior).__name__, "arguments": arguments}


def deserialize(config: dict[str, Any]) -> Any:
    """The distribution that `serialize` described.

    Raises:
        KvaeError: the named class is not a TFP distribution.
    """
    cls = getattr(tfd, config["distribution"], None)
    if not (isinstance(cls, type) and issubclass(cls, tfd.Distribution)):
        raise KvaeError(f"prior '{config['distribution']}' is not a TensorFlow Probability distribution.")
    return cls(**{name: _argument(value) for name, value in config["arguments"].items()})


def _argument(value: Any) -> Any:
    if isinstance(value, list):
        return tf.constant(value)
    if isinstance(value, dict) and "variable" in value:
        return tf.Variable(value["variable"], trainable=bool(value["trainable"]), dtype=tf.float32)
    return deserialize(value) if isinstance(value, dict) else value


def _arguments(distribution: Any) -> set[int]:
    """The variables among the arguments of a distribution and of its parts, by identity."""
    found = set()
    for value in distribution.parameters.values():
        if isinstance(value, tfd.Distribution):
            found |= _arguments(value)
        elif isinstance(value, tf.Variable):
            found.add(id(value))
    return found
