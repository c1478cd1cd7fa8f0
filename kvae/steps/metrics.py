"""Means over the images of an epoch, of which every replica keeps its own copy."""

import keras
import tensorflow as tf


class ImageMean(keras.metrics.Metric):
    """A weighted mean that is NaN, not 0, while it is empty, e.g. because all steps were skipped.

    Every replica keeps its own copy and adds the means of the whole batch, so the copies always agree. Keras's own
    metrics are summed over replicas when they are read, and would wait for all processes to read them.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.total, self.count = (
            keras.Variable(0.0, dtype="float32", trainable=False, aggregation="none", name=name)
            for name in ("total", "count")
        )

    def update_state(self, value: tf.Tensor, sample_weight: tf.Tensor) -> None:
        """Add the mean of `sample_weight` more images."""
        weight = tf.cast(sample_weight, tf.float32)
        self.total.assign(self.total + value * weight)
        self.count.assign(self.count + weight)

    def result(self) -> tf.Tensor:
        """The mean so far."""
        return self.total / self.count
