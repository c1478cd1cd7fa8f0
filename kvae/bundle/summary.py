"""What `kvae info` prints about a bundle."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from kvae.bundle import caveats
from kvae.bundle.manifest import Manifest


def as_json(manifest: Manifest, path: Path) -> dict[str, Any]:
    """The manifest, with the path and the size in bytes of each file."""
    return {"path": str(path), "sizes": sizes(path), "manifest": asdict(manifest)}


def as_text(manifest: Manifest, path: Path) -> str:
    """The same for people."""
    height, width, channels = manifest.image_shape
    lines = [
        f"bundle        {path} (format {manifest.format_version}, kvae {manifest.kvae_version})",
        f"trained on    {manifest.dataset['name']}, {manifest.dataset['num_images']:,} images",
        f"images        {height} x {width} x {channels} in [0, 1]",
        f"z             {manifest.latent_dim} dimensions, prior {manifest.prior}",
        f"likelihood    {manifest.likelihood} ({', '.join(manifest.likelihood_parameters)}) of images "
        + ("binarised" if manifest.is_of_bits else "as they are"),
        f"graphs        opset {manifest.opset}, {manifest.precision}",
    ]
    for graph, ends in manifest.tensors.items():
        for end, arrow in (("inputs", "->"), ("outputs", "<-")):
            for tensor in ends[end]:
                shape = ", ".join(map(str, tensor["shape"]))
                lines.append(f"  {graph} {arrow} {tensor['name']} {tensor['dtype']} [{shape}]")
    about = caveats.about_numbers(manifest.likelihood, manifest.binarize)
    lines.append("test metrics  " + (f"nats per image; {about}" if manifest.metrics else "none"))
    for name, metric in manifest.metrics.items():
        lines.append(f"  {name:<12}{metric['value']:9.2f} ± {metric['standard_error']:.2f}")
    loss = caveats.about_training(manifest.training)
    if loss:
        lines.append(f"note          {loss}")
    lines.append("files")
    lines += [f"  {name:<16}{size:>12,} bytes" for name, size in sizes(path).items()]
    return "\n".join(lines)


def sizes(path: Path) -> dict[str, int]:
    """The size in bytes of each file in a bundle folder, or of the graph at `path`."""
    found = sorted(path.iterdir()) if path.is_dir() else [path]
    return {entry.name: entry.stat().st_size for entry in found if entry.is_file()}
