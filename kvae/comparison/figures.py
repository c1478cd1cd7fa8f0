"""The figures of a comparison, each a matplotlib figure with units on its axes, readable in grey as well as colour."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kvae.comparison.measuring import Result
from kvae.evaluation.estimates import Estimate
from kvae.runtime import latents

MARKERS = "osD^vPX*<>hd"
NUM_SHOWN_CODES = 1000
COLUMNS = 3


def objectives(results: Sequence[Result]) -> Figure:
    """The loss that training minimised beside the bound and the NLL, one row per setting."""
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(results)), layout="constrained")
    axes = figure.subplots()
    rows = np.arange(len(results))[::-1]
    sound = [result.evaluation.nll_is_believable for result in results]
    nll = [result.evaluation.metrics["nll"] for result in results]
    series = (
        ("loss the optimiser saw", "o", "white", [result.loss for result in results], 1.0),
        ("−ELBO", "s", "0.6", [result.evaluation.metrics["elbo"] for result in results], -1.0),
        ("NLL (importance sampling)", "D", "black", _where(sound, nll), 1.0),
        ("NLL, at most", "<", "white", _where([not known for known in sound], nll), 1.0),
    )
    for label, marker, colour, estimates, sign in series:
        shown = [(estimate, row) for estimate, row in zip(estimates, rows, strict=True) if estimate is not None]
        if not shown:
            continue
        axes.errorbar(
            [sign * estimate.value for estimate, _ in shown], [row for _, row in shown],
            xerr=[estimate.standard_error for estimate, _ in shown],
            fmt=marker, color="black", markerfacecolor=colour, markersize=7, capsize=2, label=label,
        )  # fmt: skip
    axes.set(xlabel="nats per test image (bars: standard error)", yticks=rows)
    axes.set_yticklabels([result.setting.name for result in results])
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def posterior_scales(results: Sequence[Result]) -> Figure:
    """The mean posterior scale of each dimension, sorted, with the prediction for unused ones."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, result in enumerate(results):
        scales = np.sort([scale.value for scale in result.evaluation.posterior_scale])
        colour, marker = _style(index, len(results))
        axes.plot(np.arange(1, len(scales) + 1), scales, marker=marker, color=colour, label=result.setting.name)
    weights = {result.setting.config.entropy_weight for result in results if result.setting.config.beta > 0}
    for weight in sorted(weights - {0.0}):
        axes.axhline(math.sqrt(weight), color="0.6", linestyle=":", linewidth=1)
        axes.annotate(
            f"√λ, λ = {weight:g}", (0.005, math.sqrt(weight)), xycoords=("axes fraction", "data"),
            ha="left", va="bottom", fontsize=8, color="0.35",
        )  # fmt: skip
    axes.set(
        yscale="log", xlabel="latent dimension, sorted by scale", ylabel="mean posterior scale σ (prior: 1)",
    )  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="0.92")
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def rate_distortion(results: Sequence[Result]) -> Figure:
    """Distortion over rate, one point per setting; no error bars, because all settings share the same test images."""
    figure = Figure(figsize=(6.5, 4.2), layout="constrained")
    axes = figure.subplots()
    for index, result in enumerate(results):
        metrics = result.evaluation.metrics
        colour, marker = _style(index, len(results))
        axes.plot(
            metrics["rate"].value, metrics["distortion"].value,
            marker, color=colour, markersize=8, label=result.setting.name,
        )  # fmt: skip
    axes.set(xlabel="rate KL(q(z|x) ‖ p(z)), nats per image", ylabel="distortion −E log p(x|z), nats per image")
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    return figure


def aggregated_posteriors(results: Sequence[Result]) -> Figure:
    """Draws from the test images' posteriors in the two dimensions whose means vary most, over the prior's circles."""
    figure, panels = _panels(results, 3.0)
    for result, axes in zip(results, panels, strict=False):
        found = result.evaluation
        loc, scale = found.loc[:NUM_SHOWN_CODES], found.scale[:NUM_SHOWN_CODES]
        used = np.argsort(found.loc.var(axis=0))[::-1][:2] if loc.shape[1] > 1 else np.array([0, 0])
        draws = latents.posterior_draws(loc, scale, np.random.default_rng(0).standard_normal(loc.shape))
        limit = max(4.0, float(np.abs(draws[:, used]).max()) * 1.05)
        for radius in latents.PRIOR_SCALE * np.array([1, 2, 3]):
            angle = np.linspace(0, 2 * np.pi, 200)
            axes.plot(radius * np.cos(angle), radius * np.sin(angle), color="0.45", linestyle="--", linewidth=0.9)
        _dots(axes, draws[:, used])
        axes.set(
            title=result.setting.name, xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal",
            xlabel=f"z{used[0]}", ylabel=f"z{used[1]}",
        )  # fmt: skip
        extent = float(np.abs(draws[:, used]).max())
        if extent < 0.35 * limit:  # too small to see: enlarge it in a corner
            inset = axes.inset_axes((0.58, 0.58, 0.4, 0.4))
            _dots(inset, draws[:, used])
            inset.set(xlim=(-extent, extent), ylim=(-extent, extent), xticks=[-extent, extent], yticks=[])
            inset.set_xticklabels([f"−{extent:.2g}", f"{extent:.2g}"], fontsize=7)
    figure.supxlabel("units of z; dashed: 1, 2 and 3 standard deviations of the prior", fontsize=9)
    return figure


def histories(results: Sequence[Result]) -> Figure:
    """The loss and the bound over the epochs, on the validation images, one panel per setting."""
    figure, panels = _panels(results, 2.4)
    for result, axes in zip(results, panels, strict=False):
        epochs = np.arange(1, len(result.history["val_loss"]) + 1)
        axes.plot(epochs, result.history["val_loss"], color="black", label="loss")
        axes.plot(epochs, -np.array(result.history["val_elbo"]), color="0.5", linestyle="--", label="−ELBO")
        axes.set(title=result.setting.name, xlabel="epoch", ylabel="nats per image")
        shown = np.concatenate([result.history["val_loss"], -np.array(result.history["val_elbo"])])
        low, high = shown.min(), np.quantile(shown, 0.9)  # otherwise the first epochs would flatten the rest
        if high > low:
            axes.set_ylim(low - 0.1 * (high - low), high + 0.1 * (high - low))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend(fontsize=8)
    return figure


def _where(chosen: Sequence[bool], estimates: Sequence[Estimate]) -> list[Estimate | None]:
    return [estimate if choice else None for choice, estimate in zip(chosen, estimates, strict=True)]


def _panels(results: Sequence[Result], height: float) -> tuple[Figure, list[Axes]]:
    columns = min(COLUMNS, len(results))
    rows = math.ceil(len(results) / columns)
    figure = Figure(figsize=(3.1 * columns, height * rows + 0.3), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for axes in panels[len(results) :]:
        axes.set_axis_off()
    for axes in panels:
        axes.title.set_fontsize(9)
    return figure, panels


def _dots(axes: Axes, points: np.ndarray) -> None:
    axes.plot(points[:, 0], points[:, 1], ".", color="black", markersize=2, alpha=0.5, rasterized=True)


def _style(index: int, count: int) -> tuple[tuple[float, float, float, float], str]:
    """A colour from a map of steadily falling lightness, and a marker."""
    return colormaps["cividis"](0.85 * index / max(1, count - 1)), MARKERS[index % len(MARKERS)]
