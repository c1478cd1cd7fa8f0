"""The training step: a Keras model whose steps are checked, counted and repeatable, and can run many per call.

It knows nothing of VAEs: a subclass defines what to measure on a batch, and training minimises "loss" among these.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.steps import optimizers, replicas
from kvae.steps.batches import Part, Steps
from kvae.steps.draws import Draws, Rows
from kvae.steps.example import Example
from kvae.steps.guarded import Guarded, check_count
from kvae.steps.keras_private import unknown
from kvae.steps.metrics import ImageMean
from kvae.steps.skips import SkipRecord, counter, is_finite

Means = dict[str, tf.Tensor]


class StepModel(Guarded):
    """A model that is trained on the loss of `measure`, which a subclass defines.

    It is an ordinary Keras model: `compile(optimizer)`, `fit(images)`, `evaluate`, callbacks and `.keras` files work as
    usual. It defines its own loss, so `compile` takes none (the layers' regularisers are added to it). `fit` also
    accepts `kvae.steps.batches.steps(...)`, with `steps_per_epoch`: then one call runs many optimiser steps in one
    loop, with the same losses. A step whose loss or gradient is not finite is not applied, but counted and recorded.
    Under `tf.distribute` each replica takes its share of every batch, and all make the same update.

    Args:
        seed: seed of all random numbers of the steps; a random one by default.
    """

    measured: tuple[str, ...] = ("loss",)
    """The names of what `measure` returns, "loss" among them."""

    def __init__(self, *, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self._jit_replicas = False
        self._prepared = False
        self._means = {name: ImageMean(name=name) for name in self.measured}
        self.made_steps = counter()
        """Training steps made, including skipped ones: the number of the next step."""
        self.skips = SkipRecord()
        """The steps that were not applied, because the loss or a gradient was not finite."""

    @abstractmethod
    def measure(self, example: Example, draws: Draws, training: bool) -> Means:
        """Means over a batch: a scalar for each name of `measured`; training minimises "loss"."""

    def prepare_training(self) -> None:
        """Called once, when the first training step is traced: raise KvaeError for a model that would train badly."""

    def compile(self, optimizer: Any = "rmsprop", *, jit_compile: bool | str = "auto", **kwargs: Any) -> None:
        """As in Keras; with several replicas XLA compiles what each computes, but not the exchange between them.

        Raises:
            KvaeError: an argument that would be ignored, or that Keras would fail at later.
        """
        if any(kwargs.get(name) is not None for name in ("loss", "loss_weights", "metrics", "weighted_metrics")):
            raise KvaeError(f"{type(self).__name__} has its own loss and metrics: compile it with only an optimizer.")
        if jit_compile not in (True, False, None, "auto"):
            raise KvaeError(f"jit_compile must be True, False or 'auto'; got {printable(repr(jit_compile), 80)}.")
        check_count("steps_per_execution", kwargs.get("steps_per_execution", 1))
        replicated = self.distribute_strategy.num_replicas_in_sync > 1
        self._jit_replicas = replicated and jit_compile is True
        super().compile(optimizer=optimizer, jit_compile=False if replicated else jit_compile, **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as the saved model was; Keras does not do so for a class that overrides `compile`."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def next_draws(self, count: tf.Tensor | int) -> Draws:
        """The random numbers for a batch of `count` images; this advances the model's generator."""
        return Draws(tf.cast(self.seed_generator.next(), tf.int32), Rows(0, count))

    def _step_draws(self, rows: Rows) -> Draws:
        compiled = (bool(self.jit_compile) or self._jit_replicas) and not tf.executing_eagerly()
        draws = self.next_draws(rows.total)
        return draws._replace(rows=rows, algorithm="threefry" if compiled else draws.algorithm)

    def train_step(self, data: Any) -> dict[str, Any]:
        """Make one step on a batch, or all steps of `Steps` in one loop; returns the running means of the epoch."""
        if not isinstance(data, Steps):
            example = self._example(data)
            means, applied = self._step(example)
            num_images = tf.cast(example.num_images, tf.int64)
            return self._updated_means(means, applied * replicas.count() * num_images)

        def make_step(step: tf.Tensor, sums: tf.Tensor, count: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            means, applied = self._step(data.example(step))
            return step + 1, sums + means, count + applied

        begin = (tf.zeros([], tf.int64), tf.zeros([len(self._means)]), tf.zeros([], tf.int64))
        _, sums, count = tf.while_loop(lambda step, sums, count: step < data.count, make_step, begin)
        means = tf.math.divide_no_nan(sums, tf.cast(count, tf.float32))
        return self._updated_means(means, count * data.pixels.shape[1])

    def test_step(self, data: Any) -> dict[str, Any]:
        """The means over a batch, without an update."""
        if isinstance(data, Part):
            example, rows = data.example(), Rows(data.first, data.total)
        else:
            example = self._example(data)
            rows = replicas.rows(example.num_images)
        means = self._on_replica(self._test_means)(example, self._step_draws(rows))
        return self._updated_means(*replicas.mean(means, tf.shape(example.images)[0]))

    def _test_means(self, example: Example, draws: Draws) -> tf.Tensor:
        return self._with_penalty(self.measure(example, draws, training=False))[1]

    def _step(self, example: Example) -> tuple[tf.Tensor, tf.Tensor]:
        """One update of the weights, unless the loss or a gradient is not finite.

        Returns:
            The means, in the order of `measured`, and 1; zeros, and 0, if the step was skipped.
        """
        if not self.built:
            self.build(example.images.shape)
        if not self._prepared and replicas.count() == 1:
            self.prepare_training()
        self._prepared = True
        draws = self._step_draws(replicas.rows(example.num_images))
        statistics = [tf.identity(value) for value in self.non_trainable_weights]  # e.g. of batch normalisation
        # Once these are summed, all replicas hold the same bits and make the same decision.
        means, gradients = replicas.summed(self._on_replica(self._gradients)(example, draws))
        values = [means[self.measured.index("loss")]]
        if not isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):  # it produces infinities by design
            values += [gradient for gradient in gradients if gradient is not None]
        finite = tf.reduce_all([is_finite(value) for value in values])
        self._apply_if(finite, gradients)
        for variable, before in zip(self.non_trainable_weights, statistics, strict=True):
            variable.assign(tf.where(finite, variable.value, before))
        self.skips.record(self.made_steps, draws.seed, tf.cast(~finite, tf.int64))
        self.made_steps.assign_add(1)
        return tf.where(finite, means, tf.zeros_like(means)), tf.cast(finite, tf.int64)

    def _gradients(self, example: Example, draws: Draws) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """This replica's share of the means and of the gradients of the loss."""
        with tf.GradientTape() as tape:
            loss, means = self._with_penalty(self.measure(example, draws, training=True))
            scaled_loss = self.optimizer.scale_loss(loss) / replicas.count()
        none = tf.UnconnectedGradients.NONE if replicas.count() == 1 else tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(scaled_loss, self.trainable_variables, unconnected_gradients=none)
        return means / replicas.count(), gradients

    def _apply_if(self, finite: tf.Tensor, gradients: list[tf.Tensor]) -> None:
        optimizer, variables = self.optimizer, self.trainable_variables
        self._check_variables(variables)
        if not variables:  # all is frozen
            return
        if replicas.exchange(tf.distribute.get_strategy()):
            tf.cond(finite, lambda: optimizer.apply_summed(gradients, variables), lambda: None)
        elif self.jit_compile and isinstance(optimizer, optimizers.FusedAdam) and not optimizer.keras_only:
            optimizer.apply_if(finite, gradients, variables)
        else:
            tf.cond(finite, lambda: optimizer.apply(gradients, variables), lambda: None)

    def _check_variables(self, variables: list[Any]) -> None:
        """Raise KvaeError for variables that the optimizer cannot update."""
        if new := unknown(self.optimizer, variables):
            raise KvaeError(
                f"the optimizer was made before '{new[0].path}' could be trained, so it cannot update it. "
                f"Call compile again, with a new optimizer."
            )
        if any(variable.dtype == "float16" for variable in variables):
            raise KvaeError(
                "weights in float16 are too coarse to be updated; set the policy mixed_float16, which keeps them in "
                "float32: keras.config.set_dtype_policy('mixed_float16')."
            )

    def _with_penalty(self, values: Means) -> tuple[tf.Tensor, tf.Tensor]:
        """The loss with the layers' regularisers added, and all means, including this loss, as one tensor."""
        loss = values["loss"] + (tf.add_n(self.losses) if self.losses else 0.0)
        return loss, tf.stack([(values | {"loss": loss})[name] for name in self.measured])

    def _on_replica(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(function, jit_compile=True) if self._jit_replicas else function

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The running means of an epoch."""
        return list(self._means.values())

    def _updated_means(self, means: tf.Tensor, num_images: tf.Tensor) -> dict[str, Any]:
        """The metrics after adding the means of `num_images` more images."""
        for metric, mean in zip(self.metrics, tf.unstack(means), strict=True):
            metric.update_state(mean, sample_weight=num_images)
        return replicas.logs({metric.name: metric.result() for metric in self.metrics})

    def prepare_replicas(self) -> None:
        """Raise KvaeError for a model that cannot be trained under `tf.distribute`; build the optimizer of others."""
        if not self.built:
            raise KvaeError(
                f"under tf.distribute, build a {type(self).__name__} before fitting it: build((None, *image_shape))."
            )
        if self.optimizer is None:
            return
        exchange = replicas.exchange(self.distribute_strategy)
        if exchange and not isinstance(self.optimizer, optimizers.FusedAdam):
            raise KvaeError(
                f"under {type(self.distribute_strategy).__name__} a {type(self).__name__} needs "
                f"kvae.steps.FusedAdam; got {type(self.optimizer).__name__}."
            )
        with self.distribute_strategy.scope():
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)

    def save_own_variables(self, store: dict[str, Any]) -> None:
        # Keras does not save a seed generator's state: a model resumed from a checkpoint would repeat its noise.
        store["seed_generator"] = self.seed_generator.state.numpy()
        store["made_steps"] = self.made_steps.numpy()

    def load_own_variables(self, store: dict[str, Any]) -> None:
        self.seed_generator.state.assign(store["seed_generator"])
        if "made_steps" in store:  # models from kvae 0.1 lack it
            self.made_steps.assign(store["made_steps"])
