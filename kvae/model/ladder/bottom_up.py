"""The bottom-up network: images -> what each group's posterior needs to know of them."""

import math
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from kvae.model.ladder.blocks import ResidualBlock, Shape, built, conv, scale_of
from kvae.model.ladder.plan import Level, Plan


class Stage(layers.Layer):
    """One level of the bottom-up network: a convolution of stride 2, residual blocks, and a convolution for each group.

    Args:
        level: the level.
        num_labels: number of classes, if the labels come in here.

    Call with the state of the level before, and labels or None; returns this level's state, the same with its
    activation, and a list of the evidence for each group.
    """

    def __init__(self, level: Level, num_labels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level = level
        self.enter = conv(level.channels, 4, strides=2, name="enter")
        self.blocks = [ResidualBlock(level.channels) for _ in range(level.blocks)]
        self.evidence = [conv(level.channels) for _ in level.groups]
        self.label = None if num_labels is None else layers.Embedding(num_labels, level.channels, name="label")

    def build(self, input_shape: Shape) -> None:
        self.enter.build(input_shape)
        for layer in (*self.blocks, *self.evidence):
            layer.build((None, *self.level.shape))
        if self.label is not None:
            self.label.build((None,))
        self.built = True

    def call(self, state: tf.Tensor, label: tf.Tensor | None = None) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        state = self.enter(state)
        if self.label is not None:
            state += self.label(label)[:, None, None]
        for block in self.blocks:
            state = block(state)
        active = tf.nn.silu(state)
        return state, active, [layer(active) for layer in self.evidence]


class BottomUp(layers.Layer):
    """Stages from the finest level to the coarsest, and a dense layer.

    Args:
        plan: the ladder's sizes.
        num_labels: number of classes; None for a network without labels.

    Call with images `(batch, height, width, channels)` and labels `(batch,)` or None; returns a list of the evidence
    for each group, from the coarsest on: `(batch, hidden_units)`, then `(batch, rows, columns, channels)` of its level.
    """

    def __init__(self, plan: Plan, num_labels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        first, *others = plan.levels
        self.stages = [Stage(first, num_labels), *(Stage(level) for level in others)]
        self.dense = layers.Dense(plan.hidden_units, "silu", name="dense")

    def build(self, input_shape: Shape) -> None:
        shape = input_shape
        for stage in self.stages:
            stage.build(shape)
            shape = (None, *stage.level.shape)
        self.dense.build((None, math.prod(self.plan.levels[-1].shape)))
        self.built = True

    def call(self, images: tf.Tensor, label: tf.Tensor | None = None) -> list[tf.Tensor]:
        state = images
        found: list[tf.Tensor] = []
        for number, stage in enumerate(self.stages):
            state, active, evidence = stage(state, label if number == 0 else None)
            found = evidence + found  # the coarsest first
        return [self.dense(tf.reshape(active, [-1, math.prod(self.plan.levels[-1].shape)])), *found]


class DenseHead(layers.Layer):
    """The posterior of the first group, from its evidence `(batch, units)`: loc and scale, `(batch, size)` each."""

    def __init__(self, size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.last = layers.Dense(2 * size, kernel_initializer="zeros", name="last")

    def build(self, input_shape: Shape) -> None:
        self.last.build(input_shape)
        self.built = True

    def call(self, evidence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        loc, raw = tf.split(tf.cast(self.last(evidence), tf.float32), 2, axis=-1)
        return loc, scale_of(raw)


class SpatialHead(layers.Layer):
    """The posterior of a group of pixels, from the evidence and the top-down state.

    Both are relative to the prior: loc is (mu_q - mu_p) / sigma_p, and scale sigma_q / sigma_p. They begin at 0 and 1.

    Args:
        level: the group's level.
        channels: its latent channels.

    Call with the active state and the evidence, both `(batch, rows, columns, channels)`; returns loc and scale,
    `(batch, rows * columns * channels)` each.
    """

    def __init__(self, level: Level, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = level.rows * level.columns * channels
        self.state = conv(level.channels, name="state")
        self.last = conv(2 * channels, 1, zeros=True, name="last")

    def build(self, input_shape: Shape) -> None:
        built(self.last, built(self.state, input_shape))
        self.built = True

    def call(self, state: tf.Tensor, evidence: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = tf.cast(self.last(tf.nn.silu(evidence + self.state(state))), tf.float32)
        loc, raw = (tf.reshape(part, [-1, self.size]) for part in tf.split(outputs, 2, axis=-1))
        return loc, scale_of(raw)


def heads(plan: Plan) -> list[keras.layers.Layer]:
    """The posteriors' layers, a `DenseHead` and a `SpatialHead` for each further group, and in order."""
    spatial = [SpatialHead(level, channels) for level in reversed(plan.levels) for channels in level.groups]
    return [DenseHead(plan.dense_dim), *spatial]
