"""A decoder's body gives parameters before any activation, logits for example: a body that squashes them is refused.

The likelihood applies its own sigmoid. A body that ends in one too leaves it values in 0..1, so that every pixel's
probability is in 0.5..0.73, and training stays far from what the network could do.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from kvae.errors import KvaeError
from kvae.model.architectures.conv import DepthToSpace
from kvae.model.probes import labels, probes
from kvae.steps.keras_private import operations_back

KEEP_RANGE = (
    layers.Reshape, layers.Flatten, layers.Permute, layers.Identity, layers.Dropout, layers.Resizing,
    layers.Cropping1D, layers.Cropping2D, layers.ZeroPadding1D, layers.ZeroPadding2D, layers.UpSampling1D,
    layers.UpSampling2D, layers.AveragePooling2D, layers.MaxPooling2D, DepthToSpace,
)  # fmt: skip
"""Layers whose outputs lie between the values of their inputs (and 0): the layer before them decides."""
FUNCTIONS = (layers.ReLU, layers.Softmax, layers.LeakyReLU, layers.ELU, layers.Lambda)
"""Layers that are an activation."""
FAR = 1e4
"""An activation that is free takes values beyond `FREE` on both sides, if its inputs are between -FAR and FAR."""
FREE = 5.0
PROBES = 64
_TRUSTED: ContextVar[bool] = ContextVar("trusted", default=False)


@contextmanager
def trusted() -> Iterator[None]:
    """A block in which `check_body` passes: a model that was saved before there was such a check still opens."""
    token = _TRUSTED.set(True)
    try:
        yield
    finally:
        _TRUSTED.reset(token)


def check_body(body: keras.Layer) -> None:
    """Raise KvaeError if the last activation of a body bounds its outputs."""
    last = _last(body)
    found = _activation(last)
    if found is None or _TRUSTED.get():
        return
    limits = _limits(found)
    if limits is not None and not (limits[0] < -FREE and limits[1] > FREE):
        name = getattr(found, "__name__", type(found).__name__).lower()
        raise KvaeError(_message(f"ends in {name} (its layer '{last.name}')"))


def check_outputs(decoder: keras.Layer, latent_dim: int) -> None:
    """The same by what a built decoder gives for codes near and far, if its last activation cannot be seen.

    Outputs that depend on the code and never change their sign are certainly squashed. Those that reach -1 and 1 and
    go no further look like a tanh, but a small network may do that before it is trained: a warning says so.

    Raises:
        KvaeError: the outputs have one sign.
    """
    body = getattr(decoder, "body", None)
    if body is not None:
        check_body(body)
        if _activation(_last(body)) is not None:
            return
    with tf.init_scope():
        _check_range(_outputs(decoder, probes(latent_dim, PROBES)))


def _check_range(outputs: tf.Tensor | None) -> None:
    if outputs is None or not bool(tf.reduce_all(tf.math.is_finite(outputs))):
        return
    if not bool(tf.reduce_any(tf.math.reduce_std(outputs, axis=0) > 1e-3)):
        return
    lowest, highest = float(tf.reduce_min(outputs)), float(tf.reduce_max(outputs))
    if lowest >= 0 or highest <= 0:
        raise KvaeError(_message(f"gives only values from {lowest:.3g} to {highest:.3g} for codes near and far"))
    if -1.0 <= lowest < -0.999 and 0.999 < highest <= 1.0:
        warnings.warn(_message("seems to end in a tanh: its outputs reach -1 and 1 and go no further"), stacklevel=2)


def _message(fault: str) -> str:
    return (
        f"the decoder's body gives logits (or other parameters), which may be any real numbers, and the likelihood "
        f"applies its own activation; this one {fault}. Leave that activation out."
    )


def _outputs(decoder: keras.Layer, z: tf.Tensor) -> tf.Tensor | None:
    """What the body gives; for another decoder, the logits of the distribution that it returns, if it has any."""
    label = labels(decoder, len(z))
    if getattr(decoder, "body", None) is not None and (label is None or hasattr(decoder, "body_input")):
        codes = z if label is None else decoder.body_input(z, label)
        return tf.cast(decoder.body(codes, training=False), tf.float32)
    found = decoder(z, *(() if label is None else (label,)), training=False)
    logits = getattr(getattr(found, "distribution", found), "logits", None)
    return None if logits is None else tf.convert_to_tensor(logits)


def _last(body: Any) -> Any:
    """The last layer of a body that decides on the range of its outputs, or None if it cannot be seen."""
    for layer in operations_back(body):
        if isinstance(layer, KEEP_RANGE):
            continue
        nested = isinstance(layer, keras.Model)
        return _last(layer) if nested else layer
    return None


def _activation(layer: Any) -> Any:
    """The function that a layer applies last; None if it has none that can be seen."""
    if isinstance(layer, FUNCTIONS) or isinstance(layer, keras.Operation) and not isinstance(layer, keras.Layer):
        return layer
    return getattr(layer, "activation", None)


def _limits(activation: Any) -> tuple[float, float] | None:
    """The least and the largest value of an activation; None if it is not a function of one array."""
    try:
        with tf.init_scope():
            found = tf.convert_to_tensor(activation(tf.linspace([-FAR], [FAR], 2001, axis=1))).numpy()
    except Exception:  # a user's own code, or a layer that takes another shape
        return None
    return float(found.min()), float(found.max())
