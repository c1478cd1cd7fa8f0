"""The random numbers of a step: functions of a seed and an image's position, wherever they are computed."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae, random_images

from kvae.steps.draws import Draws, Rows
from kvae.steps.example import Example
from kvae.steps.parts import side_by_side

SEED = tf.constant([3, 4], tf.int32)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_rows_are_those_of_the_batch(jit_compile):
    """Even if the first row's index is only known at run time, which XLA must be able to compile."""
    algorithm = "threefry" if jit_compile else "philox"

    @tf.function(jit_compile=jit_compile)
    def drawn(first, count):
        return Draws(SEED, Rows(first, 6), algorithm).skip(1).normal(2, count, 4)

    whole = np.concatenate([drawn(tf.constant(-1), 3), drawn(tf.constant(2), 3)], axis=1)
    assert whole.shape == (2, 6, 4)
    np.testing.assert_array_equal(drawn(tf.constant(1), 3), whole[:, 2:5])
    assert len(np.unique(whole)) == whole.size


@pytest.mark.parametrize("num_parts", [1, 2, 4])
def test_an_image_s_draw_depends_only_on_its_position_in_the_batch(num_parts):
    """The terms of a batch are those of its shares, however each is computed; no two shares have the same noise."""
    vae = make_vae()
    images = random_images(6)
    whole = vae.terms(images, SEED)

    def terms(example, draws):
        return side_by_side(lambda part, own: vae.terms(part, own), example, draws, num_parts)

    shares = [
        terms(Example.of(images[first:end]), Draws(SEED, Rows(first, 6)))
        for first, end in ((0, 1), (1, 4), (4, 6))
        if end - first >= num_parts or num_parts == 1
    ]
    if num_parts == 1:
        for values, parts in zip(whole, zip(*shares, strict=True), strict=True):
            np.testing.assert_allclose(np.concatenate(parts, axis=-1), values, rtol=1e-5)
    for values, parts in zip(whole, terms(Example.of(images), Draws.of(SEED, 6)), strict=True):
        np.testing.assert_allclose(parts, values, rtol=1e-5)
    same = np.repeat(images[:1], 6, axis=0)
    assert len(np.unique(vae.terms(same, SEED).distortion)) == 6
