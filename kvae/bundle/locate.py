"""Which model a command means: a path, a run, a shipped name, or none at all."""

from importlib.resources import files
from pathlib import Path

from kvae.bundle.manifest import FILE_NAME
from kvae.errors import BundleError

DEFAULT_SHIPPED = "fashion_mnist"
RUNS_FOLDER = "runs"
"""Where `kvae train` puts its runs by default, under the current folder."""
BUNDLE_FOLDER = "bundle"
"""The bundle's place in a run."""


def shipped() -> dict[str, Path]:
    """The bundles that come with kvae, by name."""
    root = Path(str(files("kvae.exported")))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{FILE_NAME}"))}


def locate(model: str | None, folder: Path | None = None) -> Path:
    """The bundle folder or graph that `model` names.

    Args:
        model: a bundle folder, a run, a `.onnx` file or a shipped name, paths going first; None for the newest run of
            `folder`, else the shipped default.
        folder: where runs are looked for; by default the current folder.

    Raises:
        BundleError: nothing there; the nearest shipped name is suggested.
    """
    bundles = shipped()
    if model is None:
        run = newest_run(folder or Path.cwd())
        if run is None and DEFAULT_SHIPPED not in bundles:
            raise BundleError("no run in this folder, and no shipped bundle. Make one with kvae train.")
        return run / BUNDLE_FOLDER if run else bundles[DEFAULT_SHIPPED]
    path = Path(model)
    if (path / BUNDLE_FOLDER / FILE_NAME).is_file():
        return path / BUNDLE_FOLDER
    if path.exists():
        return path
    if model in bundles:
        return bundles[model]
    import difflib  # here, as finding a model can do without

    close = difflib.get_close_matches(model, bundles, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise BundleError(
        f"model '{model}' not found.{hint} Shipped: {', '.join(bundles) or 'none'}. "
        f"Or name a bundle folder, a run or a decoder.onnx."
    )


def newest_run(folder: Path) -> Path | None:
    """The run with a bundle that was written last, in `folder` or its `runs`; None where there is none."""
    manifests = [
        path for pattern in ("*", f"{RUNS_FOLDER}/*") for path in folder.glob(f"{pattern}/{BUNDLE_FOLDER}/{FILE_NAME}")
    ]
    newest = max(manifests, key=lambda path: path.stat().st_mtime, default=None)
    return newest.parent.parent if newest else None
