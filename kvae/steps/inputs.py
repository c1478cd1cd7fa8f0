"""What goes into a model: images are checked here for `fit`, `evaluate`, `predict`, `terms` and your own loops.

An image is floats in [0, 1], `(height, width, channels)`. What is not is refused with the range, the dtype or the
shape that was seen, and the one-line repair. Arrays are checked before anything is computed, streams batch by batch.
"""

import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from kvae.errors import KvaeError
from kvae.files.text import printable
from kvae.numbers import rescaled

Shape = tuple[int | None, ...]
Range = tuple[float, float]

TOLERANCE = 1e-5
"""How far beyond 0 and 1 a float may be: rounding, in a resize for example, goes no further."""
UNIT: Range = (0.0 - TOLERANCE, 1.0 + TOLERANCE)
"""What images are: floats in [0, 1]."""
ANY: Range = (-3e38, 3e38)
"""What a table may be whose model is made for it: any finite numbers."""
CHANNELS = (1, 3, 4)
"""The usual numbers of channels, by which images without the model's shape are recognised as channels first."""
ROWS = 4096
"""Rows of an array that are checked at a time, because it may be mapped from a larger disk."""


def tensor(images: Any, image_shape: Shape | None = None) -> tf.Tensor:
    """A batch as float32 `(batch, height, width, channels)`; its values are not looked at.

    Args:
        images: anything that TensorFlow makes a tensor of; a table `(batch, k)` becomes images of 1 x k.
        image_shape: the model's `(height, width, channels)`, if it is known.

    Raises:
        KvaeError: it is not a tensor of floats, or has another shape.
    """
    try:
        # Make even a numpy array a tensor: TFP would cast an array to the likelihood's own dtype, which for its
        # Bernoulli is an integer.
        found = tf.convert_to_tensor(images)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise KvaeError(
            f"images must be one array of floats; got a {type(images).__name__} ({printable(error)})."
        ) from None
    if not found.dtype.is_floating:
        raise KvaeError(_about_dtype(found.dtype.name, *(_extremes(found.numpy()) if _is_eager(found) else ())))
    if found.shape.rank is None:
        if image_shape is None:
            raise KvaeError(
                "this stream does not say the shape of its images: give it an output_signature, or build the model."
            )
        found = tf.ensure_shape(found, [None, *image_shape])
    shape = batch_shape(tuple(found.shape), image_shape)
    found = tf.cast(found, tf.float32)
    return found if found.shape.rank == 4 else tf.reshape(found, [-1, *shape[1:]])


def batch_shape(shape: Shape, image_shape: Shape | None = None) -> Shape:
    """The shape `(batch, height, width, channels)` of a batch of this shape; KvaeError if it is not one of images."""
    if len(shape) == 2 and shape[1] is not None and image_shape in (None, (1, shape[1], 1)):
        return shape[0], 1, shape[1], 1
    if len(shape) != 4 or not _fits(shape[1:], image_shape):
        raise KvaeError(_about_shape(shape, image_shape))
    return shape


def check_values(images: Any, limits: Range = UNIT) -> None:
    """Raise KvaeError if the floats of a tensor or array are out of range; in a graph, which has no values, pass."""
    if isinstance(images, tf.Tensor) and not _is_eager(images):
        return
    lowest, highest = _extremes(images)
    if not is_in_range(lowest, highest, limits):
        raise KvaeError(about_range(lowest, highest, tuple(images.shape)))


def check_array(images: Any, image_shape: Shape | None = None, limits: Range = UNIT) -> None:
    """Raise KvaeError unless all of an array is images, before any of it is used; streams are left to `tensor`."""
    if not hasattr(images, "__array__") or not hasattr(images, "shape"):
        return
    shape = tuple(images.shape)
    if not math.prod(shape):
        raise KvaeError(f"there are no images: the array has shape {shape}.")
    dtype = np.asarray(images[:1] if shape else images).dtype
    if not _is_float(dtype):
        raise KvaeError(_about_dtype(dtype.name, *(_extremes(images) if shape and dtype.kind in "iub" else ())))
    batch_shape(shape, image_shape)
    check_values(images, limits)


def asserted(images: tf.Tensor, limits: Range = UNIT) -> tf.Tensor:
    """The images, refused if they are out of range: at once if their values are known, else when the graph runs.

    XLA drops assertions, so in a graph images outside become NaN, too: a loss of NaN rather than a plausible one.
    """
    if _is_eager(images):
        check_values(images, limits)
        return images
    fine = in_range(images, limits)
    tf.debugging.Assert(fine, ["images must be in [0, 1]; got", tf.reduce_min(images), "to", tf.reduce_max(images)])
    return or_nan(images, fine)


def in_range(images: tf.Tensor, limits: Range = UNIT) -> tf.Tensor:
    """Whether all values are in range; not if one is NaN. A boolean scalar."""
    # XLA is quicker over one axis and then the others than over all at once.
    inside = (images >= limits[0]) & (images <= limits[1])
    return tf.reduce_all(tf.reduce_all(inside, axis=0))


def or_nan(images: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """The images, or NaN if they are not wanted."""
    return images + tf.where(wanted, 0.0, np.nan)


def is_in_range(lowest: float, highest: float, limits: Range = UNIT) -> bool:
    """Whether these extremes are in range; not if one is NaN."""
    return lowest >= limits[0] and highest <= limits[1]


def about_range(lowest: float, highest: float, shape: Shape | None = None) -> str:
    """The message for floats out of range."""
    of = "" if shape is None else f" of shape {shape}"
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        return f"images must be in [0, 1]; got NaN or infinity in floats{of}. Leave those images out: {_FINITE}."
    undo = ", or undo the standardisation: x * std + mean" if lowest < -1 - TOLERANCE else ""
    repair = f"Rescale them: {rescaled(lowest, highest)}{undo}."
    return f"images must be in [0, 1]; got floats from {lowest:g} to {highest:g}{of}. {repair}"


def images_and_labels(batch: Any) -> tuple[Any, Any]:
    """A batch of a stream, as Keras passes it on, as its images and the labels beside them, or None.

    Raises:
        KvaeError: it has something that no model of images uses, such as sample weights.
    """
    images, labels, weights = (tuple(batch) + (None, None))[:3] if _is_pair(batch) else (batch, None, None)
    if _is_pair(images) and not images:
        raise KvaeError(about_none("a batch"))
    if _is_pair(images) and labels is None and len(images) <= 2:  # fit((x_train, y_train))
        images, labels = (*images, None)[:2]
    if isinstance(images, Mapping):
        names = ", ".join(map(str, images))
        raise KvaeError(
            f"a batch must be images, or (images, labels); got a dict of {printable(names)}. "
            f"Name one: dataset.map(lambda batch: batch['{printable(next(iter(images), 'image'))}'])."
        )
    if _is_pair(images):
        repair = "Give the images of one split alone" if _is_pair(labels) else "Use np.stack"
        raise KvaeError(f"a batch must be images, or (images, labels); got {len(images)} arrays. {repair}.")
    if weights is not None:
        raise KvaeError("all images weigh alike: sample_weight and class_weight are not used here. Leave them out.")
    return images, labels


def stream(images: Any) -> Any:
    """What `fit` is given as `x`, with the batches of an iterator as tuples, as Keras wants them of a generator."""
    if images is None or isinstance(images, (str, bytes, int, float, os.PathLike)):
        raise KvaeError(
            f"x must be images, an array or a stream of batches; got {printable(repr(images), 100)}. "
            f"Files are read by kvae.data.datasets.of(TrainConfig(data=PATH))."
        )
    if isinstance(images, tf.data.Dataset) and images.cardinality() == 0:
        raise KvaeError(about_none("the stream"))
    if not isinstance(images, Iterator):
        return images
    first = list(itertools.islice(images, 1))
    if not first:
        raise KvaeError(about_none("the stream"))
    return (tuple(batch) if _is_pair(batch) else (batch,) for batch in itertools.chain(first, images))


def about_none(where: str) -> str:
    """The message for a stream or a batch that holds nothing."""
    return f"there are no images: {where} is empty. Give at least one batch; an iterator can be used only once."


def check_unused(labels: Any) -> None:
    """Raise KvaeError unless what a model without labels gets beside its images, and does not use, are classes.

    They may be integers or text `(n,)` or `(n, 1)`, or one-hot `(n, classes)`.
    """
    if labels is None or isinstance(labels, (tf.RaggedTensor, tf.SparseTensor)):
        return
    found = tf.convert_to_tensor(labels)
    rank, is_floating = found.shape.rank, found.dtype.is_floating
    one_hot = rank == 2 and found.shape[1] != 1
    if rank is not None and (rank > 2 or is_floating and not one_hot):
        raise KvaeError(
            f"the model reconstructs its own input: a target of {found.dtype.name} and shape {_seen(found.shape)} "
            f"would not be used. Leave it out: dataset.map(lambda images, target: images)."
        )


def _is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list))


def _is_eager(images: Any) -> bool:
    return hasattr(images, "numpy") and not tf.is_symbolic_tensor(images)


def _is_float(dtype: Any) -> bool:
    try:
        return bool(tf.as_dtype(dtype).is_floating)  # bfloat16 too, which numpy does not know as a float
    except TypeError:
        return False


def _extremes(images: Any) -> tuple[float, float]:
    """The least and the largest of all values; NaN if one of them is."""
    if hasattr(images, "numpy"):  # a tensor or a variable
        images = images.numpy()
    lowest, highest = math.inf, -math.inf
    for first in range(0, images.shape[0], ROWS):
        rows = np.asarray(images[first : first + ROWS])
        if rows.size:
            lowest, highest = np.minimum(lowest, rows.min()), np.maximum(highest, rows.max())
    return float(lowest), float(highest)


def _fits(shape: Shape, expected: Shape | None) -> bool:
    if expected is None:
        height, width, channels = shape
        return not (height in CHANNELS and channels not in (*CHANNELS, None) and width not in (*CHANNELS, None))
    return all(None in (size, wanted) or size == wanted for size, wanted in zip(shape, expected, strict=True))


_FINITE = "x[np.isfinite(x).all(axis=(1, 2, 3))]"


def _about_dtype(name: str, lowest: float | None = None, highest: float | None = None) -> str:
    seen = "" if lowest is None else f" from {lowest:g} to {highest:g}"
    if (
        name == "bool"
        or name.startswith("float")
        or (highest is not None and highest <= 1 and lowest is not None and lowest >= 0)
    ):
        repair = "Cast them: x.astype('float32')."
    elif name.startswith(("uint", "int")):
        top = 65535 if name.endswith("16") or (highest or 0) > 255 else 255
        repair = f"Divide by {top}: x.astype('float32') / {top}."
    else:
        repair = "Make an array of numbers of them."
    return f"images must be floats in [0, 1]; got {name}{seen}. {repair}"


def _about_shape(shape: Shape, expected: Shape | None) -> str:
    wanted = "height, width, channels" if expected is None else ", ".join(map(str, expected))
    return f"images must have shape (batch, {wanted}); got {_seen(shape)}. {_reshaping(shape, expected)}"


def _seen(shape: Iterable[int | None]) -> str:
    """A shape as Python writes it, with n for a size that is not known."""
    sizes = ["n" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _reshaping(shape: Shape, expected: Shape | None) -> str:
    rank = len(shape)
    if rank == 4 and (expected is None or (shape[2], shape[3], shape[1]) == expected):
        return "Channels come last, so transpose: np.moveaxis(x, 1, -1)."
    if rank == 3 and (shape == expected or expected is None and shape[-1] in CHANNELS):
        return "For a single image: x[None]."
    if rank == 3 and (expected is None or (*shape[1:], 1) == expected):
        return "Add the channel: x[..., None]."
    if expected is None:
        return "A batch has four axes, and a table of shape (batch, k) is read as images of 1 x k."
    height, width, channels = expected
    if rank == 2 and None not in expected and shape[1] == math.prod(size for size in expected if size is not None):
        return f"Reshape: x.reshape(-1, {height}, {width}, {channels})."
    if rank == 4 and shape[1:3] == (height, width):
        if channels == 1 and shape[3] in (3, 4):
            return "Make them grey: x[..., :3].mean(axis=-1, keepdims=True)."
        if channels == 3 and shape[3] == 1:
            return "Repeat the channel: np.repeat(x, 3, axis=-1)."
        if channels == 3 and shape[3] == 4:
            return "Drop the transparency: x[..., :3]."
    return "Resize them, or build a model for images of this shape."
