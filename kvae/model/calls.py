"""Calls of a VAE's networks: each must return a TFP distribution over codes or images, or it is named in one line."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.steps.keras_private import cause, flat_layers

TAKES = {"encoder": "images", "decoder": "codes", "prior": "labels"}
WRAPPERS = {"encoder": "kvae.model.Encoder(network, latent_dim)", "decoder": "kvae.model.Decoder(network)"}


def returned(role: str, network: Any, *inputs: tf.Tensor | None, event: Any = None, training: bool = False) -> Any:
    """The distribution that a network returns for a batch.

    Args:
        role: "encoder", "decoder" or "prior".
        network: the network of this role.
        inputs: its arguments; a label is left out if it is None, or if the network takes none (see `takes_label`).
        event: the event shape that the distribution must have; see `check_event`.
        training: the `training` argument of its layers.

    Raises:
        KvaeError: it cannot take these inputs, or does not return a distribution of float32.
    """
    values, label = (inputs[:-1], inputs[-1]) if len(inputs) > 1 or role == "prior" else (inputs, None)
    given = [*values, *([label] if label is not None and takes_label(network) else [])]
    try:
        found = network(*given, training=training)
    except (ValueError, TypeError, AttributeError, tf.errors.InvalidArgumentError) as error:
        what = "".join(f" of shape {tuple(value.shape[1:])}" for value in given[:1])
        raise KvaeError(f"the {role} cannot take {TAKES[role]}{what}: {cause(error)}") from error
    if not (hasattr(found, "log_prob") and hasattr(found, "event_shape")):
        raise KvaeError(_not_a_distribution(role, type(found).__name__))
    if isinstance(found.dtype, tf.DType) and found.dtype.is_floating and found.dtype != tf.float32:
        raise KvaeError(
            f"the {role} returns a distribution of {found.dtype.name}, but it must be of float32, "
            f"whatever the layers compute in. Cast its parameters: tf.cast(loc, tf.float32)."
        )
    if event is not None:
        check_event(role, found, event)
    return found


def takes_label(network: Any) -> bool:
    """Whether a network is conditional, which its attribute `num_labels` says: the number of classes."""
    return getattr(network, "num_labels", None) is not None


def num_labels(*networks: Any) -> int | None:
    """The number of classes of those networks that are conditional; None if none is.

    Raises:
        KvaeError: they have different numbers of classes.
    """
    found = {int(network.num_labels) for network in networks if takes_label(network)}
    if len(found) > 1:
        raise KvaeError(f"encoder, decoder and prior must have the same num_labels; got {sorted(found)}.")
    return found.pop() if found else None


def bind(encoder: Any, decoder: Any, prior: Any) -> None:
    """Tell the encoder and the prior what they compute with: their method `bind`, if they have one, is called once.

    A ladder's encoder needs the decoder's top-down network, and a VampPrior the encoder.
    """
    if hasattr(encoder, "bind"):
        encoder.bind(decoder)
    if hasattr(prior, "bind"):
        prior.bind(encoder)


def build(role: str, network: keras.Layer, shape: Sequence[int | None]) -> None:
    """Build a network for inputs of this shape, if it is not built; arguments and errors as for `returned`."""
    if not network.built:
        # An eager call, not network.build(shape): a network that defines no `build` is traced symbolically by Keras,
        # and a symbolic trace cannot return a TFP distribution.
        with tf.init_scope():
            returned(role, network, tf.zeros([1, *shape]), tf.zeros([1], tf.int64))


def check_event(role: str, distribution: Any, expected: Any) -> None:
    """Raise KvaeError unless a distribution has the event shape `expected`, and one batch axis, the images.

    A prior may have no batch axis: all images share it.

    If an axis of the image were in the batch, terms would broadcast, and the loss would be a mean over pixels.
    """
    event, batch = distribution.event_shape, distribution.batch_shape
    is_batch = batch.rank in (None, 1) or role == "prior" and batch.rank == 0
    if is_batch and event.is_compatible_with(expected):
        return
    if is_batch and event.rank == len(expected):
        other = "the prior's codes" if role == "encoder" else "the images"
        repair = "Give both the same latent_dim." if role == "encoder" else "End its body with that shape."
        raise KvaeError(
            f"the {role} must return a distribution with event {tuple(expected)}, the shape of {other}; "
            f"got event {tuple(event)}. {repair}"
        )
    raise KvaeError(
        f"the {role} must return a distribution with event {tuple(expected)} and batch (batch,); "
        f"got event {tuple(event)} and batch {tuple(batch)}. Wrap it in tfd.Independent."
    )


def check_networks(encoder: Any, decoder: Any, prior: Any) -> None:
    """Raise KvaeError for networks that can be seen not to fit, before anything is built."""
    for role, network in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(network, keras.Layer):
            raise KvaeError(f"the {role} must be a keras.Model that returns a TFP distribution; got {_named(network)}.")
        if type(network).__module__.startswith("keras."):
            raise KvaeError(_not_a_distribution(role, "tensors", type(network).__name__))
    num_labels(encoder, decoder, prior)
    sizes = getattr(encoder, "latent_dim", None), prior.latent_dim
    if isinstance(sizes[0], int) and sizes[0] != sizes[1]:
        raise KvaeError(
            f"the encoder's codes have {sizes[0]} dimensions, the prior's {sizes[1]}. Give both the same latent_dim."
        )


def check_variables(model: keras.Model) -> None:
    """Raise KvaeError for a TensorFlow variable in a layer, which Keras would neither train nor save."""
    for layer in flat_layers(model):
        if layer is model:
            continue
        own = {id(variable.value) for variable in layer.variables}
        for name, value in vars(layer).items():
            for variable in variables_in(value):
                if variable.trainable and id(variable) not in own:
                    raise KvaeError(
                        f"{type(layer).__name__}.{name} holds a tf.Variable, which Keras would neither train nor save. "
                        f"Make it a weight: self.add_weight(...)."
                    )


def variables_in(value: Any) -> list[tf.Variable]:
    """The TensorFlow variables in an attribute: itself, those of a list, or those of a TFP distribution."""
    if isinstance(value, (list, tuple)):
        return [variable for part in value for variable in variables_in(part)]
    if isinstance(value, tf.Variable):
        return [value]
    return list(value.variables) if isinstance(value, tf.Module) and not isinstance(value, keras.Layer) else []


def _not_a_distribution(role: str, found: str, network: str | None = None) -> str:
    by = "" if network is None else f" ({network})"
    repair = f"Use {WRAPPERS[role]}." if role in WRAPPERS else "Return one from its call."
    return f"the {role}{by} must return a TFP distribution; it returns {found}. {repair}"


def _named(value: Any) -> str:
    return f"a {type(value).__name__}"
