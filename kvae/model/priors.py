"""The prior p(z): TFP distributions over codes, and how a saved model remembers which one it had."""

from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from kvae.errors import KvaeError

tfd = tfp.distributions


def standard_normal(latent_dim: int) -> Any:
    """N(0, I) with event `(latent_dim,)`: the prior of the original VAE, and the only one format 1 of a bundle has."""
    return tfd.MultivariateNormalDiag(loc=tf.zeros(latent_dim), scale_diag=tf.ones(latent_dim))


def is_standard_normal(prior: Any) -> bool:
    """Whether `prior` is a MultivariateNormalDiag of zero mean and unit scale."""
    if not isinstance(prior, tfd.MultivariateNormalDiag):
        return False
    return bool(np.all(prior.mean().numpy() == 0.0) and np.all(prior.stddev().numpy() == 1.0))


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
    arguments = {
        name: deserialize(value)
        if isinstance(value, dict)
        else tf.constant(value)
        if isinstance(value, list)
        else value
        for name, value in config["arguments"].items()
    }
    return cls(**arguments)
