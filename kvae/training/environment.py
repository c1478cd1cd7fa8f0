"""The programs that a run was made with, and whether they are still the same."""

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
    """The versions that a run records."""
    found = {"kvae": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in (
        "tensorflow", "keras", "tensorflow-probability", "tf2onnx", "onnx", "onnxruntime", "onnxruntime-gpu", "numpy",
    ):  # fmt: skip
        with contextlib.suppress(PackageNotFoundError):  # one of the two onnxruntimes, as a rule
            found[name] = version(name)
    return found


def warn_of_other_versions(out: Path) -> None:
    """Say it where a run began with other programs: its weights may be none that either of them would give."""
    before, now = run_files.read_json(out / layout.ENVIRONMENT), versions()
    if not isinstance(before, dict):
        return
    changed = [f"{name} {before.get(name)}, now {now[name]}" for name in now if before.get(name) != now[name]]
    if changed:
        logger.warning(
            "%s began with %s: its numbers may differ from those of one that had not.", out, "; ".join(changed)
        )
