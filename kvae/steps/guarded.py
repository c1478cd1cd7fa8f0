"""A Keras model that refuses what it would otherwise silently get wrong: images it cannot use, arguments it ignores."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.steps import inputs, traced
from kvae.steps import labels as class_labels
from kvae.steps.example import Example
from kvae.steps.keras_private import BuiltByHand, had_no_batch
from kvae.steps.range_record import RangeRecord

COUNTS = ("batch_size", "steps_per_epoch", "steps", "validation_batch_size", "validation_steps")
"""Arguments that Keras takes for None if they are 0."""


class Guarded(BuiltByHand):
    """A model whose inputs are images, floats in [0, 1], checked wherever Keras takes them (see `kvae.steps.inputs`).

    Arrays are checked as a whole before the first step. Every batch is checked again in the step, compiled or not;
    a batch that fails is not trained on, and raises a KvaeError after the call that found it. Whatever was set on the
    model since the steps were compiled takes effect (see `kvae.steps.traced`).

    A conditional model takes labels too, as `y`, or in a stream of `(images, labels)`, or as a pair given as `x` (see
    `kvae.steps.labels`). Another does not use them: of a stream or a pair, a warning says so once; `y` is refused. Any
    other target, and weights, are refused.
    """

    image_shape: Any = None
    """The images' `(height, width, channels)`, a tuple; None until the model is built."""
    image_range: inputs.Range = inputs.UNIT
    """What the images may hold."""
    train_function: Any
    test_function: Any
    predict_function: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.range_record = RangeRecord()
        self.label_record = class_labels.LabelRecord()
        self._told_of_labels = False
        self._built_in: traced.Settings | None = None

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on images, an array or a stream of batches; of a conditional model with their labels.

        Raises:
            KvaeError: the images are not floats in [0, 1] or have another shape; a conditional model is given no
                labels, or other labels than its classes; or there is something that would not be used: a target `y`
                of another model, in `validation_data` too, sample weights or class weights.
        """
        given = inspect.signature(super().fit).bind(*args, **kwargs)
        given.arguments["x"] = inputs.stream(given.arguments.get("x"))
        self._check_arguments(given.arguments)
        validation = given.arguments.get("validation_data")
        if isinstance(validation, (tuple, list)) and validation:
            names = dict(zip(("x", "y", "sample_weight"), validation, strict=False))
            self._check_arguments(names, "validation_data's ")
        elif validation is not None:
            given.arguments["validation_data"] = inputs.stream(validation)
            self._check_arguments({"x": validation})
        history = super().fit(*given.args, **given.kwargs)
        if history.epoch and not history.history:
            raise KvaeError(inputs.about_none("x"))
        return history

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on what `fit` takes."""
        given = inspect.signature(super().evaluate).bind(*args, **kwargs)
        given.arguments["x"] = inputs.stream(given.arguments.get("x"))
        if "_use_cached_eval_dataset" not in kwargs:  # in `fit`, which has checked it
            self._check_arguments(given.arguments)
        found = super().evaluate(*given.args, **given.kwargs)
        if isinstance(found, (list, dict)) and not found:
            raise KvaeError(inputs.about_none("validation_data" if "_use_cached_eval_dataset" in kwargs else "x"))
        return found

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on what `fit` takes."""
        given = inspect.signature(super().predict).bind(inputs.stream(x), *args, **kwargs)
        self._check_arguments(given.arguments)
        try:
            return super().predict(*given.args, **given.kwargs)
        except UnboundLocalError as error:
            if not had_no_batch(error):
                raise
            raise KvaeError(inputs.about_none("x")) from None

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on images."""
        given = inspect.signature(super().train_on_batch).bind(x, *args, **kwargs)
        self._check_arguments(given.arguments)
        return super().train_on_batch(*given.args, **given.kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As in Keras, on images."""
        given = inspect.signature(super().test_on_batch).bind(x, *args, **kwargs)
        self._check_arguments(given.arguments)
        return super().test_on_batch(*given.args, **given.kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """As in Keras, on images."""
        self._check_arguments({"x": x})
        return super().predict_on_batch(x)

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras."""
        if self.train_function is None or force:
            super().make_train_function(force=True)
            self.train_function = self._checking("train_function")

    def make_test_function(self, force: bool = False) -> None:
        """As in Keras."""
        if self.test_function is None or force:
            super().make_test_function(force=True)
            self.test_function = self._checking("test_function")

    def make_predict_function(self, force: bool = False) -> None:
        """As in Keras."""
        if self.predict_function is None or force:
            super().make_predict_function(force=True)
            self.predict_function = self._checking("predict_function")

    @property
    def num_labels(self) -> int | None:
        """Number of classes, if the model is conditional: then each image has a label. Else None."""
        return None

    def trace_again(self) -> None:
        """Trace the compiled steps again, so that a change in Python takes effect."""
        self._built_in = None
        for kind in ("train", "test", "predict"):
            if getattr(self, f"{kind}_function") is not None:
                getattr(self, f"make_{kind}_function")(force=True)

    def _checking(self, name: str) -> Callable[[Any], Any]:
        """The function of this name that Keras has made, and what Python must see to before and after each call."""
        compiled = getattr(self, name)

        def checking(data: Any) -> Any:
            if self._built_in is not None and traced.settings(self) != self._built_in:
                self.trace_again()
                return getattr(self, name)(data)
            result = compiled(data)
            self._built_in = traced.settings(self)  # now, because the first call builds the model
            self.range_record.check(self.distribute_strategy, self.image_range)
            if self.num_labels is not None:
                self.label_record.check(self.distribute_strategy, self.num_labels)
            return result

        return checking

    def call(self, images: Any, training: bool = False) -> tf.Tensor:
        """What `predicted` makes of a user's images, or of `(images, labels)`."""
        return self.predicted(self.example(images), training)

    def predicted(self, example: Example, training: bool = False) -> tf.Tensor:
        """What `predict` returns for a batch; by default, what a subclass's own `call` makes of its images."""
        return self.call(example.images, training=training)

    def predict_step(self, data: Any) -> tf.Tensor:
        """As in Keras."""
        return self.predicted(self._example(data))

    def _example(self, data: Any) -> Example:
        """The batch of a step of Keras; raises for anything that would otherwise be silently ignored."""
        images, labels = inputs.images_and_labels(data)
        if self.num_labels is None:
            self._warn_of_unused(labels)
        batch = inputs.tensor(images, self.image_shape)
        self._build_for(batch)
        batch = self.range_record.noted(batch, self.image_range)
        if self.num_labels is None:
            return Example(batch)
        return Example(*self.label_record.noted(batch, labels, self.num_labels))

    def _warn_of_unused(self, labels: Any) -> None:
        inputs.check_unused(labels)
        if labels is not None and not self._told_of_labels:
            self._told_of_labels = True
            warnings.warn(f"the labels are not used: {type(self).__name__} learns from images alone.", stacklevel=2)

    def _build_for(self, batch: tf.Tensor) -> None:
        if not self.built:  # Keras builds a model when it is called, but training calls the networks instead
            self.build(tuple(batch.shape))

    def example(self, images: Any) -> Example:
        """A user's images as a batch, as `Example.of` makes one; the model is built, if it is not.

        Args:
            images: images, an `Example`, or, for a conditional model, a pair of images and labels.

        Raises:
            KvaeError: they are not images, or of a conditional model they have no labels, or other ones.
        """
        labels = None
        if self.num_labels is not None and type(images) in (tuple, list) and len(images) == 2:
            images, labels = images
        self._build_for(images.images if isinstance(images, Example) else inputs.tensor(images, self.image_shape))
        found = Example.of(images, self.image_shape, self.image_range)
        if self.num_labels is None or tf.is_symbolic_tensor(found.label):  # which the step has checked
            return found
        labels = found.label if labels is None else labels
        return Example(*class_labels.checked(labels, self.num_labels, found.images))

    def _check_arguments(self, given: dict[str, Any], where: str = "") -> None:
        """Raise KvaeError for arguments of Keras's methods that would be ignored, and for an array of other images."""
        for name in ("y", "sample_weight", "class_weight"):
            if given.get(name) is not None and not (name == "y" and self.num_labels is not None):
                raise KvaeError(
                    f"{where}{name} is not used: {type(self).__name__} learns from images alone, and weights them all "
                    f"alike. Leave {name} out."
                )
        for name in COUNTS:
            if given.get(name) is not None:
                check_count(name, given[name])
        check_count("steps_per_execution", self.steps_per_execution)
        images, labels = given.get("x"), given.get("y")
        if isinstance(images, (tuple, list)):
            images, beside = inputs.images_and_labels((images,))
            labels = beside if labels is None else labels
            if self.num_labels is None:
                inputs.check_unused(beside)
        limits = self.image_range if self.built else inputs.ANY  # until it is built, the model does not say
        inputs.check_array(images, self.image_shape, limits)
        if self.num_labels is not None:
            if labels is None and hasattr(images, "__array__"):
                raise class_labels.missing(self.num_labels)
            class_labels.check_array(labels, self.num_labels, images)


def check_count(name: str, value: Any) -> None:
    """Raise KvaeError unless an argument of Keras's is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise KvaeError(f"{name} must be an integer of at least 1; got {printable(repr(value), 80)}.")
