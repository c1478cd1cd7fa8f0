"""The latent explorer: a static page that decodes and encodes in the browser with a bundle's own graphs.

The page itself is in `kvae/explorer/page`: HTML, a style sheet and JavaScript modules, without a build step. This
module combines it with a model and with onnxruntime-web, which runs the graphs in WebAssembly.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from kvae.bundle import caveats, onnxruntime_web
from kvae.bundle.locate import BUNDLE_FOLDER
from kvae.errors import KvaeError
from kvae.explorer import real_images
from kvae.explorer.server import INDEX, TYPES
from kvae.files import ours, pictures
from kvae.files.atomic import atomic_folder
from kvae.runtime.bundle import Bundle

PAGE = files("kvae.explorer") / "page"
MARKER = ".kvae-explore"
"""Lists the files in a folder that `write` made, with their hashes: a later call may replace it if it is unchanged."""


def page(bundle: Bundle, name: str, ort_dir: Path | None = None) -> dict[str, bytes]:
    """The files of the page, by their path in it.

    Args:
        bundle: the model; with only a decoder, the page cannot encode.
        name: the model's name on the page.
        ort_dir: a folder with onnxruntime-web (the package or its `dist`) to include in the page; without one,
            browsers fetch it from `kvae.bundle.onnxruntime_web.CDN`.

    Raises:
        KvaeError: the model has no decoder, or its images do not have 1 or 3 channels; or `ort_dir` does not hold the
            pinned version.
    """
    manifest = bundle.manifest
    if "decoder" not in bundle.graphs:
        raise KvaeError("this model has no decoder to explore; open the whole bundle folder, or a decoder.onnx.")
    if manifest.has_own_prior and "prior" not in bundle.graphs:
        raise KvaeError(
            f"the prior '{manifest.prior}' of this model is a graph of its own; open the whole bundle folder."
        )
    if pictures.is_table(manifest.image_shape):
        raise KvaeError("explore shows pictures; this model's images are rows of a table, which are not pictured.")
    channels = manifest.image_shape[-1]
    if channels not in (1, 3):
        raise KvaeError(f"explore shows pictures of 1 or 3 channels; the images of this model have {channels}.")
    graphs = {role: (f"model/{manifest.graph_file(role)}", path.read_bytes()) for role, path in bundle.graphs.items()}
    config: dict[str, Any] = {
        "name": name,
        "about": caveats.about_numbers(manifest.likelihood, manifest.binarize),
        "graphs": {
            role: {"path": path, "integrity": onnxruntime_web.integrity(content)}
            for role, (path, content) in graphs.items()
        },
        "ort": {"base": onnxruntime_web.CDN if ort_dir is None else "ort/", "integrity": onnxruntime_web.FILES},
    }
    origin = "" if ort_dir is not None else f" {onnxruntime_web.CDN}"
    found = {entry.name: entry.read_bytes() for entry in PAGE.iterdir() if entry.name.endswith(tuple(TYPES))}
    found[INDEX] = found[INDEX].replace(b" ORT-ORIGIN", origin.encode())
    examples = real_images.of(bundle)
    if examples is not None:
        found["model/examples.json"] = json.dumps(examples, separators=(",", ":")).encode()
        config["examples"] = "model/examples.json"
    found["config.json"] = json.dumps(config, indent=2).encode()
    found["model/manifest.json"] = manifest.to_json().encode()
    found |= dict(graphs.values())
    if ort_dir is not None:
        found |= {f"ort/{file}": content for file, content in onnxruntime_web.read(ort_dir).items()}
    return found


def write(contents: Mapping[str, bytes], out: Path) -> None:
    """Write the files of a page to the folder `out`, for any web host.

    Args:
        contents: the result of `page`.
        out: it is replaced if an earlier call wrote it and nothing was added or changed since.

    Raises:
        KvaeError: `out` holds anything else, or cannot be written.
    """
    with atomic_folder(out, _is_ours, "a folder that kvae explore wrote", last=MARKER) as folder:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        ours.sign(folder, MARKER)


def _is_ours(folder: Path) -> bool:
    """Whether an earlier call made the folder, and it holds only the files of that call, as they were."""
    return ours.is_signed(folder, MARKER)


def model_name(path: Path) -> str:
    """The name that a page gives the model at `path`: for `runs/mine/bundle`, or a graph in it, "mine"."""
    path = path.resolve()
    if path.is_file():
        return model_name(path.parent) if path.stem == "decoder" else path.stem
    return path.parent.name if path.name == BUNDLE_FOLDER else path.name
