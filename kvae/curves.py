"""The training curves of a run as a picture."""

from pathlib import Path

from matplotlib.figure import Figure


def save(history: dict[str, list[float]], path: Path) -> None:
    """Draw ELBO, distortion and rate over the epochs, training and validation, in nats per image.

    Args:
        history: `elbo`, `distortion`, `rate` and the same with `val_`, one number per epoch.
        path: PNG to write.
    """
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    epochs = range(1, len(history["elbo"]) + 1)
    for axes, name in zip(figure.subplots(1, 3), ("elbo", "distortion", "rate"), strict=True):
        axes.plot(epochs, history[name], "-o", markersize=3, color="0.6", label="training")
        axes.plot(epochs, history[f"val_{name}"], "-o", markersize=3, color="black", label="validation")
        axes.set(title=name if name != "elbo" else "ELBO", xlabel="epoch", ylabel="nats per image")
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.axes[0].legend()
    figure.savefig(path, dpi=120)
