"""The package versions that a run was made with, and whether they have changed."""

import contextlib
import logging
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kvae import __version__
from kvae.runs import files as run_files
from kvae.runs import layout

logger = logging.getLogger(__name__)


def versions() -> dict[str, str]:
    """The package versions that a run records."""
    found = {"kvae": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in (
        "tensorflow", "keras", "tensorflow-probability", "tf2onnx", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy",
    ):  # fmt: skip
        with contextlib.suppress(PackageNotFoundError):  # usually one of the two onnxruntimes
            found[name] = version(name)
    return found


def warn_of_other_versions(out: Path) -> None:
    """Warn if a run began with other versions: its weights may differ from what either set of versions would give."""
    before, now = run_files.read_json(out / layout.ENVIRONMENT), versions()
    if not isinstance(before, dict):
        return
    changed = [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        logger.warning(
            "%s began with %s: its numbers may differ from those of an uninterrupted run.", out, "; ".join(changed)
        )
