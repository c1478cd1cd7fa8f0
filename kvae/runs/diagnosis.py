"""What went wrong in a training, if anything, in words and with what to try: from its losses and its metrics, by numpy.

The thresholds are rules of thumb, stated here and tested on histories made by hand. "The fall" is the difference
between the validation loss of the first epoch and the lowest; all are in nats per image.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvae.config import TrainConfig
from kvae.runs import progress_of

FEW_UNITS = 0.25
"""With a smaller fraction of its latent dimensions in use, a model has few."""
POSTERIOR_FLOOR = 2e-4
"""A posterior scale below this is at its floor, 1e-4."""
AT_FLOOR = 0.1
"""The likelihood's scale is said to be at its floor if it is so for a larger fraction of the pixels."""
RISEN = 0.02
"""A model overfits if its loss rose by more than this fraction of the fall, and 0.5 nats, over 2 epochs or more, while
the training loss fell."""
DIVERGED = 0.5
"""Training diverged if the loss rose by more than this fraction of the fall, and 1 nat, with the training loss."""
NOISE = {"bernoulli": math.log(2.0), "discretized_logistic": math.log(256.0)}
"""The distortion, in nats per pixel, of a model that says that all values of a pixel are equally likely; 0 for a
density on [0, 1]. A model that is worse than this by more than a nat per pixel diverged."""
EASIER = 0.05
"""The validation images are easier if their ELBO is higher by more than this fraction of it, and 1 nat."""


@dataclass(frozen=True)
class Finding:
    """Something to know about a training."""

    kind: str
    """"collapse", "scale", "falling", "overfitting", "diverged" or "validation"."""
    text: str
    advice: str


def diagnose(
    run: str,
    config: TrainConfig,
    history: Mapping[str, Sequence[float]],
    num_pixels: int,
    active_units: float | None = None,
    posterior_scales: Sequence[float] = (),
    floor_share: float = 0.0,
) -> list[Finding]:
    """What to know about a finished training; an empty list if nothing stands out.

    Args:
        run: the run's folder, as the commands name it.
        config: its settings.
        history: as `history.csv` has it: one number for each epoch, by name.
        num_pixels: values in an image, over all channels.
        active_units: number of latent dimensions in use, if it is known.
        posterior_scales: the mean posterior scale of each latent dimension, if known; a ladder has more of them than
            the setting latent_dim says.
        floor_share: the fraction of pixels whose likelihood has its scale at the floor.
    """
    if found := diverged(config, history, num_pixels):
        return [found]  # the rest follows from it
    findings = [
        _overfitting(history, config),
        _falling(run, history, config),
        _validation(history, config),
        _collapse(config, active_units, len(posterior_scales) or config.model.latent_dim),
        _scales(config, posterior_scales, floor_share),
    ]
    return [finding for finding in findings if finding]


def diverged(config: TrainConfig, history: Mapping[str, Sequence[float]], num_pixels: int) -> Finding | None:
    """Whether training diverged: its model is worse than noise, or its losses rose again."""
    advice = (
        f"train again with a lower learning rate than {config.learning_rate:g} (try {config.learning_rate / 10:g}), "
        f"--lr-warmup-steps or --clip-norm"
    )
    elbo = _finite(history, "val_elbo", "elbo")
    noise = NOISE.get(str(config.model.likelihood), 0.0) * num_pixels
    if len(elbo) and -elbo.max() > noise + num_pixels:
        text = (
            f"with learning rate {config.learning_rate:g} training diverged: the best ELBO, {elbo.max():,.1f}, is "
            f"worse than that of noise, {0.0 - noise:,.1f}"
        )
        return Finding("diverged", text, advice)
    losses, training = _finite(history, "val_loss", "loss"), _finite(history, "loss")
    if len(losses) < 3 or len(training) < len(losses):
        return None
    best = int(losses.argmin())
    rise, fall = losses[-1] - losses[best], losses[0] - losses[best]
    if rise > max(1.0, DIVERGED * fall) and training[-1] > training[best]:
        text = (
            f"with learning rate {config.learning_rate:g} training diverged: the loss rose by {rise:,.1f} nats after "
            f"epoch {best + 1}, whose model is kept"
        )
        return Finding("diverged", text, advice)
    return None


def _overfitting(history: Mapping[str, Sequence[float]], config: TrainConfig) -> Finding | None:
    losses, training = _finite(history, "val_loss"), _finite(history, "loss")
    if len(losses) < 3 or len(training) != len(losses):
        return None
    best = int(losses.argmin())
    rise, fall = losses[-1] - losses[best], losses[0] - losses[best]
    if len(losses) - 1 - best < 2 or rise <= max(0.5, RISEN * fall) or training[-1] >= training[best]:
        return None
    return Finding(
        "overfitting",
        f"the validation loss rose by {rise:,.1f} nats after epoch {best + 1}, whose model is kept, while the training "
        f"loss fell",
        "stop early with --patience 5, use fewer --hidden-units, or train on more images"
        + ("" if config.shift else ", or on the same moved by a pixel (--shift 1)"),
    )


def _falling(run: str, history: Mapping[str, Sequence[float]], config: TrainConfig) -> Finding | None:
    losses = _finite(history, "val_loss", "loss")
    course = {progress_of.LOSS: losses.tolist()}
    if not progress_of.still_falling(course):
        return None
    epochs, nats = progress_of.last_fall(course)
    return Finding(
        "falling",
        f"the loss was still falling: by {nats:,.2f} nats in the last {epochs} epochs",
        f"train longer: kvae train --resume {shlex.quote(run)} --epochs {2 * len(losses)}"
        if config.fit is None
        else f"fit the prior again with --epochs {2 * len(losses)}",
    )


def _validation(history: Mapping[str, Sequence[float]], config: TrainConfig) -> Finding | None:
    ours, theirs = _finite(history, "val_elbo"), _finite(history, "elbo")
    if len(ours) < 4 or len(theirs) != len(ours):
        return None
    gap = ours[-1] - theirs[-1]
    if gap <= max(1.0, EASIER * abs(theirs[-1])):
        return None
    return Finding(
        "validation",
        f"the validation ELBO is {gap:,.1f} nats better than the training ELBO: its images are easier"
        f"{', as they are not moved' if config.shift else ''}, or copies",
        "look at the splits with kvae data inspect",
    )


def _collapse(config: TrainConfig, active_units: float | None, size: int) -> Finding | None:
    if active_units is None or active_units >= max(1.0, FEW_UNITS * size):
        return None
    used = "none" if active_units < 1 else f"only {active_units:.0f}"
    ways = ["--free-bits 0.1", "--beta-schedule cyclical", "another --likelihood or a lower --learning-rate"]
    if config.beta > 1:
        ways.insert(0, f"a lower --beta than {config.beta:g}")
    smaller = "" if active_units < 1 else f", or a smaller --latent-dim than {config.model.latent_dim}"
    return Finding(
        "collapse",
        f"{used} of the {size} latent dimensions {'is' if active_units <= 1 else 'are'} used"
        + (": all images have the same code" if active_units < 1 else ""),
        f"try {', '.join(ways)}{smaller}",
    )


def _scales(config: TrainConfig, posterior_scales: Sequence[float], floor_share: float) -> Finding | None:
    low = sum(scale < POSTERIOR_FLOOR for scale in posterior_scales)
    if low:
        return Finding(
            "scale",
            f"the posterior's scale is at its floor in {low} of {len(posterior_scales)} latent dimensions: the code is "
            f"practically without noise, and the loss has no lower limit",
            f"use an --entropy-weight above {config.entropy_weight:g} (1 is the KL), or a larger --beta"
            if config.entropy_weight < 1
            else "use a larger --beta",
        )
    if floor_share > AT_FLOOR:
        return Finding(
            "scale",
            f"the likelihood's scale is at its floor for {floor_share:.0%} of the pixels: these are nearly constant, "
            f"and the floor sets their part of the ELBO",
            "crop constant borders, or compare such models only with each other",
        )
    return None


def as_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The findings as JSON values."""
    return [asdict(finding) for finding in findings]


def as_text(finding: dict[str, Any] | Finding) -> str:
    """A finding as a sentence."""
    values = asdict(finding) if isinstance(finding, Finding) else finding
    text, advice = (str(values.get(name, "")) for name in ("text", "advice"))
    return f"{text[:1].upper()}{text[1:]}. {advice[:1].upper()}{advice[1:]}."


def _finite(history: Mapping[str, Sequence[float]], *names: str) -> NDArray[np.float64]:
    """The finite values of the first of these columns that has any."""
    for name in names:
        values = np.asarray(history.get(name, ()), np.float64)
        if len(values := values[np.isfinite(values)]):
            return values
    return np.zeros(0)
