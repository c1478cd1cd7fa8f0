"""What `kvae info` prints about a bundle."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvae.bundle import caveats
from kvae.bundle.manifest import Manifest
from kvae.config import PRIORS
from kvae.files.text import printable, shown

SHOWN = 10
"""Maximum number of classes that are named."""


def as_json(manifest: Manifest, path: Path) -> dict[str, Any]:
    """The manifest, with the path and the size in bytes of each file."""
    return {"path": str(path), "sizes": sizes(path), "manifest": asdict(manifest)}


def as_text(manifest: Manifest, path: Path, graphs: Collection[str] | None = None) -> str:
    """The same for people: lines without characters that a terminal acts on.

    Args:
        manifest: the bundle's manifest, or that in a lone graph.
        path: the bundle's folder or zip, or the graph.
        graphs: the names of the graphs that are there; by default both.
    """
    height, width, channels = manifest.image_shape
    what = "graph" if path.suffix.lower() in (".onnx", ".ort") else "bundle"
    lines = [
        f"{what:<14}{shown(str(path))} (format {manifest.format_version}, kvae {printable(manifest.kvae_version)})",
        f"trained on    {printable(manifest.dataset['name'])}, {manifest.dataset['num_images']:,} images",
        f"images        {height} x {width} x {channels}, pixels in [0, 1]",
        f"codes         {manifest.latent_dim} numbers, prior {PRIORS.get(manifest.prior, printable(manifest.prior))}",
        *_of_family(manifest),
        f"likelihood    {printable(manifest.likelihood)} "
        f"({printable(', '.join(manifest.likelihood_parameters))}), for images "
        + ("binarised to 0 and 1" if manifest.is_of_bits else "as they are"),
        f"graphs        {manifest.graph_format}, opset {manifest.opset}, {printable(manifest.precision)} weights",
    ]
    for graph, ends in manifest.tensors.items():
        if graphs is None or graph in graphs:
            lines += [f"  {graph:<12}takes {_tensor(end)}" for end in ends["inputs"]]
            lines += [f"  {'':<12}gives {_tensor(end)}" for end in ends["outputs"]]
    about = caveats.about_numbers(manifest.likelihood, manifest.binarize)
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


def _of_family(manifest: Manifest) -> list[str]:
    """The lines about labels and groups, for a model that has them."""
    lines = []
    if manifest.labels is not None:
        names = ", ".join(printable(name, 60) for name in manifest.labels[:SHOWN])
        lines.append(f"labels        {len(manifest.labels):,}: {names}{', ...' * (len(manifest.labels) > SHOWN)}")
    if manifest.groups is not None:
        lines.append(f"groups        {len(manifest.groups):,}, of {', '.join(map(str, manifest.groups))} numbers")
    return lines


def sizes(path: Path) -> dict[str, int]:
    """The size in bytes of each file in a bundle folder, or of the zip or graph at `path`."""
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    return {entry.name: entry.stat().st_size for entry in found if entry.is_file()}


def _tensor(end: dict[str, Any]) -> str:
    """A tensor as "mean float32 [batch, 28, 28, 1]"."""
    return f"{end['name']} {end['dtype']} [{', '.join(map(str, end['shape']))}]"
