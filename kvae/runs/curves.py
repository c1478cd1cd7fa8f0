"""Figures of a run's training curves and of its latent dimensions, readable in grey."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

CURVES = {"elbo": "ELBO", "distortion": "distortion", "rate": "rate"}
"""The columns of a history to draw, and their titles."""


def save(history: Mapping[str, Sequence[float]], path: Path) -> None:
    """Draw ELBO, distortion and rate over the epochs, training and validation, in nats per image.

    Args:
        history: `elbo`, `distortion`, `rate` and the same with `val_`, one number per epoch.
        path: PNG to write.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3), CURVES, strict=True):
        _draw(axes, history, name)
    figure.axes[0].legend()
    figure.savefig(path, dpi=120)


def curve(history: Mapping[str, Sequence[float]], name: str) -> Figure:
    """One of the curves as a separate figure; arguments as for `save`."""
    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.subplots()
    _draw(axes, history, name)
    axes.legend(frameon=False)
    return figure


def _draw(axes: Axes, history: Mapping[str, Sequence[float]], name: str) -> None:
    epochs = range(1, len(history[name]) + 1)
    axes.plot(epochs, history[name], "-o", markersize=3, color="0.6", label="training")
    axes.plot(epochs, history[f"val_{name}"], "-o", markersize=3, color="black", label="validation")
    axes.set(title=CURVES[name], xlabel="epoch", ylabel="nats per image")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def scales(scale: Sequence[float], rate: Sequence[float], entropy_weight: float) -> Figure:
    """The mean posterior scale of each latent dimension, the most informative first.

    Args:
        scale: mean posterior standard deviations, one per dimension.
        rate: the nats that each dimension carries.
        entropy_weight: the loss's entropy weight, which determines the scale of an unused dimension.
    """
    figure, axes, order = _dimensions(rate)
    axes.plot(np.arange(1, len(order) + 1), np.asarray(scale)[order], "o", color="black", markersize=4)
    if entropy_weight > 0:
        unused = math.sqrt(entropy_weight)
        axes.axhline(unused, color="0.5", linestyle=":")
        axes.annotate(
            "not used", (0.01, unused), xycoords=("axes fraction", "data"), va="bottom", fontsize=8, color="0.35"
        )
    axes.set(yscale="log", ylabel="mean posterior scale σ (prior: 1)")
    for locate in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        locate(lambda value, _: f"{value:g}")
    return figure


def rates(rate: Sequence[float]) -> Figure:
    """The nats that each latent dimension carries, the most informative first."""
    figure, axes, order = _dimensions(rate)
    axes.bar(np.arange(1, len(order) + 1), np.asarray(rate)[order], color="0.4")
    axes.set(ylabel="rate, nats per image")
    return figure


def _dimensions(rate: Sequence[float]) -> tuple[Figure, Axes, NDArray[np.int64]]:
    figure = Figure(figsize=(4.8, 3.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="latent dimension, sorted by rate")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    return figure, axes, np.argsort(rate)[::-1]
