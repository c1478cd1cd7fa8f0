"""What replicas share. test_strategies.py tests that several of them train like one."""

import tensorflow as tf

from kvae.steps import replicas


def test_one_replica_holds_the_whole_batch():
    """Nothing is exchanged or reshaped."""
    assert replicas.count() == 1
    assert tuple(int(number) for number in replicas.rows(5)) == (0, 5)
    values = [tf.ones(3), {"a": tf.zeros([])}]
    assert replicas.summed(values) is values
    assert replicas.mean(values[0], 4) == (values[0], 4)
    assert replicas.logs(values[1]) is values[1]
