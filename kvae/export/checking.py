"""Tells before a training whether a VAE can be exported after it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from kvae.errors import KvaeError
from kvae.export.bundles import export
from kvae.export.family import placeholder_labels
from kvae.export.problem import NotExportable, Problem
from kvae.model.vae import VAE

DATASET = {"name": "none", "sha256": "0" * 64, "num_images": 1}


def check(vae: VAE, image_shape: Sequence[int] | None = None) -> None:
    """Raise unless a VAE can be exported: call it before you train a network of your own.

    It exports the model as it is, trained or not, into a temporary folder, with all the checks of an export. That takes
    seconds. It changes neither weights nor random numbers, but a model without weights is built.

    Args:
        vae: the model.
        image_shape: `(height, width, channels)`; needed if the model has no weights yet.

    Raises:
        NotExportable: it names each layer that cannot be exported, and its replacement, in one line; its `problems` are
            a line for each.
        KvaeError: the model cannot be exported for another reason, such as its prior.
    """
    if not vae.built:
        if image_shape is None:
            raise KvaeError(
                "this VAE has no weights yet: pass the images' shape too, e.g. kvae.export.check(vae, (28, 28, 1))."
            )
        vae.build((None, *image_shape))
    with tempfile.TemporaryDirectory() as folder:
        export(vae, Path(folder) / "bundle", dataset=DATASET, labels=placeholder_labels(vae))


def problems(vae: VAE, image_shape: Sequence[int] | None = None) -> list[Problem]:
    """What `check` finds, as a list that is empty if the VAE can be exported; arguments and other errors as there."""
    try:
        check(vae, image_shape)
    except NotExportable as error:
        return list(error.problems)
    return []
