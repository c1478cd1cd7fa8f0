"""A record, kept inside the compiled step, of the images that were refused: it works where XLA drops assertions."""

import numpy as np
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.steps import inputs
from kvae.steps.skips import is_finite


class RangeRecord:
    """The least and the largest value of the batches that were out of range."""

    def __init__(self) -> None:
        self._extremes = tf.Variable([0.0, 1.0], trainable=False, aggregation=tf.VariableAggregation.NONE)

    def noted(self, images: tf.Tensor, limits: inputs.Range) -> tf.Tensor:
        """The images; NaN, and the record is changed, if they are out of range: no step is made on them."""
        if tf.executing_eagerly():
            inputs.check_values(images, limits)
            return images
        fine = inputs.in_range(images, limits)
        seen = self._extremes.value()

        def widened() -> tf.Tensor:
            # XLA's minimum passes over NaN.
            odd = tf.where(is_finite(images), 0.0, np.nan)
            least, largest = tf.reduce_min(images), tf.reduce_max(images)
            return tf.stack([tf.minimum(seen[0], least), tf.maximum(seen[1], largest)]) + odd

        self._extremes.assign(tf.cond(fine, lambda: seen, widened))
        return inputs.or_nan(images, fine)

    def check(self, strategy: tf.distribute.Strategy, limits: inputs.Range) -> None:
        """Raise KvaeError, and forget, if a replica has refused images since the last check."""
        for own in strategy.experimental_local_results(self._extremes):
            lowest, highest = map(float, own.numpy())
            if not inputs.is_in_range(lowest, highest, limits):
                own.assign([0.0, 1.0])
                raise KvaeError(inputs.about_range(lowest, highest))
