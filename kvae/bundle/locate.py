"""Find the model that a command names: by a path, a run, a shipped name, or no name at all."""

from pathlib import Path

from kvae.bundle.manifest import FILE_NAME
from kvae.errors import BundleError
from kvae.families import suggestion
from kvae.files.shipped import folder as shipped_folder

DEFAULT_SHIPPED = "fashion_mnist"
RUNS_FOLDER = "runs"
"""The folder in the current folder where `kvae train` puts its runs by default."""
BUNDLE_FOLDER = "bundle"
"""The folder of the bundle in a run."""


def shipped() -> dict[str, Path]:
    """The bundles that come with kvae, by name."""
    root = shipped_folder("kvae.exported")
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{FILE_NAME}"))} if root else {}


def locate(model: str | None, folder: Path | None = None) -> Path:
    """The bundle folder or graph that `model` names.

    Args:
        model: a bundle folder, a run, a `.onnx` file or a shipped name; a path takes precedence over a name. None is
            the newest run in `folder`, or else the shipped default.
        folder: where to look for runs; by default the current folder.

    Raises:
        BundleError: nothing was found; the message suggests the nearest shipped name.
    """
    bundles = shipped()
    if model is None:
        run = newest_run(folder or Path.cwd())
        if run is None and DEFAULT_SHIPPED not in bundles:
            raise BundleError("there is no run in this folder, and no shipped bundle. Make one with kvae train.")
        return run / BUNDLE_FOLDER if run else bundles[DEFAULT_SHIPPED]
    path = Path(model)
    if (path / BUNDLE_FOLDER / FILE_NAME).is_file():
        return path / BUNDLE_FOLDER
    if path.exists():
        return path
    if model in bundles:
        return bundles[model]
    raise BundleError(
        f"model '{model}' not found.{suggestion(model, bundles)} Shipped: {', '.join(bundles) or 'none'}. "
        f"You can also name a bundle folder, a run or a decoder.onnx."
    )


def home(model: Path) -> Path | None:
    """All that a model is read from: its run, or else its bundle's folder, or a lone graph; None if it is none of them.

    Args:
        model: a bundle's folder, or a graph.
    """
    in_bundle = model.is_file() and (model.parent / FILE_NAME).is_file()
    bundle = (model.parent if in_bundle else model).resolve()
    is_of_run = bundle.name == BUNDLE_FOLDER and (bundle.parent / "config.json").is_file()
    if bundle.is_dir() and not (bundle / FILE_NAME).is_file():
        return None
    return bundle.parent if is_of_run else bundle


def newest_run(folder: Path) -> Path | None:
    """The run with the most recently written bundle, in `folder` or its `runs`; None if there is none."""
    manifests = [
        path for pattern in ("*", f"{RUNS_FOLDER}/*") for path in folder.glob(f"{pattern}/{BUNDLE_FOLDER}/{FILE_NAME}")
    ]
    newest = max(manifests, key=lambda path: path.stat().st_mtime, default=None)
    return newest.parent.parent if newest else None
