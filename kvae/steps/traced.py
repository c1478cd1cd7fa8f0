"""What a compiled step has built in: if any of it is set later, the step must be traced again to take notice."""

from typing import Any

import keras

from kvae.steps.keras_private import flat_layers, rate_of

Settings = list[Any]

STATE = frozenset(
    {
        "built", "stop_training", "stop_evaluating", "stop_predicting",
        "train_function", "test_function", "predict_function",
    }
)  # fmt: skip
"""Attributes that change while a model is used, and change nothing in its steps."""


def settings(model: keras.Model) -> Settings:
    """All that was set in Python on a model, its layers and its optimizer, to compare with what it is later.

    Variables, such as a learning rate or a weight, are read by the compiled step itself: they may change.
    """
    optimizer = getattr(model, "optimizer", None)  # a model that was not compiled can predict
    optimizers = [] if optimizer is None else [optimizer, getattr(optimizer, "inner_optimizer", None)]
    return [
        (model.jit_compile, model.run_eagerly, model.steps_per_execution),
        [id(variable) for variable in model.trainable_variables],
        [(id(layer), _public(layer)) for layer in flat_layers(model) if layer is not model],
        [(id(one), id(rate_of(one)), _public(one)) for one in optimizers if one is not None],
    ]


def _public(thing: Any) -> dict[str, Any]:
    """Its public attributes: numbers and text by value, anything else by identity."""
    return {
        name: value if isinstance(value, (bool, int, float, str)) else id(value)
        for name, value in vars(thing).items()
        if name[0] != "_" and name not in STATE
    }
