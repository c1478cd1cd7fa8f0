"""The latent explorer: a static page in which a visitor's browser decodes and encodes with a bundle's own graphs.

The page itself lies in `kvae/explorer/page`: HTML, a style sheet and JavaScript modules, without a build step. Here it
is put together with a model and with onnxruntime-web, which runs the graphs in WebAssembly.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from kvae.bundle import caveats, onnxruntime_web
from kvae.bundle.locate import BUNDLE_FOLDER
from kvae.errors import KvaeError
from kvae.explorer.server import INDEX, TYPES
from kvae.files.atomic import atomic_folder
from kvae.runtime.bundle import Bundle

PAGE = files("kvae.explorer") / "page"
MARKER = ".kvae-explore"
"""In a folder of ours: the names of its files, so that a later call may replace it."""


def page(bundle: Bundle, name: str, ort_dir: Path | None = None) -> dict[str, bytes]:
    """The files of the page, by their path in it.

    Args:
        bundle: the model; a lone decoder makes a page that cannot encode.
        name: what the page calls the model.
        ort_dir: a folder with onnxruntime-web (the package or its `dist`), which the page then brings along; without
            one, browsers fetch it from `kvae.bundle.onnxruntime_web.CDN`.

    Raises:
        KvaeError: a model without a decoder, or of images that are no pictures; an `ort_dir` that is not the pinned
            version.
    """
    manifest = bundle.manifest
    if "decoder" not in bundle.graphs:
        raise KvaeError("this model has no decoder to explore; open the whole bundle folder, or a decoder.onnx.")
    channels = manifest.image_shape[-1]
    if channels not in (1, 3):
        raise KvaeError(f"explore shows pictures of 1 or 3 channels; the images of this model have {channels}.")
    graphs = {role: (f"model/{manifest.graph_file(role)}", path.read_bytes()) for role, path in bundle.graphs.items()}
    config = {
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
    found["config.json"] = json.dumps(config, indent=2).encode()
    found["model/manifest.json"] = manifest.to_json().encode()
    found |= dict(graphs.values())
    if ort_dir is not None:
        found |= {f"ort/{file}": content for file, content in onnxruntime_web.read(ort_dir).items()}
    return found


def write(contents: Mapping[str, bytes], out: Path) -> None:
    """Write the files of a page to the folder `out`, for any web host.

    Args:
        contents: what `page` made.
        out: a folder that an earlier call wrote, and to which nothing was added, is replaced.

    Raises:
        KvaeError: `out` holds something else, or cannot be written.
    """
    with atomic_folder(out, _is_ours, "a folder that kvae explore wrote") as folder:
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / MARKER).write_text("\n".join(sorted(contents)) + "\n", encoding="utf-8")


def _is_ours(folder: Path) -> bool:
    """Whether an earlier call made the folder: it lists its files, and holds just them."""
    try:
        listed = (folder / MARKER).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    found = {entry.relative_to(folder).as_posix() for entry in folder.rglob("*") if not entry.is_dir()}
    return found == {*listed, MARKER}


def model_name(path: Path) -> str:
    """What a page calls the model at `path`: a bundle `runs/mine/bundle` is "mine", its decoder alone too."""
    path = path.resolve()
    if path.is_file():
        return model_name(path.parent) if path.stem == "decoder" else path.stem
    return path.parent.name if path.name == BUNDLE_FOLDER else path.name
