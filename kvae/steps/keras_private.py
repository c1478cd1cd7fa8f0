"""All the private names of Keras that kvae needs: test a new release of Keras here first (tests/steps).

pyproject.toml admits only the minor release that these were tested with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.files.text import printable

KvaeError._keras_call_info_injected = True  # type: ignore[attr-defined]
"""Keras adds nothing to such an error that is raised in a layer's call: it stays one line."""


class BuiltByHand(keras.Model):
    """A model that Keras does not build from the first batch.

    Under `tf.distribute` Keras builds a model from the mean of the first batch over all replicas, which it cannot
    compute for the elements of `kvae.steps.batches`.
    """

    def prepare_replicas(self) -> None:
        """Called before a `fit` or `evaluate` under `tf.distribute`."""

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        if self._distribute_strategy is not None:
            self.prepare_replicas()


def adam_slots(optimizer: keras.optimizers.Adam, variable: Any) -> tuple[tf.Variable, tf.Variable]:
    """The moments that Adam keeps for a variable: of its gradients, and of their squares."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index].value, optimizer._velocities[index].value


def flat_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers of a model, including nested ones, and the model itself."""
    return list(model._flatten_layers())


@contextmanager
def in_float32(model: keras.Model) -> Iterator[None]:
    """Let all layers compute in float32 within the block, whatever the policy under which they were made.

    The functional model inside a Sequential one casts its inputs too, to the type of its input layer.
    """
    layers = flat_layers(model)
    layers += [layer._functional for layer in layers if getattr(layer, "_functional", None) is not None]
    policies = [(layer, layer.dtype_policy) for layer in layers if layer.compute_dtype != "float32"]
    inputs = [layer for layer in layers if isinstance(layer, keras.layers.InputLayer)]
    inputs += [tensor for layer in layers for tensor in getattr(layer, "_inputs", None) or []]
    types = [(place, place.dtype) for place in inputs if place.dtype in ("float16", "bfloat16")]
    try:
        for layer, _ in policies:
            layer.dtype_policy = "float32"
        for place, _ in types:
            place._dtype = "float32"
        yield
    finally:
        for layer, policy in policies:
            layer.dtype_policy = policy
        for place, dtype in types:
            place._dtype = dtype


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """The layers that a layer calls, not those that they call."""
    return list(layer._flatten_layers(recursive=False, include_self=False))


def rate_of(optimizer: Any) -> Any:
    """An optimizer's learning rate as it is kept: a schedule, a variable, or None if it keeps none."""
    return getattr(optimizer, "_learning_rate", None)


def unknown(optimizer: keras.optimizers.Optimizer, variables: list[Any]) -> list[Any]:
    """Those of the variables that a built optimizer was not built for."""
    known = {id(variable) for variable in optimizer._trainable_variables}
    return [variable for variable in variables if id(variable) not in known] if optimizer.built else []


def had_no_batch(error: UnboundLocalError) -> bool:
    """Whether it is the error of Keras's `predict` for a stream without a batch."""
    return "batch_outputs" in str(error)


def cause(error: Exception) -> str:
    """What an error says that was raised in a layer's call, as one line, without what Keras wraps around it."""
    text = str(error)
    return printable(text.split("\x1b[1m")[-1].split("\x1b[0m")[0] or type(error).__name__)


def operations_back(model: Any) -> Iterator[Any]:
    """The layers or operations of a chain, from its output back; none for a model whose inside cannot be seen."""
    if isinstance(model, keras.Sequential):
        yield from reversed(model.layers)
    elif isinstance(model, keras.Model):
        outputs = getattr(model, "outputs", None) or []
        while len(outputs) == 1 and (operation := outputs[0]._keras_history.operation) is not None:
            yield operation
            outputs = operation._inbound_nodes[0].input_tensors
    else:
        yield model
