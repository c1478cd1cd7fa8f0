"""The input of a model: images, and their labels if they have any."""

from typing import Any, NamedTuple

import tensorflow as tf

from kvae.steps import inputs


class Example(NamedTuple):
    """A batch of images with their labels. Make one from a user's images with `Example.of`, which checks them."""

    images: tf.Tensor
    """float32 `(batch, height, width, channels)` in [0, 1]."""
    label: tf.Tensor | None = None
    """The class of each image, int64 `(batch,)`; None for images without labels."""

    @classmethod
    def of(
        cls, images: Any, image_shape: inputs.Shape | None = None, image_range: inputs.Range = inputs.UNIT
    ) -> "Example":
        """Images as a batch; an `Example` is returned as it is.

        Args:
            images: floats in [0, 1], `(batch, height, width, channels)`, or `(batch, k)` for images of 1 x k.
            image_shape: the model's `(height, width, channels)`, if it is known.
            image_range: what the model's images may hold.

        Raises:
            KvaeError: the images have another shape, dtype or range; see `kvae.steps.inputs`.
        """
        if isinstance(images, cls):
            return images
        return cls(inputs.asserted(inputs.tensor(images, image_shape), image_range))

    @property
    def num_images(self) -> tf.Tensor | int:
        """The number of images, as an integer if it is known when a step is traced."""
        return self.images.shape[0] if self.images.shape[0] is not None else tf.shape(self.images)[0]

    def part(self, first: tf.Tensor | int, size: tf.Tensor | int) -> "Example":
        """`size` images from number `first` on, or as many as are left."""
        return Example(*(None if values is None else values[first : first + size] for values in self))
