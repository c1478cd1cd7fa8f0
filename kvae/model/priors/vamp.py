"""The VampPrior: the mixture of the posteriors of learned pseudo-inputs."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from kvae.config import PRIOR_COMPONENTS, ModelConfig
from kvae.errors import KvaeError
from kvae.model.calls import returned, takes_label
from kvae.model.gaussians import mixture
from kvae.model.posteriors import Hierarchical
from kvae.model.priors.fixed import Fixed
from kvae.model.priors.prior import Prior
from kvae.model.priors.reparameterized import diagonal
from kvae.steps.threads import num_parts

START, SPREAD = 0.5, 0.1
"""Mean and standard deviation of the pixels that pseudo-inputs begin with, unless they begin as training images."""
REPEATED = 0.1
"""Standard deviation of the noise by which pseudo-inputs differ that begin as the same image."""


@keras.saving.register_keras_serializable("kvae")
class Vamp(Prior):
    """p(z) = 1/K sum_k q(z|u_k): as in the paper, K posteriors of equal weight, whose images u_k are learned.

    For a conditional encoder it is p(z|y), the mixture of the posteriors of the pseudo-inputs that have the label y:
    pseudo-input k has the label k mod num_labels, and there are as many of each. If the posterior is a hierarchy of
    groups of latent dimensions, the first group follows the posteriors and the others are N(0, I), as in the paper's
    model of two levels.

    Args:
        latent_dim: number of latent dimensions.
        image_shape: `(height, width, channels)` of the pseudo-inputs.
        num_components: K; 500 by default, as in the paper. A step encodes them all, so it costs as much as encoding K
            more images. With labels, K is that of all labels together, rounded up to as many of each.

    Raises:
        KvaeError: when it is called, if it is not part of a VAE, or the encoder's posterior is not a diagonal Gaussian.

    Reference: Tomczak & Welling, VAE with a VampPrior, arXiv 1705.07120.
    """

    set_once = ("latent_dim", "image_shape", "num_components")
    _encoder: Callable[[], Any] | None = None

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        num_components: int = PRIOR_COMPONENTS["vamp"],
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, **kwargs)
        self.image_shape = tuple(image_shape)
        self.num_components = num_components

    def build(self, input_shape: Any = None) -> None:
        if self.built:
            return
        start = keras.initializers.RandomNormal(START, SPREAD)
        self.pseudo_inputs = self.add_weight(
            shape=(self._count(), *self.image_shape), initializer=start, name="pseudo_inputs"
        )
        self.built = True

    def _count(self) -> int:
        """How many pseudo-inputs there are."""
        return self.num_components if self.num_labels is None else self._per_label() * self.num_labels

    def _per_label(self) -> int:
        return -(-self.num_components // (self.num_labels or 1))

    def bind(self, encoder: keras.Layer) -> None:
        """Use this encoder's posteriors; a `VAE` calls it with its own."""
        self._encoder = lambda: encoder  # not as an attribute: Keras would save its weights a second time
        self.num_labels = int(encoder.num_labels) if takes_label(encoder) else None

    def start_from(self, images: NDArray[np.uint8], labels: NDArray[Any] | None = None) -> None:
        """Let the pseudo-inputs begin as training images, evenly chosen from all, or from those of their label.

        Args:
            images: uint8 `(n, height, width, channels)`.
            labels: the class of each, `(n,)`, for a conditional model.
        """
        self.build()
        numbers = self._labels()
        if numbers is None or labels is None:
            chosen = _evenly(np.arange(len(images)), self._count())
        else:
            chosen = np.zeros(self._count(), np.int64)
            for number in np.unique(numbers):
                own = np.flatnonzero(labels == number)
                own = own if len(own) else np.arange(len(images))  # a class without images
                chosen[numbers == number] = _evenly(own, int(np.sum(numbers == number)))
        pixels = np.asarray(images[chosen], np.float32) / 255.0
        noise = np.random.default_rng(0).normal(0.0, REPEATED, pixels.shape).astype(np.float32)
        is_first = np.isin(np.arange(len(chosen)), np.unique(chosen, return_index=True)[1])
        self.pseudo_inputs.assign(pixels + np.where(is_first[:, None, None, None], 0.0, noise))

    def _labels(self) -> NDArray[np.int64] | None:
        """The label of each pseudo-input, `(components,)`; None if the encoder takes none."""
        if self._encoder is None:
            raise KvaeError("a VampPrior is computed with an encoder: make it part of a VAE before it is used.")
        return None if self.num_labels is None else np.arange(self._count()) % self.num_labels

    def call(self, label: tf.Tensor | None = None) -> Any:
        loc, scale = self.components()
        if self.num_labels is None:
            return mixture(tf.zeros(self.num_components), loc, scale)
        return _of_label(_by_label(loc, self.num_labels), _by_label(scale, self.num_labels), label)

    def components(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Means and scales of all pseudo-inputs' posteriors, each `(pseudo-inputs, latent_dim)`."""
        numbers, pixels = self._labels(), _clipped(self.pseudo_inputs.value)
        label = None if numbers is None else tf.constant(numbers, tf.int64)
        # Like a batch, in parts that run side by side if each operation has one thread.
        size = -(-self._count() // num_parts(xla=False))
        parts = [
            self._encoded(pixels[first : first + size], None if label is None else label[first : first + size])
            for first in range(0, self._count(), size)
        ]
        if len(parts) == 1:
            return parts[0]
        loc, scale = (tf.concat(values, axis=0) for values in zip(*parts, strict=True))
        return loc, scale

    def _encoded(self, pixels: tf.Tensor, label: tf.Tensor | None) -> tuple[tf.Tensor, tf.Tensor]:
        encoder = self._encoder and self._encoder()
        # Never as in training: a pseudo-input is an image as it is, and no part of a batch's statistics.
        posterior = returned("encoder", encoder, pixels, label, event=[self.latent_dim])
        if isinstance(posterior, Hierarchical):
            return self._of_groups(posterior, encoder, pixels.shape[0])
        return _diagonal(posterior)

    def _of_groups(self, posterior: Hierarchical, encoder: Any, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        groups = getattr(encoder, "groups", None)
        if not groups:
            raise KvaeError("a VampPrior of a posterior in groups needs the encoder's attribute 'groups', their sizes.")
        _, at_zero = posterior.at(tf.zeros([1, count, self.latent_dim]))
        loc, scale = (values[0] for values in _diagonal(at_zero))
        first = tf.range(self.latent_dim) < int(groups[0])
        return tf.where(first, loc, 0.0), tf.where(first, scale, 1.0)

    def frozen(self) -> Prior:
        """The mixture that it equals now."""
        loc, scale = (tf.constant(values.numpy()) for values in self.components())
        if self.num_labels is None:
            return Fixed(mixture(tf.zeros(self.num_components), loc, scale))
        return ConditionalMixture(_by_label(loc, self.num_labels), _by_label(scale, self.num_labels))

    @classmethod
    def of_config(cls, config: ModelConfig, image_shape: tuple[int, int, int], num_labels: int | None = None) -> "Vamp":
        return cls(config.latent_dim, image_shape, config.prior_components or PRIOR_COMPONENTS["vamp"])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"image_shape": self.image_shape, "num_components": self.num_components}


class ConditionalMixture(Prior):
    """The mixtures that a conditional VampPrior equals now, for an export.

    Args:
        loc: means, `(labels, components, latent_dim)`.
        scale: standard deviations, in the same shape.
    """

    def __init__(self, loc: tf.Tensor, scale: tf.Tensor) -> None:
        super().__init__(int(loc.shape[-1]))
        self.num_labels = int(loc.shape[0])
        self._loc, self._scale = loc, scale

    def call(self, label: tf.Tensor | None = None) -> Any:
        return _of_label(self._loc, self._scale, label)


def _by_label(values: tf.Tensor, num_labels: int) -> tf.Tensor:
    """Of pseudo-inputs whose labels take turns: `(labels, components, latent_dim)`."""
    return tf.transpose(tf.reshape(values, [-1, num_labels, values.shape[-1]]), [1, 0, 2])


def _of_label(loc: tf.Tensor, scale: tf.Tensor, label: tf.Tensor | None) -> Any:
    """The mixture of each label's components, all of equal weight."""
    return mixture(tf.zeros(loc.shape[1]), tf.gather(loc, label), tf.gather(scale, label))


def _evenly(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """`count` of these indices, evenly spaced, or all of them over and over."""
    return indices[np.arange(count) * max(1, len(indices) // count) % len(indices)]


def _diagonal(posterior: Any) -> tuple[tf.Tensor, tf.Tensor]:
    try:
        return diagonal(posterior)
    except NotImplementedError:
        raise KvaeError(
            f"a VampPrior needs an encoder that returns a diagonal Gaussian; it returns a {type(posterior).__name__}."
        ) from None


@tf.custom_gradient
def _clipped(values: tf.Tensor) -> Any:
    """Values clipped to [0, 1].

    Those at a bound, or beyond it, have no gradient further outwards, but one back: none is lost for good.
    """

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        outwards = ((values <= 0.0) & (upstream > 0.0)) | ((values >= 1.0) & (upstream < 0.0))  # of a descent
        return tf.where(outwards, tf.zeros_like(upstream), upstream)

    return tf.clip_by_value(values, 0.0, 1.0), gradient


PRIOR = Vamp
