"""Finds the layer that makes an image's result depend on the other images of its batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kvae.errors import BundleError
from kvae.export import graphs
from kvae.export.problem import NotExportable, Problem, first_line, layer_at
from kvae.model.vae import VAE

REASON = "its result for an image depends on the other images of the batch"
ADVICE = (
    "compute over the axes of an image, not over axis 0; a BatchNormalization must not be called with training=True"
)


@contextmanager
def explained(vae: VAE, functions: graphs.Functions, tensors: dict[str, Any]) -> Iterator[None]:
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


def problems(vae: VAE, functions: graphs.Functions, tensors: dict[str, Any]) -> list[Problem]:
    """For each network whose rows for three images together differ from those for each alone, the first such layer.

    Args:
        vae: the model.
        functions: its two functions.
        tensors: the contract of its two graphs.
    """
    networks = {"decoder": (functions.decode, vae.decoder), "encoder": (functions.encode, vae.encoder)}
    found = (_first(name, *networks[name], tensors[name]) for name in networks)
    return [problem for problem in found if problem]


def _first(name: str, function: Any, network: keras.Model, ends: dict[str, Any]) -> Problem | None:
    lowered = graphs.lower(function, ends, network)
    values = np.random.default_rng(0).random((3, *ends["inputs"][0]["shape"][1:]), dtype=np.float32)
    try:
        together, *singly = (
            [*map(np.asarray, lowered.all_steps(tf.constant(rows)))] for rows in (values, *values[:, None])
        )
    except tf.errors.OpError as error:
        return Problem(name, "", f"it works for some batch sizes only: {first_line(error)}", ADVICE)
    for place, step in enumerate(lowered.steps):
        alone = np.concatenate([rows[place] for rows in singly])
        if alone.shape != together[place].shape or not np.allclose(alone, together[place], atol=1e-5, equal_nan=True):
            return Problem(name, layer_at(network, step), REASON, ADVICE)
    return None
