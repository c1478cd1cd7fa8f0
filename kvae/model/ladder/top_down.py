"""The top-down network: codes -> parameters of the likelihood, group by group."""

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from kvae.model.ladder.blocks import ResidualBlock, Shape, built, conv, scale_of
from kvae.model.ladder.plan import Level, Plan

Codes = Callable[[int, tf.Tensor | None], tf.Tensor]
"""Given a group's number and the top-down state with its activation (None for the first group), the group's codes
`(rows, size)`."""


class Group(layers.Layer):
    """Takes in a group: z = mu_p + sigma_p * code, with the prior's parameters from the state; adds a layer of z to it.

    Args:
        level: the group's level.
        channels: its latent channels.

    Call with the state, the same with its activation, and the codes `(batch, rows * columns * channels)`.
    """

    def __init__(self, level: Level, channels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.latent_shape = (level.rows, level.columns, channels)
        self.prior = conv(2 * channels, 1, zeros=True, name="prior")
        self.latent = conv(level.channels, name="latent")

    def build(self, input_shape: Shape) -> None:
        self.prior.build(input_shape)
        self.latent.build((None, *self.latent_shape))
        self.built = True

    def call(self, state: tf.Tensor, active: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
        loc, raw = tf.split(self.prior(active), 2, axis=-1)
        noise = tf.cast(tf.reshape(codes, [-1, *self.latent_shape]), loc.dtype)
        return state + self.latent(loc + scale_of(raw) * noise)


class Rung(layers.Layer):
    """One level of the top-down network: a residual block, and for each group its codes and another block.

    Args:
        level: the level.
        first: whether it is the coarsest level. For the others, the state is first made twice as large, by a
            convolution to four times the channels, and cropped: doubling may exceed an odd size.

    Call with the state of the level before, and by name the function that gives the codes of this level's groups.
    """

    def __init__(self, level: Level, first: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.level = level
        self.enter = None if first else conv(4 * level.channels, name="enter")
        self.blocks = [ResidualBlock(level.channels) for _ in range(len(level.groups) + 1)]
        self.groups = [Group(level, channels) for channels in level.groups]

    def build(self, input_shape: Shape) -> None:
        if self.enter is not None:
            self.enter.build(input_shape)
        shape = (None, *self.level.shape)
        for block in self.blocks:
            block.build(shape)
        for group in self.groups:
            group.build(shape)
        self.built = True

    def call(self, state: tf.Tensor, codes: Callable[[int, tf.Tensor], tf.Tensor]) -> tf.Tensor:
        if self.enter is not None:
            state = enlarged(self.enter(state), self.level.shape[:2])
        state = self.blocks[0](state)
        for number, (group, block) in enumerate(zip(self.groups, self.blocks[1:], strict=True)):
            active = tf.nn.silu(state)
            state = block(group(state, active, codes(number, active)))
        return state


class TopDown(layers.Layer):
    """Codes -> the likelihood's parameters before any activation, `(batch, height, width, outputs)`.

    Args:
        plan: the ladder's sizes.
        outputs: channels of the outputs.
        num_labels: number of classes; None for a network without labels.

    Call with codes `(batch, latent_dim)` and labels `(batch,)` or None.
    """

    activation = staticmethod(keras.activations.linear)
    """What bounds the outputs: nothing; see `kvae.model.logits`."""

    def __init__(self, plan: Plan, outputs: int, num_labels: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.plan = plan
        coarsest = plan.levels[-1]
        self.hidden = layers.Dense(plan.hidden_units, name="hidden")
        self.label = None if num_labels is None else layers.Embedding(num_labels, plan.hidden_units, name="label")
        self.pixels = layers.Dense(coarsest.rows * coarsest.columns * coarsest.channels, name="pixels")
        self.rungs = [Rung(level, level is coarsest) for level in reversed(plan.levels)]
        small = keras.initializers.VarianceScaling(0.1)  # at first the outputs are near 0: no pixel is certain
        self.last = layers.Conv2D(4 * outputs, 3, padding="same", kernel_initializer=small, name="last")

    def build(self, input_shape: Shape) -> None:
        shape: Shape = built(self.hidden, (None, self.plan.dense_dim))
        self.pixels.build(shape)
        if self.label is not None:
            self.label.build((None,))
        shape = (None, *self.plan.levels[-1].shape)
        for rung, level in zip(self.rungs, reversed(self.plan.levels), strict=True):
            rung.build(shape)
            shape = (None, *level.shape)
        self.last.build(shape)
        self.built = True

    def descend(self, codes: Codes, label: tf.Tensor | None = None) -> tf.Tensor:
        """The state after all groups, `(rows, ...)` at half the image's size; each group's codes are asked for once."""
        hidden = self.hidden(tf.cast(codes(0, None), self.compute_dtype))
        if self.label is not None and label is not None:
            hidden += self.label(label)
        coarsest, number = self.plan.levels[-1], 1
        state = tf.reshape(self.pixels(tf.nn.silu(hidden)), [-1, *coarsest.shape])
        for rung in self.rungs:
            state = rung(state, codes=partial(_offset, codes, number))
            number += len(rung.groups)
        return state

    def finish(self, state: tf.Tensor) -> tf.Tensor:
        """The outputs, from the state after all groups."""
        return enlarged(self.last(tf.nn.silu(state)), self.plan.image_shape[:2])

    def call(self, z: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
        parts = tf.split(z, self.plan.groups, axis=-1)
        return self.finish(self.descend(lambda number, active: parts[number], label))


def _offset(codes: Codes, first: int, number: int, active: tf.Tensor) -> tf.Tensor:
    return codes(first + number, active)


def enlarged(inputs: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Sub-pixel upsampling: `(batch, h, w, 4 c)` -> `(batch, *size, c)`, the size at most 2 h x 2 w.

    Reference: Shi et al., arXiv 1609.05158.
    """
    outputs = tf.nn.depth_to_space(inputs, 2)
    if tuple(outputs.shape[1:3]) == size:
        return outputs
    return outputs[:, : size[0], : size[1]]
