"""What `kvae info` prints about a bundle."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvae.bundle import caveats
from kvae.bundle.fields import WHOLE
from kvae.bundle.manifest import Manifest
from kvae.config import PRIORS
from kvae.files.text import printable, shown

MAX_LABELS = 50
"""Labels that are listed; `kvae info --json` has all."""


def as_json(manifest: Manifest, path: Path) -> dict[str, Any]:
    """The manifest, with the path and the size in bytes of each file."""
    return {"path": str(path), "sizes": sizes(path), "manifest": asdict(manifest)}


def as_text(manifest: Manifest, path: Path, graphs: Collection[str] | None = None) -> str:
    """The same for people: lines without characters that a terminal acts on.

    Args:
        manifest: the bundle's manifest, or that in a lone graph.
        path: the bundle's folder or zip, or the graph.
        graphs: the names of the graphs that are there; by default all.
    """
    height, width, channels = manifest.image_shape
    what = "graph" if path.suffix.lower() in (".onnx", ".ort") else "bundle"
    lines = [
        f"{what:<14}{shown(str(path))} (format {manifest.format_version}, kvae {printable(manifest.kvae_version)})",
        f"trained on    {printable(manifest.dataset['name'])}, {manifest.dataset['num_images']:,} images",
        f"images        {height} x {width} x {channels}, pixels in [0, 1]",
        f"codes         {manifest.latent_dim} numbers, prior {_prior(manifest)}",
        *_family(manifest),
        f"likelihood    {printable(manifest.likelihood)} "
        f"({printable(', '.join(manifest.likelihood_parameters))}), for images "
        + ("binarised to 0 and 1" if manifest.is_of_bits else "as they are"),
        f"graphs        {manifest.graph_format}, opset {manifest.opset}, {printable(manifest.precision)} weights",
    ]
    for graph, ends in manifest.tensors.items():
        if graphs is None or graph in graphs:
            words = ["takes"] * len(ends["inputs"]) + ["gives"] * len(ends["outputs"])
            pairs = zip(words, (*ends["inputs"], *ends["outputs"]), strict=True)
            names = [graph, *[""] * len(words)]
            lines += [f"  {name:<14}{word} {_tensor(end)}" for name, (word, end) in zip(names, pairs, strict=False)]
    about = caveats.about_numbers(manifest.likelihood, manifest.binarize, manifest.labels is not None)
    lines.append("test metrics  " + (printable(about) if manifest.metrics else "none"))
    for name, metric in manifest.metrics.items():
        unit = "dimensions" if name == "active_units" else "nats per image"
        lines.append(f"  {printable(name):<14}{metric['value']:9.2f} ± {metric['standard_error']:.2f} {unit}")
    loss = caveats.about_training(manifest.training)
    if loss:
        lines.append(f"note          {loss}")
    lines.append("files")
    lines += [f"  {shown(name):<20}{size:>12,} bytes" for name, size in sizes(path).items()]
    return "\n".join(lines)


def _prior(manifest: Manifest) -> str:
    named = PRIORS.get(manifest.prior, printable(manifest.prior))
    return named if manifest.components is None else f"{named}, {len(manifest.components):,} components"


def _family(manifest: Manifest) -> list[str]:
    """The lines of a model with groups, and of one with labels and how frequent they are."""
    lines = []
    if manifest.groups is not None:
        sizes = ", ".join(map(str, manifest.groups))
        lines.append(f"groups        {len(manifest.groups)} of {sizes}: the encoder takes the noise of the draw")
    if manifest.labels is not None and manifest.label_weights is not None:
        weights = [0, *manifest.label_weights]
        shares = [(high - low) / WHOLE for low, high in zip(weights, weights[1:], strict=False)]
        lines.append(f"labels        {len(manifest.labels):,}, with their share of the training images")
        pairs = list(enumerate(zip(manifest.labels, shares, strict=True)))
        lines += [f"  {number:>4}  {shown(name)} {share:.1%}" for number, (name, share) in pairs[:MAX_LABELS]]
        lines += [f"        ... and {len(pairs) - MAX_LABELS:,} more"] if len(pairs) > MAX_LABELS else []
    return lines


def sizes(path: Path) -> dict[str, int]:
    """The size in bytes of each file in a bundle folder, or of the zip or graph at `path`."""
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    return {entry.name: entry.stat().st_size for entry in found if entry.is_file()}


def _tensor(end: dict[str, Any]) -> str:
    """A tensor as "mean float32 [batch, 28, 28, 1]"."""
    return f"{end['name']} {end['dtype']} [{', '.join(map(str, end['shape']))}]"
