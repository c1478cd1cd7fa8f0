"""What replicas share. That several of them train as one does is tested in test_strategies.py."""

import tensorflow as tf

from kvae.steps import replicas


def test_one_replica_holds_the_whole_batch():
    """Nothing is exchanged, and nothing reshaped."""
    assert replicas.count() == 1
    assert tuple(int(number) for number in replicas.rows(5)) == (0, 5)
    values = [tf.ones(3), {"a": tf.zeros([])}]
    assert replicas.summed(values) is values
    assert replicas.mean(values[0], 4) == (values[0], 4)
    assert replicas.logs(values[1]) is values[1]
