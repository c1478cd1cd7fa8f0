"""For your own test suites: check that a bundle computes the same as its Keras model.

from kvae.testing import assert_parity


def test_the_bundle_is_the_model():
    assert_parity("runs/mine", "exported/mine")

It needs the train extra, but not pytest: it raises AssertionError, which every test runner understands.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from kvae.errors import BundleError, KvaeError
from kvae.export import PARITY_BATCHES, TOLERANCE, Difference, cases, check_fits, differences
from kvae.model import VAE
from kvae.runtime import Bundle
from kvae.training import load_model


def assert_parity(
    model: VAE | str | Path,
    bundle: Bundle | str | Path,
    atol: float = TOLERANCE,
    *,
    batch_sizes: Sequence[int] = PARITY_BATCHES,
    images: ArrayLike | None = None,
) -> dict[str, float]:
    """Fail if a bundle and its Keras model differ, by the comparison that every export must pass.

    The decoder gets draws from the prior; the encoder gets the decoded images, white noise, and `images`. The graphs of
    a prior other than N(0, I) are compared too. All labels occur, in turn: what is compared need not be likely.

    Args:
        model: a built VAE, a run's folder, or a `.keras` file.
        bundle: a bundle's folder or a lone graph, which is opened on the CPU, or an open bundle.
        atol: the largest difference allowed in any output: absolute for `mean`, `loc` and `scale`; for the others
            (`likelihood_parameters`, `z`, `log_prob`) divided by their magnitude if that is above 1. By default the
            1e-5 of an export; a bundle with float16 or int8 weights needs more.
        batch_sizes: images per call; 1, 7 and 64 by default.
        images: your own images for the encoder, `(n, height, width, channels)` in [0, 1]; none by default.

    Returns:
        The largest difference of each output, by name.

    Raises:
        AssertionError: a difference is larger, with a table of all outputs, or the shapes differ.
        KvaeError: a path cannot be opened, or the model has no weights yet.
    """
    vae = _opened(model)
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle, device="cpu")
    own = None if images is None else np.ascontiguousarray(images, np.float32)
    if own is not None and own.shape[1:] != tuple(vae.image_shape):
        raise KvaeError(f"images must have shape (n, {', '.join(map(str, vae.image_shape))}); got {own.shape}.")
    try:
        check_fits(opened.manifest, vae)
        worst = differences(opened, cases(vae, batch_sizes, own))
    except BundleError as error:
        raise AssertionError(str(error)) from None
    if not all(difference.worst <= atol for difference in worst.values()):
        raise AssertionError(f"the bundle differs from the model:\n{_table(worst, atol)}")
    return {name: difference.worst for name, difference in worst.items()}


def _opened(model: VAE | str | Path) -> VAE:
    if not isinstance(model, VAE):
        model = load_model(Path(model))
    if not isinstance(model, VAE):
        raise KvaeError(f"expected a kvae.model.VAE, a run or a .keras file of one; got a {type(model).__name__}.")
    if not model.built:
        raise KvaeError("this VAE has no weights yet; fit it, or call it on a batch of images, before comparing it.")
    return model


def _table(worst: dict[str, Difference], atol: float) -> str:
    rows = [f"{'output':<22}{'worst error':>12}{'tolerance':>11}{'Keras':>13}{'onnxruntime':>13}  where"]
    for name, difference in worst.items():
        mark = "" if difference.worst <= atol else " <- too much"
        rows.append(
            f"{name:<22}{difference.worst:>12.2g}{atol:>11.2g}{difference.expected:>13.6g}{difference.found:>13.6g}"
            f"  {list(difference.where)} of a batch of {difference.batch_size}{mark}"
        )
    return "\n".join(rows)
