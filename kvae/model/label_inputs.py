"""Labels as inputs of networks: one-hot rows beside a code, and a learned plane beside the channels of an image."""

from typing import Any

import keras
import tensorflow as tf

from kvae.steps.set_once import SetOnce


def one_hot(label: tf.Tensor, num_labels: int, dtype: Any = tf.float32) -> tf.Tensor:
    """Labels int64 `(batch,)` as rows of a 1 among zeros, `(batch, num_labels)`."""
    # Not tf.gather, whose gradient is sparse, nor tf.one_hot: few runtimes of graphs are quick at either.
    return tf.cast(label[:, None] == tf.range(num_labels, dtype=tf.int64), dtype)


@keras.saving.register_keras_serializable("kvae")
class LabelPlane(SetOnce, keras.layers.Layer):
    """Appends a learned plane to images, one for each label, as one more channel.

    So any network of images can take labels, if it is made for one channel more.

    Args:
        num_labels: number of classes.

    Call with images `(batch, height, width, channels)` and labels int64 `(batch,)`; returns
    `(batch, height, width, channels + 1)`.
    """

    set_once = ("num_labels",)

    def __init__(self, num_labels: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_labels = num_labels

    def build(self, input_shape: tuple[Any, ...]) -> None:
        _, height, width, _ = input_shape
        self.planes = self.add_weight((self.num_labels, height * width), "uniform", name="planes")
        self.built = True

    def call(self, images: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        planes = tf.matmul(one_hot(label, self.num_labels, images.dtype), tf.cast(self.planes, images.dtype))
        return tf.concat([images, tf.reshape(planes, [-1, *images.shape[1:3], 1])], axis=-1)

    def compute_output_shape(self, input_shape: tuple[Any, ...], *_: Any) -> tuple[Any, ...]:
        return with_plane(input_shape)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"num_labels": self.num_labels}


def with_plane(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shape of images, batched or not, once they have the plane."""
    return (*shape[:-1], shape[-1] + 1)
