"""Finds the layer that makes an image's result depend on the other images of its batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kvae.errors import BundleError
from kvae.export import graphs
from kvae.export.functions import Functions, network
from kvae.export.problem import NotExportable, Problem, first_line, layer_at
from kvae.model.vae import VAE

REASON = "its result for an image depends on the other images of the batch"
ADVICE = (
    "compute over the axes of an image, not over axis 0; a BatchNormalization must not be called with training=True"
)


@contextmanager
def explained(vae: VAE, functions: Functions, tensors: dict[str, Any]) -> Iterator[None]:
    """If a check fails within the block because a network mixes the images of a batch, name its layer.

    Raises:
        NotExportable: a network does that.
        BundleError: the check failed for another reason.
    """
    try:
        yield
    except BundleError:
        found = problems(vae, functions, tensors)
        if not found:
            raise
        raise NotExportable(found) from None


def problems(vae: VAE, functions: Functions, tensors: dict[str, Any]) -> list[Problem]:
    """For each network whose rows for three images together differ from those for each alone, the first such layer.

    Args:
        vae: the model.
        functions: its functions.
        tensors: the contract of its graphs.
    """
    found = (_first(role, functions.of_role(role), network(vae, role), ends) for role, ends in tensors.items())
    return [problem for problem in found if problem]


def _first(role: str, function: Any, layer: keras.Layer, ends: dict[str, Any]) -> Problem | None:
    lowered = graphs.lower(role, function, ends, layer)
    random = np.random.default_rng(0)
    values = [_rows(random, end) for end in ends["inputs"]]
    try:
        together, *singly = (
            [*map(np.asarray, lowered.all_steps(*(tf.constant(value[rows]) for value in values)))]
            for rows in (slice(0, 3), slice(0, 1), slice(1, 2), slice(2, 3))
        )
    except tf.errors.OpError as error:
        return Problem(role, "", f"it works for some batch sizes only: {first_line(error)}", ADVICE)
    for place, step in enumerate(lowered.steps):
        if singly[0][place].shape == together[place].shape:  # it does not have a row for each image
            continue
        alone = np.concatenate([rows[place] for rows in singly])
        if alone.shape != together[place].shape or not np.allclose(alone, together[place], atol=1e-5, equal_nan=True):
            return Problem(role, layer_at(layer, step), REASON, ADVICE)
    return None


def _rows(random: np.random.Generator, end: dict[str, Any]) -> Any:
    """Three rows of an input: numbers in [0, 1), or the first class or component."""
    shape = (3, *end["shape"][1:])
    return random.random(shape, dtype=np.float32) if end["dtype"] == "float32" else np.zeros(shape, end["dtype"])
