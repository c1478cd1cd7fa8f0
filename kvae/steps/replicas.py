"""What the replicas share when training under `tf.distribute`: a batch, its noise, its gradients.

A replica is one device's copy of the model; the device is a GPU, or a process on a CPU. Each gets its share of every
batch, and all make the same update to their copies. Without a strategy there is one replica, which gets whole batches.
"""

from typing import Any

import tensorflow as tf

from kvae.steps.draws import Rows


def count() -> int:
    """The number of replicas; 1 without a strategy."""
    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def exchange(strategy: tf.distribute.Strategy) -> bool:
    """Whether an optimizer of Keras would exchange gradients under a strategy, which it cannot do in a condition.

    A MirroredStrategy does so even with a single replica.
    """
    return strategy.num_replicas_in_sync > 1 or isinstance(strategy, tf.distribute.MirroredStrategy)


def rows(num_images: tf.Tensor | int) -> Rows:
    """The rows of this replica if every replica holds `num_images` of them."""
    context = tf.distribute.get_replica_context()
    return Rows(num_images * context.replica_id_in_sync_group, num_images * context.num_replicas_in_sync)


def summed(values: Any) -> Any:
    """A structure of tensors, summed over all replicas; each of them gets exactly the same bits."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def mean(values: tf.Tensor, num_images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The means over the images of all replicas, from each one's means `(n,)`; and the total number of images."""
    if count() == 1:
        return values, num_images
    weight = tf.cast(num_images, values.dtype)
    # If a batch has fewer images than there are replicas, some replicas have none, and no means.
    sums = summed(tf.concat([tf.where(weight > 0, values * weight, tf.zeros_like(values)), weight[None]], axis=0))
    return tf.math.divide_no_nan(sums[:-1], sums[-1]), sums[-1]


def logs(values: dict[str, Any]) -> dict[str, Any]:
    """The logs of a step in a shape that Keras can average over replicas: it fails on scalars."""
    return values if count() == 1 else {name: tf.reshape(value, [1]) for name, value in values.items()}
