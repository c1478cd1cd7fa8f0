"""What a replica of a training under `tf.distribute` shares with the others: a batch, its noise, its gradients.

A replica is one device's copy of the model: a GPU, or a process on a CPU. Each is given its share of every batch, and
all make the same update of their copies. Without a strategy there is one replica, whose share is the whole batch.
"""

from typing import Any

import tensorflow as tf

from kvae.steps.draws import Rows


def count() -> int:
    """The number of replicas; 1 without a strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def rows(num_images: tf.Tensor | int) -> Rows:
    """The rows of this replica where all hold the same number of them, which is `num_images`."""
    context = tf.distribute.get_replica_context()
    return Rows(num_images * context.replica_id_in_sync_group, num_images * context.num_replicas_in_sync)


def summed(values: Any) -> Any:
    """The sums over all replicas of a structure of tensors, the same bits on each of them."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def mean(values: tf.Tensor, num_images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The means over the images of all replicas, of each one's means `(n,)`; and the number of these images."""
    if count() == 1:
        return values, num_images
    weight = tf.cast(num_images, values.dtype)
    # Of a batch with fewer images than there are replicas some have none, and no means.
    sums = summed(tf.concat([tf.where(weight > 0, values * weight, tf.zeros_like(values)), weight[None]], axis=0))
    return tf.math.divide_no_nan(sums[:-1], sums[-1]), sums[-1]


def logs(values: dict[str, Any]) -> dict[str, Any]:
    """The logs of a step in the shape of which Keras can take a mean over replicas: it fails on scalars."""
    return values if count() == 1 else {name: tf.reshape(value, [1]) for name, value in values.items()}
