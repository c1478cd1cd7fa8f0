"""The random numbers of a step: functions of a seed and an image's position, wherever they are computed."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae, random_images

from kvae.errors import KvaeError
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


@pytest.mark.parametrize(
    "seed", ["a", 3, (1, 2, 3), [1.5, 2.0], None, [[1, 2]], True, {"a": 1}, [2**31, 0], [2**40, 0]]
)
def test_a_seed_that_is_not_two_integers_is_refused(seed):
    with pytest.raises(KvaeError, match="two integers") as error:
        Draws.of(seed, 4)
    assert str(seed) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("kind", [tuple, np.array, np.uint8, tf.constant, lambda pair: tf.constant(pair, tf.int64)])
def test_two_integers_of_any_kind_are_a_seed(kind):
    found = Draws.of(kind([3, 4]), 5)
    assert found.seed.dtype == tf.int32
    np.testing.assert_array_equal(found.seed, [3, 4])
    assert Draws.of(found, 5) is found


def test_a_seed_may_be_known_only_when_a_graph_runs():
    @tf.function
    def noise(seed):
        return Draws.of(seed, 5).normal(1, 5, 2)

    for dtype in (tf.int32, tf.int64):
        np.testing.assert_array_equal(noise(tf.constant([3, 4], dtype)), Draws.of([3, 4], 5).normal(1, 5, 2))
