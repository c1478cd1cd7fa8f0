"""Keras callbacks that show how training goes: pictures every few epochs, and TensorBoard events.

They work in any `fit` of a `kvae.model.vae.VAE`, and only observe: the weights are the same with and without them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from kvae.bundle import noise
from kvae.errors import KvaeError
from kvae.files import pictures
from kvae.files.atomic import atomic_file
from kvae.files.text import printable
from kvae.model.calls import takes_label
from kvae.model.vae import VAE
from kvae.runtime import latents
from kvae.steps.example import Example

NUM_SAMPLES = 64
"""Samples in a picture."""
COLUMNS = 16
"""Images per row of the reconstructions."""
MAX_PIXELS = 2**18
"""Pixels that go through a network at a time: more could fill the memory during training."""


class TensorBoard(keras.callbacks.Callback):
    """Writes what `fit` logs after each epoch, and the learning rate, as events for TensorBoard.

    The tags, and the folders `train` and `validation`, are those of `keras.callbacks.TensorBoard`. That callback needs
    the package tensorboard, which TensorFlow no longer installs; this one writes without it (`pip install tensorboard`
    on the machine where you view the events), and each epoch's events are on disk when the epoch ends. Resumed training
    adds a file to the folder. The step of an event is the number of epochs done.

    Args:
        folder: where the events go, for `tensorboard --logdir`; created if it is missing.

    Raises:
        KvaeError: during training, if the folder cannot be written to.
    """

    def __init__(self, folder: Path | str) -> None:
        super().__init__()
        self._folder = Path(folder)
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = {"learning_rate": float(self.model.optimizer.learning_rate)} | (logs or {})
        for name, value in logs.items():
            part = "validation" if name.startswith("val_") else "train"
            self._write(part, f"epoch_{name.removeprefix('val_')}", tf.constant(value, tf.float32), epoch, "scalars")

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def picture(self, tag: str, path: Path, epoch: int) -> None:
        """Write a PNG file as an epoch's image; `epoch` counts from 0, as in `fit`."""
        with Image.open(path) as image:
            size = [str(length) for length in image.size]
        self._write("validation", tag, tf.constant([*size, path.read_bytes()]), epoch, "images")

    def _write(self, part: str, tag: str, value: tf.Tensor, epoch: int, plugin: str) -> None:
        # tf.summary.scalar and tf.summary.image need the package tensorboard; this is what they write.
        kind = tf.compat.v1.SummaryMetadata.PluginData(plugin_name=plugin)
        try:
            if part not in self._writers:
                self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
            with self._writers[part].as_default():
                tf.summary.write(tag, value, epoch + 1, tf.compat.v1.SummaryMetadata(plugin_data=kind))
            self._writers[part].flush()
        except (tf.errors.OpError, OSError) as error:
            reason = getattr(error, "message", "") or str(error)
            raise KvaeError(f"cannot write {self._folder}: {printable(reason)}") from None


class Pictures(keras.callbacks.Callback):
    """Draws samples and reconstructions every few epochs: `samples-0005.png` and `reconstructions-0005.png` after five.

    The samples are the mean images of the codes that `kvae sample` draws with seed 0, the same in every picture; those
    of a conditional model are of each class in turn. They do not use the model's own generator, whose state training
    advances.

    Args:
        folder: where the pictures go; created if it is missing.
        images: the images to reconstruct, `(n, height, width, channels)`, bytes or floats in [0, 1], grey or RGB;
            already binarised for a model of binarised images.
        every: epochs between two pictures, at least 1.
        tensorboard: a callback of the same `fit` that should show them too.
        labels: the class of each image, integers `(n,)`, for a conditional model.

    Raises:
        KvaeError: `images` or `every` is invalid; during training, if the model is not a VAE, or the folder cannot be
            written to.
    """

    def __init__(
        self,
        folder: Path | str,
        images: NDArray[Any],
        every: int = 5,
        tensorboard: TensorBoard | None = None,
        labels: NDArray[Any] | None = None,
    ) -> None:
        super().__init__()
        images = np.asarray(images)
        if images.ndim != 4 or not len(images) or images.shape[-1] not in (1, 3):
            raise KvaeError(f"images must have shape (n, height, width, 1 or 3), n at least 1; got {images.shape}.")
        if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
            raise KvaeError(f"images must be bytes or floats in [0, 1]; got {images.dtype}.")
        if every < 1:
            raise KvaeError(f"every must be at least 1 epoch; got {every}.")
        self._folder = Path(folder)
        self._originals = pictures.to_float32(images) if images.dtype == np.uint8 else images.astype(np.float32)
        self._labels = None if labels is None else np.asarray(labels, np.int64)
        self._every = every
        self._tensorboard = tensorboard

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not isinstance(self.model, VAE):
            raise KvaeError(f"Pictures works only with a kvae.model.vae.VAE; got a {type(self.model).__name__}.")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if (epoch + 1) % self._every:
            return
        z, labels = self._codes()
        decoder = self.model.decoder
        samples = self._images(lambda part, *label: decoder(part, *label, training=False).mean(), z, labels)
        originals, own = self._originals, self._labels
        decoded = self._images(lambda part, *label: self.model(Example(part, *label), training=False), originals, own)
        self._save("samples", pictures.grid(samples), epoch)
        self._save("reconstructions", pictures.reconstructions(originals, decoded, COLUMNS), epoch)

    def _codes(self) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
        """Draws from the prior, and their labels if the decoder takes any."""
        epsilon, prior = latents.prior_draws(0, 0, NUM_SAMPLES, self.model.latent_dim), self.model.prior
        label = None if self.model.num_labels is None else np.arange(NUM_SAMPLES) % self.model.num_labels
        try:
            probs = prior.component_probs()
            weights = None if probs is None else noise.cumulative(probs)
            component = None if weights is None else noise.choices(0, 0, NUM_SAMPLES, weights, noise.COMPONENTS)
            z = prior.from_noise(tf.constant(epsilon), component, label).numpy()
        except NotImplementedError:  # a prior of the user's own, which cannot be exported
            z = epsilon
        return z, label if takes_label(self.model.decoder) else None

    def _images(
        self, network: Callable[..., tf.Tensor], values: NDArray[np.float32], labels: NDArray[np.int64] | None
    ) -> NDArray[np.float32]:
        """A network's output images for these values; NaN, after training diverged, is black."""
        height, width = self._originals.shape[1:3]
        size = max(1, MAX_PIXELS // (height * width))
        inputs: list[NDArray[Any]] = [values] if labels is None else [values, labels]
        parts = [
            network(*(tf.constant(rows[first : first + size]) for rows in inputs))
            for first in range(0, len(values), size)
        ]
        return np.nan_to_num(np.concatenate([tf.cast(part, tf.float32).numpy() for part in parts]))

    def _save(self, name: str, picture: Image.Image, epoch: int) -> None:
        path = self._folder / f"{name}-{epoch + 1:04d}.png"
        with atomic_file(path) as temporary:
            pictures.save(picture, temporary)
        if self._tensorboard is not None:
            self._tensorboard.picture(name, path, epoch)
