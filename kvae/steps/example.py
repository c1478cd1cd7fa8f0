"""The input of a model: images, and their labels if they have any."""

from typing import Any, NamedTuple

import tensorflow as tf

from kvae.errors import KvaeError


class Example(NamedTuple):
    """A batch of images with their labels. Make one from a user's images with `Example.of`, which checks them."""

    images: tf.Tensor
    """float32 `(batch, height, width, channels)` in [0, 1]."""
    label: tf.Tensor | None = None
    """The class of each image, int64 `(batch,)`; None for images without labels."""

    @classmethod
    def of(cls, images: Any) -> "Example":
        """Images as a batch; an `Example` is returned as it is.

        Raises:
            KvaeError: the images are integers, or their rank is not 4.
        """
        if isinstance(images, cls):
            return images
        # Make even a numpy array a tensor: TFP would cast an array to the likelihood's own dtype, which for its
        # Bernoulli is an integer.
        images = tf.convert_to_tensor(images)
        if not images.dtype.is_floating:
            raise KvaeError(f"images must be floats in [0, 1]; got {images.dtype.name}. Divide bytes by 255.")
        if images.shape.rank != 4:
            raise KvaeError(f"images must have shape (batch, height, width, channels); got {tuple(images.shape)}.")
        return cls(tf.cast(images, tf.float32))

    @property
    def num_images(self) -> tf.Tensor | int:
        """The number of images, as an integer if it is known when a step is traced."""
        return self.images.shape[0] if self.images.shape[0] is not None else tf.shape(self.images)[0]

    def part(self, first: tf.Tensor | int, size: tf.Tensor | int) -> "Example":
        """`size` images from number `first` on, or as many as are left."""
        return Example(*(None if values is None else values[first : first + size] for values in self))
