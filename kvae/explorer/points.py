"""The models of a comparison of entropy weights, read from its folder for the page "Why the KL"."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kvae.config import TrainConfig
from kvae.errors import KvaeError
from kvae.files import pictures
from kvae.runs import files as run_files
from kvae.runs import layout
from kvae.runtime.bundle import Bundle

HOW = "kvae compare --vary entropy_weight=0,0.5,1,1.5,2 --architecture mlp --latent-dim 2 --out FOLDER makes one"
FIGURES = ("elbo", "distortion", "rate", "nll")
"""The metrics of an evaluation that the page shows."""


@dataclass(frozen=True)
class Point:
    """One model of the comparison."""

    config: TrainConfig
    bundle: Bundle
    figures: dict[str, dict[str, float]]
    """`loss` and `FIGURES`, each with its `value` and `standard_error`, in nats per test image."""
    nll_is_believable: bool
    """Whether the NLL is an estimate, and not only an upper bound."""
    difference: dict[str, float] | None
    """How much higher the NLL is than that of the KL, paired image by image; None where that cannot be said."""
    importance_samples: int
    about: str
    """What the numbers are; see `kvae.bundle.caveats.about_numbers`."""


def read(folder: Path) -> list[Point]:
    """The models of a comparison, by rising entropy weight.

    Args:
        folder: the `--out` of `kvae compare`.

    Raises:
        KvaeError: it is not the folder of a comparison, or one of models that cannot stand on one plane; the message
            says why, and how to make one.
    """
    path = folder / layout.COMPARISON
    found = run_files.read_json(path)
    if found is None:
        raise KvaeError(f"{folder} is not the folder of a comparison: it has no {layout.COMPARISON}. {HOW}.")
    if not isinstance(found, dict) or not isinstance(found.get("results"), list):
        raise KvaeError(f"{path} was not written by kvae compare. {HOW}.")
    points = sorted((_point(folder, item) for item in found["results"]), key=lambda one: one.config.entropy_weight)
    _check(points, folder)
    return points


def _point(folder: Path, item: Any) -> Point:
    try:
        run = folder / Path(item["run"]).name  # the folder may have been moved since
        evaluation = item["evaluation"]
        estimates = {"loss": item["loss"]} | {name: evaluation["metrics"][name] for name in FIGURES}
        figures = {name: _estimate(values) for name, values in estimates.items()}
        difference = item["against_reference"].get("nll")
        sampled = bool(evaluation["nll_is_believable"]), difference and _estimate(difference)
        how = int(evaluation["importance_samples"]), str(evaluation["about"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise KvaeError(f"{folder / layout.COMPARISON} was not written by this kvae: {error!r}. {HOW}.") from None
    bundle = Bundle.open(run / layout.BUNDLE, device="cpu", threads=1)
    return Point(run_files.read_config(run), bundle, figures, *sampled, *how)


def _estimate(values: Any) -> dict[str, float]:
    return {part: float(values[part]) for part in ("value", "standard_error")}


def _check(points: list[Point], folder: Path) -> None:
    """Raise KvaeError unless all models have two latent dimensions and differ in the entropy weight alone."""
    weights = [point.config.entropy_weight for point in points]
    if not {0.0, 1.0} <= set(weights):
        listed = ", ".join(f"{weight:g}" for weight in weights) or "none"
        raise KvaeError(f"the page needs the entropy weights 0 and 1, but {folder} has {listed}. {HOW}.")
    first = points[0]
    for point in points:
        manifest = point.bundle.manifest
        if manifest.latent_dim != 2:
            raise KvaeError(
                f"the page shows codes on a plane, but the models in {folder} have {manifest.latent_dim} latent "
                f"dimensions, not 2. {HOW}."
            )
        if manifest.prior != "standard_normal" or manifest.labels or manifest.groups:
            raise KvaeError(f"the page is for models with the prior N(0, I), without labels or groups. {HOW}.")
        if pictures.is_table(manifest.image_shape):
            raise KvaeError("the page shows pictures; the images of these models are rows of a table.")
        if point.config.beta != 1.0:
            raise KvaeError(f"the page is for --beta 1; the models in {folder} have {point.config.beta:g}. {HOW}.")
        other = replace(point.config, entropy_weight=first.config.entropy_weight)
        if other != first.config:
            named = sorted(_differences(other, first.config))
            raise KvaeError(
                f"the models in {folder} differ in more than the entropy weight: {', '.join(named)}. {HOW}."
            )
    if len(set(weights)) < len(weights):
        raise KvaeError(f"an entropy weight occurs twice in {folder}. {HOW}.")


def _differences(one: TrainConfig, other: TrainConfig) -> set[str]:
    ours, theirs = one.to_dict(), other.to_dict()
    return {name for name in ours if json.dumps(ours[name]) != json.dumps(theirs[name])}
