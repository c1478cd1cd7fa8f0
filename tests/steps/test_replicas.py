"""What replicas share. That several of them train as one does is tested in test_strategies.py."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import make_vae, random_images

from kvae.steps import replicas

SEED = tf.constant([3, 4], tf.int32)


def test_one_replica_holds_the_whole_batch():
    """Nothing is exchanged, and nothing reshaped."""
    assert replicas.count() == 1
    assert tuple(int(number) for number in replicas.rows(5)) == (0, 5)
    values = [tf.ones(3), {"a": tf.zeros([])}]
    assert replicas.summed(values) is values
    assert replicas.mean(values[0], 4) == (values[0], 4)
    assert replicas.logs(values[1]) is values[1]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_rows_are_those_of_the_batch(jit_compile):
    """Also where the first one's number is known at run time alone, which XLA must be able to compile."""
    batch = tf.reshape(tf.range(24), (6, 4))

    @tf.function(jit_compile=jit_compile)
    def own(first):
        return replicas.Rows(first, 6).skip(1).of(batch, 3)

    np.testing.assert_array_equal(own(tf.constant(2)), batch[3:6])


@pytest.mark.parametrize("num_parts", [1, 2])
def test_an_image_s_draw_depends_on_its_place_in_the_batch_alone(num_parts):
    """Terms of a batch are those of its shares, however each is computed; shares do not repeat each other's noise."""
    vae = make_vae()
    images = random_images(6)
    whole = vae.terms(images, SEED)
    vae.num_parts = num_parts
    shares = [
        vae.terms(images[first:end], SEED, rows=replicas.Rows(first, 6)) for first, end in ((0, 1), (1, 4), (4, 6))
    ]
    for values, parts in zip(whole, zip(*shares, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(parts), values, rtol=1e-5)
    same = np.repeat(images[:1], 6, axis=0)
    assert len(np.unique(vae.terms(same, SEED).distortion)) == 6
